"""admin.py: what operators see and say."""

import aiohttp

from device_gateway.simulator import Device, mac
from tests.device_gateway.world import MemoryClient, gateway


async def test_a_notice_reaches_the_live_and_waits_for_the_others(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running, aiohttp.ClientSession() as http:
        here, away, never = (Device(running.ota_url, mac(number)) for number in range(3))
        await here.wake()
        await away.boot()
        answer = await http.post(f"{running.admin_url}/notices", json={"message": "Tea at five"})
        document = await answer.json()
        await here.until(lambda: here.alerts)
        await away.wake()
        await away.until(lambda: away.alerts)
        await here.say("hi")
        for device in (here, away):
            await device.sleep()
        del never

    alert = {"status": "info", "message": "Tea at five", "emotion": "neutral"}
    assert {k: document[k] for k in ("reached", "known", "waiting")} == {
        "reached": 1,
        "known": 2,
        "waiting": 1,
    }
    assert (here.alerts, away.alerts) == ([alert], [alert])


async def test_a_notice_without_time_to_live_waits_for_nobody(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running, aiohttp.ClientSession() as http:
        await Device(running.ota_url, mac(1)).boot()
        body = {"message": "now", "ttl": 0, "target": {"devices": ["24:*"]}}
        answer = await http.post(f"{running.admin_url}/notices", json=body)

        assert (await answer.json())["waiting"] == 0


async def test_bad_notices_are_refused_with_a_sentence(tmp_path):
    bad = [
        [],
        {},
        {"message": ""},
        {"message": "x", "colour": "red"},
        {"message": "x", "emotion": 1},
        {"message": "x", "level": "loud"},
        {"message": "x", "ttl": True},
        {"message": "x", "ttl": -1},
        {"message": "x", "target": []},
        {"message": "x", "target": {"devices": [1]}},
    ]
    async with gateway(tmp_path, MemoryClient()) as running, aiohttp.ClientSession() as http:
        url = f"{running.admin_url}/notices"
        statuses = [(await http.post(url, json=body)).status for body in bad]
        form = await http.post(url, data={"message": "x"})
        broken = await http.post(url, data="{", headers={"Content-Type": "application/json"})

        assert statuses == [400] * len(bad)
        assert (form.status, broken.status) == (415, 400)


async def test_sessions_show_version_and_arm_per_key(tmp_path):
    client = MemoryClient(prompt="A")
    async with gateway(tmp_path, client) as running, aiohttp.ClientSession() as http:
        device = Device(running.ota_url, mac(1))
        await device.wake()
        await device.say("hi")
        client.put({mac(1)}, prompt="B")
        row = (await (await http.get(f"{running.admin_url}/sessions")).json())["items"][0]
        await device.sleep()

    assert row["keys"] == {"prompt": {"version": 2, "arm": "canary"}}
    assert (row["device"], row["turns"], row["state"]) == (mac(1), 1, "listening")


async def test_health_readiness_and_metrics(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running, aiohttp.ClientSession() as http:
        device = Device(running.ota_url, mac(1))
        await device.wake()
        await device.say("hi")
        pages = [await http.get(f"{running.admin_url}/{page}") for page in ("healthz", "readyz")]
        metrics = await (await http.get(f"{running.admin_url}/metrics")).text()
        running.draining = True
        late = await http.get(f"{running.admin_url}/readyz")
        await device.sleep()

        assert [page.status for page in pages] == [200, 200]
        assert late.status == 503
        assert 'device_gateway_turns_total{outcome="ok"} 1.0' in metrics
        assert "config_client_stale 0.0" in metrics
        assert "config_client_gaps_total 2.0" in metrics
        assert mac(1) not in metrics


async def test_with_an_admin_token_only_health_and_metrics_are_open(tmp_path):
    async with (
        gateway(tmp_path, MemoryClient(), admin_token="secret") as running,
        aiohttp.ClientSession() as http,
    ):
        url = f"{running.admin_url}/sessions"
        shut = await http.get(url)
        opened = await http.get(url, headers={"Authorization": "Bearer secret"})
        health = await http.get(f"{running.admin_url}/healthz")

        assert (shut.status, opened.status, health.status) == (401, 200, 200)


async def test_a_notice_that_no_device_can_read_is_refused_and_waits_for_nobody(tmp_path):
    json_type = {"Content-Type": "application/json"}
    async with gateway(tmp_path, MemoryClient()) as running, aiohttp.ClientSession() as http:
        statuses = []
        for body in (b'{"message":"\\ud800"}', b'{"message":"m","emotion":"\\ud800"}'):
            answer = await http.post(f"{running.admin_url}/notices", data=body, headers=json_type)
            statuses.append(answer.status)
        device = Device(running.ota_url, mac(1))
        await device.wake()
        heard = await device.say("hi")
        await device.sleep()

    assert statuses == [400, 400]
    assert (heard, device.alerts) == ("echo: hi", [])
