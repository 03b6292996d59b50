"""server.py over real sockets: the strict device on one side, the stub LLM on the other."""

import asyncio
import contextlib
import itertools
import time
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import WSMsgType

from device_gateway.errors import PortInUse
from device_gateway.server import _BURST, serve
from device_gateway.session import APOLOGY
from device_gateway.simulator import Device, Disconnected, NotAdmitted, mac, simulate
from device_gateway.simulator.wire import WireError, connect
from device_gateway.stub_llm import StubLlm
from tests.device_gateway.world import MemoryClient, gateway, llm, settings


async def test_a_device_has_a_conversation_with_the_llm_and_prompt_of_its_view(tmp_path):
    async with StubLlm() as stub:
        client = MemoryClient(llm=llm(stub), prompt="Be brief.", greeting="Welcome!")
        async with gateway(tmp_path, client) as running:
            device = Device(running.ota_url, mac(1), audio=True)
            await device.wake()
            first, second = await device.say("one"), await device.say("two")
            await device.sleep()

    assert first == "key=sk-a model=m-1 prompt=Be brief. messages=2"
    assert second == "key=sk-a model=m-1 prompt=Be brief. messages=4"
    assert device.spoken[0] == "Welcome!"
    assert device.faults == []
    assert client.reports == [("turn", mac(1), True)] * 2


