"""settings.py: command line over environment over file over defaults."""

import pytest

from client_sdk.errors import SettingInvalid
from device_gateway import settings


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_source_gives_way_to_the_one_above_it(folder, monkeypatch):
    (folder / "device-gateway.toml").write_text(
        'instance = "from-file"\nlisten = "127.0.0.1:1"\n[limits]\nsessions = 7\n'
    )
    monkeypatch.setenv("DEVICE_GATEWAY_INSTANCE", "from-env")
    monkeypatch.setenv("DEVICE_GATEWAY_LIMITS__IDLE_SECONDS", "9")

    loaded = settings.load({"instance": "typed", "listen": None})

    assert (loaded.instance, loaded.listen) == ("typed", "127.0.0.1:1")
    assert (loaded.limits.sessions, loaded.limits.idle_seconds) == (7, 9.0)
    assert settings.load().instance == "from-env"


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("DEVICE_GATEWAY_LISTN", "x", "did you mean DEVICE_GATEWAY_LISTEN?"),
        ("DEVICE_GATEWAY_LIMITS__SESSION", "1", "did you mean DEVICE_GATEWAY_LIMITS__SESSIONS?"),
        ("DEVICE_GATEWAY_LISTEN", "8000", "listen: '8000' is not HOST:PORT"),
        ("DEVICE_GATEWAY_LISTEN", "a:99999", "is not HOST:PORT"),
        ("DEVICE_GATEWAY_PUBLIC_URL", "ws://gw/a:b", "public_url: must look like"),
        ("DEVICE_GATEWAY_LIMITS__SESSIONS", "0", "limits__sessions: "),
        ("DEVICE_GATEWAY_ADMIN_LISTEN", "0.0.0.0:8001", "set DEVICE_GATEWAY_ADMIN_TOKEN"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_write(
    folder, monkeypatch, variable, value, sentence
):
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingInvalid) as refused:
        settings.load()

    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('listn = "x"', "did you mean listen?"),
        ("zzzzzz = 1", "zzzzzz in device-gateway.toml is not a setting"),
        ("listen =", "is not TOML"),
    ],
)
def test_a_file_is_refused_in_the_same_way(folder, text, sentence):
    (folder / "device-gateway.toml").write_text(text)

    with pytest.raises(SettingInvalid) as refused:
        settings.load()

    assert sentence in str(refused.value)


def test_loopback_is_known_by_its_address(folder):
    assert settings.load().on_loopback
    assert not settings.load({"listen": "0.0.0.0:8000"}).on_loopback