async def test_without_an_llm_the_echo_answers_and_says_so(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running:
        device = Device(running.ota_url, mac(1))
        await device.wake()
        answer = await device.say("hello")
        await device.sleep()

    assert answer == "echo: hello"


async def test_a_change_of_two_keys_is_one_notice_for_those_it_reaches(tmp_path):
    async with StubLlm() as stub:
        client = MemoryClient(llm=llm(stub, "sk-a"), prompt="A")
        async with gateway(tmp_path, client) as running:
            fleet = [Device(running.ota_url, mac(number)) for number in range(6)]
            for device in fleet:
                await device.wake()
                await device.say("before")
            some = {mac(0), mac(3)}
            client.put(some, llm=llm(stub, "sk-b"), prompt="B")
            first = {device.mac: await device.say("during") for device in fleet}
            told = {device.mac: list(device.notices) for device in fleet}
            client.promote()
            last = {device.mac: await device.say("after") for device in fleet}
            for device in fleet:
                await device.sleep()

    new, old = "key=sk-b model=m-1 prompt=B", "key=sk-a model=m-1 prompt=A"
    notice = {"keys": [{"key": "llm", "version": 2}, {"key": "prompt", "version": 2}]}
    for device in fleet:
        inside = device.mac in some
        assert first[device.mac] == f"{new if inside else old} messages=4"
        assert told[device.mac] == ([notice] if inside else [])
        assert last[device.mac] == f"{new} messages=6"
        assert device.notices == [notice]
        assert device.faults == []


async def test_a_device_that_was_away_is_told_at_its_next_connection(tmp_path):
    client = MemoryClient(prompt="A")
    async with gateway(tmp_path, client) as running:
        device = Device(running.ota_url, mac(1))
        await device.wake()
        await device.say("hi")
        await device.sleep()
        await wait_for(lambda: len(running.hub) == 0)
        client.put(prompt="B")
        await device.wake()
        await device.say("hi")
        await device.sleep()

    assert device.notices == [{"keys": [{"key": "prompt", "version": 2}]}]


async def test_a_failing_provider_apologises_and_the_next_good_one_answers(tmp_path):
    async with StubLlm() as stub:
        client = MemoryClient(llm=llm(stub, "bad-key"))
        async with gateway(tmp_path, client) as running:
            device = Device(running.ota_url, mac(1))
            await device.wake()
            failed = await device.say("one")
            client.put(llm=llm(stub, "sk-good"))
            answered = await device.say("two")
            await device.sleep()

    assert failed == APOLOGY
    assert answered == "key=sk-good model=m-1 prompt= messages=1"
    assert [ok for _, _, ok in client.reports] == [False, True]


async def test_abort_ends_the_answer_and_new_words_replace_one(tmp_path):
    async with StubLlm(delay=0.1) as stub:
        client = MemoryClient(llm=llm(stub), prompt="Speak. " * 9)
        async with gateway(tmp_path, client) as running:
            device = Device(running.ota_url, mac(1))
            await device.wake()
            answer = asyncio.create_task(device.say("a story"))
            await device.until(lambda: "Speak. " in device.spoken)
            device.abort()
            cut = await answer
            stub.delay = 0.0
            whole = await device.say("shorter")
            await device.sleep()

    assert cut.startswith("key=sk-a")
    assert "messages" not in cut
    assert whole.endswith("messages=4")
    assert device.faults == []


async def test_speech_in_manual_mode_is_answered_honestly(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running:
        device = Device(running.ota_url, mac(1), mode="manual", version=3)
        await device.wake()
        device.speak(5)
        await device.until(lambda: device.spoken)
        await device.sleep()

    said = "[echo asr: 5 audio frames, 0.30 s; no speech recognition is set up]"
    assert "".join(device.spoken) == f"echo: {said}"


async def test_nonsense_does_not_end_a_conversation(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running:
        device = Device(running.ota_url, mac(1), version=2)
        await device.wake()
        for raw in ("nope", "[]", '{"type":"goodbye"}', '{"type":"listen"}', '{"type":"hello"}'):
            device.send_raw(raw)
        device._socket.send(2, b"short")
        answer = await device.say("still here?")
        await device.sleep()

    assert answer == "echo: still here?"
    assert device.faults == []


async def test_an_unlisted_device_gets_a_code_and_comes_in_once_it_is_listed(tmp_path):
    client = MemoryClient(gateway={"devices": {"admit": "listed", "list": []}})
    async with gateway(tmp_path, client) as running, aiohttp.ClientSession() as http:
        device = Device(running.ota_url, mac(1))
        with pytest.raises(NotAdmitted) as refused:
            await device.boot()
        waiting = await (await http.get(f"{running.admin_url}/activations")).json()
        before = await device.activated()
        client.put(gateway={"devices": {"admit": "listed", "list": ["24:6F:28:*"]}})
        after = await device.activated()
        await device.wake()
        answer = await device.say("hi")
        client.put(gateway={"devices": {"admit": "listed", "list": []}})
        await device.sleep()
        with pytest.raises(WireError, match="403"):
            await device.wake()

    assert waiting["items"][0]["code"] == refused.value.code
    assert (len(refused.value.code), before, after) == (6, False, True)
    assert answer == "echo: hi"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, "400"),
        ({"Device-Id": "a b", "Client-Id": "c"}, "400"),
        ({"Device-Id": "d", "Client-Id": "c"}, "401"),
        ({"Device-Id": "d", "Client-Id": "c", "Authorization": "Bearer x.1"}, "401"),
        ({"Device-Id": "d", "Client-Id": "c", "Authorization": "Bearer ü.9999999999"}, "401"),
    ],
)
async def test_who_cannot_prove_who_it_is_is_refused_before_the_upgrade(tmp_path, headers, status):
    async with gateway(tmp_path, MemoryClient()) as running:
        with pytest.raises(WireError, match=status):
            await connect(running.url, headers)


async def test_a_device_without_ids_gets_an_answer_at_boot_that_is_no_error(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running, aiohttp.ClientSession() as http:
        answer = await http.post(running.ota_url, data=b"not json")
        activate = await http.post(f"{running.ota_url}activate")
        hint = await http.get(running.ota_url)

        assert (answer.status, (await answer.json())["success"]) == (200, False)
        assert (activate.status, hint.status) == (400, 200)


async def test_the_second_connection_of_a_device_replaces_the_first(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running:
        old, new = Device(running.ota_url, mac(1)), Device(running.ota_url, mac(1))
        await old.wake()
        await new.wake()
        await old.gone()
        answer = await new.say("hi")
        await asyncio.gather(old.sleep(), new.sleep())

    assert answer == "echo: hi"


async def test_a_full_gateway_says_when_to_come_again(tmp_path):
    async with gateway(tmp_path, MemoryClient(), limits={"sessions": 1}) as running:
        first, second = Device(running.ota_url, mac(1)), Device(running.ota_url, mac(2))
        await first.wake()
        with pytest.raises(WireError, match="503"):
            await second.wake()
        await first.sleep()


async def test_who_has_not_said_hello_yet_takes_a_place_and_who_comes_again_has_one(tmp_path):
    async with gateway(tmp_path, MemoryClient(), limits={"sessions": 1}) as running:
        device = Device(running.ota_url, mac(1))
        await device.boot()
        identity = {"Device-Id": device.mac, "Client-Id": device.client}
        token = {"Authorization": f"Bearer {device.nvs['token']}"}
        silent = await connect(device.nvs["url"], {**identity, **token})
        with pytest.raises(WireError, match="503"):
            await Device(running.ota_url, mac(2)).wake()
        silent.drop()

        async def room():
            with contextlib.suppress(WireError):
                await device.wake()
                return True
            return False

        async with asyncio.timeout(10):
            while not await room():
                pass
        again = Device(running.ota_url, mac(1))
        await again.wake()
        await device.gone()
        await asyncio.gather(device.sleep(), again.sleep())


async def test_a_clock_that_is_set_ends_no_conversation(tmp_path):
    ahead = [0.0]
    client, limits = MemoryClient(), {"idle_seconds": 5.0}
    async with gateway(tmp_path, client, limits=limits, clock=lambda: time.time() + ahead[0]) as g:
        device = Device(g.ota_url, mac(1))
        await device.wake()
        await device.say("hello")
        ahead[0] = 86_400.0
        g.metrics.known.set(0)
        await wait_for(lambda: g.metrics.known._value.get())  # until the next sweep

        assert await device.say("still here") == "echo: still here"
        await device.sleep()


async def test_a_silent_peer_is_dropped_after_its_hello_time(tmp_path):
    async with gateway(tmp_path, MemoryClient(), limits={"hello_seconds": 0.1}) as running:
        device = Device(running.ota_url, mac(1))
        await device.boot()
        identity = {"Device-Id": device.mac, "Client-Id": device.client}
        token = {"Authorization": f"Bearer {device.nvs['token']}"}
        socket = await connect(device.nvs["url"], {**identity, **token})
        frames = [opcode async for opcode, _ in socket.messages()]
        socket.drop()

    assert frames == [8]


async def test_an_idle_session_is_closed(tmp_path):
    async with gateway(tmp_path, MemoryClient(), limits={"idle_seconds": 0.2}) as running:
        device = Device(running.ota_url, mac(1))
        await device.wake()
        await device.gone()
        await device.sleep()


async def test_the_end_lets_running_answers_finish_and_closes_everybody_at_once(tmp_path):
    async with StubLlm(delay=0.05) as stub:
        client = MemoryClient(llm=llm(stub))
        async with gateway(tmp_path, client, limits={"drain_seconds": 30}) as running:
            fleet = [Device(running.ota_url, mac(number)) for number in range(12)]
            for device in fleet:
                await device.wake()
            answer = asyncio.create_task(fleet[0].say("hi"))
            await wait_for(lambda: stub.asked)
            started = asyncio.get_running_loop().time()
        took = asyncio.get_running_loop().time() - started
        assert (await answer).startswith("key=sk-a")
        for device in fleet:
            await device.gone()
            await device.sleep()

    assert took < 10  # one second for all of them, not twelve
    assert [device.faults for device in fleet] == [[]] * 12


async def test_a_taken_port_is_said_to_be_taken(tmp_path):
    async with gateway(tmp_path, MemoryClient()) as running:
        taken = f"127.0.0.1:{running.address[1]}"
        with pytest.raises(PortInUse, match=str(running.address[1])):
            async with gateway(tmp_path, MemoryClient(), listen=taken):
                pass


async def test_serve_runs_until_it_is_told_to_stop(tmp_path):
    stop, started = asyncio.Event(), asyncio.Event()
    client = MemoryClient()
    task = asyncio.create_task(serve(settings(tmp_path), client, stop, lambda _: started.set()))
    await asyncio.wait_for(started.wait(), 30)
    stop.set()
    await asyncio.wait_for(task, 30)


async def test_serve_ends_with_the_error_of_a_task_that_died(tmp_path):
    client = MemoryClient(prompt="A")
    gateways = []
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings(tmp_path), client, stop, gateways.append))
    await wait_for(lambda: gateways)
    gateways[0].notices.sweep = None  # a bug of ours, whatever it will be
    client.put(prompt="B")
    with pytest.raises(TypeError):
        await asyncio.wait_for(task, 30)


async def test_answers_that_outlast_the_drain_time_are_cut(tmp_path):
    async with StubLlm(delay=20) as stub:
        client = MemoryClient(llm=llm(stub))
        async with gateway(tmp_path, client, limits={"drain_seconds": 0.1}) as running:
            device = Device(running.ota_url, mac(1))
            await device.wake()
            answer = asyncio.create_task(device.say("hi"))
            await wait_for(lambda: stub.asked)
        with pytest.raises(Disconnected):
            await answer
        await device.sleep()
    assert client.reports == []


async def test_an_answer_that_takes_too_long_is_a_failed_turn(tmp_path):
    async with StubLlm(delay=20) as stub:
        client = MemoryClient(llm=llm(stub))
        async with gateway(tmp_path, client, limits={"turn_seconds": 0.1}) as running:
            device = Device(running.ota_url, mac(1))
            await device.wake()
            answer = await device.say("hi")
            await device.sleep()
    assert answer == APOLOGY
    assert client.reports == [("turn", mac(1), False)]


async def test_a_bug_in_a_provider_is_a_failed_turn_and_no_more(tmp_path):
    class Broken:
        async def stream(self, messages):
            raise RuntimeError("a bug")
            yield ""

        async def close(self):
            pass

    client = MemoryClient(llm={})
    client.built[1] = Broken()
    async with gateway(tmp_path, client) as running:
        device = Device(running.ota_url, mac(1))
        await device.wake()
        answers = [await device.say("hi"), await device.say("hi")]
        await device.sleep()
    assert answers == [APOLOGY] * 2


async def test_a_fleet_of_strict_devices_is_content(tmp_path):
    async with StubLlm() as stub:
        client = MemoryClient(llm=llm(stub))
        async with gateway(tmp_path, client) as running:
            outcome = await simulate(running.ota_url, devices=10, turns=3, pause=0.02)

    assert (outcome.turns, outcome.problems) == (30, [])


async def wait_for(holds, seconds=30.0):
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 (nothing to wait on from outside)
            await asyncio.sleep(0.005)


async def test_an_answer_without_words_is_a_failed_turn_that_is_heard(tmp_path):
    class Silent:
        async def stream(self, messages):
            return
            yield ""

        async def close(self):
            pass

    client = MemoryClient(llm={})
    client.built[1] = Silent()
    async with gateway(tmp_path, client) as running:
        device = Device(running.ota_url, mac(1))
        await device.wake()
        answer = await device.say("hi")
        await device.sleep()

    assert answer == APOLOGY
    assert client.reports == [("turn", mac(1), False)]


async def test_words_before_the_hello_start_no_turn(tmp_path):
    client = MemoryClient()
    async with gateway(tmp_path, client, limits={"hello_seconds": 0.2}) as running:
        device = Device(running.ota_url, mac(1))
        await device.boot()
        identity = {"Device-Id": device.mac, "Client-Id": device.client}
        token = {"Authorization": f"Bearer {device.nvs['token']}"}
        socket = await connect(device.nvs["url"], {**identity, **token})
        socket.send(1, b'{"type":"listen","state":"detect","text":"hi"}')
        frames = [opcode async for opcode, _ in socket.messages()]
        socket.drop()

    assert frames == [8]
    assert client.reports == []


async def test_a_device_that_floods_leaves_the_others_their_turn(tmp_path):
    """What lies in a socket's buffer is read without a pause; the loop must be shared anyway."""
    async with gateway(tmp_path, MemoryClient()) as running:
        reads, turns = [0], []

        async def watch():
            while reads[0] < 10 * _BURST:
                turns.append(reads[0])
                await asyncio.sleep(0)

        class Full:
            """A socket whose buffer never empties."""

            async def receive(self):
                reads[0] += 1
                ended = reads[0] > 10 * _BURST
                return SimpleNamespace(type=WSMsgType.CLOSE if ended else WSMsgType.TEXT, data="x")

        talk, live = SimpleNamespace(receive=lambda data: True), SimpleNamespace(heard=0.0)
        await asyncio.gather(running._read(Full(), talk, live), watch())

    gaps = [after - before for before, after in itertools.pairwise(turns)]
    assert max(gaps) <= _BURST
