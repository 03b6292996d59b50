import subprocess
import sys
from pathlib import Path

import pytest

from client_sdk.errors import SettingInvalid
from client_sdk.keks import open_source
from client_sdk.settings import (
    Address,
    ClientSettings,
    is_loopback,
    parse_url,
    parse_urls,
    refuse_misspelt,
    without_password,
)

HOME = {"XDG_STATE_HOME": "/state"}


def test_an_empty_environment_means_the_center_on_this_machine():
    assert ClientSettings.from_environment(HOME) == ClientSettings(
        urls=(Address("http://127.0.0.1:8848", "http", loopback=True),),
        namespace="default",
        token=None,
        trust=None,
        secret_key=None,
        state=None,
        state_home=Path("/state"),
    )


def test_every_variable_is_read(tmp_path):
    given = {
        "CONFIG_CENTER_URL": "redis://r:6379, https://c.example",
        "CONFIG_CENTER_TOKEN": "cc_1",
        "CONFIG_CENTER_NAMESPACE": "prod",
        "CONFIG_CENTER_TRUST": "ed25519:AAAA",
        "CONFIG_CENTER_SECRET_KEY_FILE": "/k",
        "CONFIG_CENTER_STATE": "/s",
        "CONFIG_CENTER_SERVER__LISTEN": "ignored",
        "PATH": "/bin",
    }
    assert ClientSettings.from_environment(given | HOME) == ClientSettings(
        urls=(
            Address("redis://r:6379", "redis", loopback=False),
            Address("https://c.example", "https", loopback=False),
        ),
        namespace="prod",
        token="cc_1",
        trust="ed25519:AAAA",
        secret_key=open_source("file", "/k", "CONFIG_CENTER_SECRET_KEY_FILE"),
        state=Path("/s"),
        state_home=Path("/state"),
    )


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("CONFIG_CENTER_NAMESPACE", "from-outside")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    settings = ClientSettings.from_environment()

    assert (settings.namespace, settings.state_home) == (
        "from-outside",
        Path.home() / ".local/state",
    )


def test_keys_come_from_one_place():
    both = {"CONFIG_CENTER_SECRET_KEY_FILE": "/k", "CONFIG_CENTER_SECRET_KEY": "id c2VjcmV0"}

    with pytest.raises(SettingInvalid) as refused:
        ClientSettings.from_environment(both)
    assert str(refused.value) == (
        "CONFIG_CENTER_SECRET_KEY_FILE and CONFIG_CENTER_SECRET_KEY are both set; keep one of them"
    )


def test_a_variable_set_to_nothing_is_not_set():
    given = {"CONFIG_CENTER_TRUST": "", "CONFIG_CENTER_URL": " "}

    assert ClientSettings.from_environment(given | HOME) == ClientSettings.from_environment(HOME)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CONFIG_CENTER_TOKN", "CONFIG_CENTER_TOKEN"),
        ("CONFIG_CENTER_URLS", "CONFIG_CENTER_URL"),
        ("CONFIG_CENTER_NAME_SPACE", "CONFIG_CENTER_NAMESPACE"),
        ("CONFIG_CENTER_SECRET_KEYFILE", "CONFIG_CENTER_SECRET_KEY_FILE"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(name, meant):
    with pytest.raises(SettingInvalid) as refused:
        ClientSettings.from_environment({name: "x"})

    assert str(refused.value) == f"nothing reads the variable {name}; did you mean {meant}?"


@pytest.mark.parametrize(
    "name",
    [
        "CONFIG_CENTER_SERVICE_HOST",
        "CONFIG_CENTER_SERVICE_PORT",
        "CONFIG_CENTER_SERVICE_PORT_HTTP",
        "CONFIG_CENTER_PORT",
        "CONFIG_CENTER_PORT_8848_TCP",
        "CONFIG_CENTER_PORT_8848_TCP_ADDR",
        "CONFIG_CENTER_REDIS_PORT_6379_TCP_PROTO",
        "CONFIG_CENTER_SERVER_SERVICE_HOST",
        "CONFIG_CENTER_SERVER__ANYTHING",
        "CONFIG_CENTRE_TOKEN",
    ],
)
def test_what_an_orchestrator_or_somebody_else_sets_is_left_alone(name):
    refuse_misspelt({name: "tcp://10.0.0.1:8848"})


@pytest.mark.parametrize(
    ("url", "scheme", "loopback"),
    [
        ("http://localhost:8848/", "http", True),
        ("http://127.9.9.9", "http", True),
        ("https://[::1]:8848", "https", True),
        ("http://localhost.example", "http", False),
        ("http://0.0.0.0:1", "http", False),
        ("redis://:pw@10.0.0.5:6379/2", "redis", False),
        ("rediss://user:pw@cache.example", "rediss", False),
        ("unix:///run/cc/redis.sock", "unix", True),
    ],
)
def test_addresses_are_recognised(url, scheme, loopback):
    address = parse_url(url)

    assert address == Address(url, scheme, loopback)
    assert address.over_http is (scheme in ("http", "https"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:8848", "is not an address; it begins with one of http, https, redis"),
        ("", "is not an address"),
        ("ftp://a", "is not an address"),
        ("http://", "lacks a host"),
        ("redis://:pw@", "lacks a host"),
        ("unix://", "lacks a socket path"),
        ("http://a:99999", "host or port that cannot be"),
        ("http://[::1", "host or port that cannot be"),
    ],
)
def test_other_texts_are_refused_with_a_sentence(url, message):
    with pytest.raises(SettingInvalid, match=message):
        parse_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://u:hunter2@a",
        "redis://u:hunter2@a:x",
        "u:hunter2@a",
        "redis://:hunter2@",
        "x://u:hunter2://@a",
    ],
)
def test_a_refusal_never_shows_a_password(url):
    with pytest.raises(SettingInvalid) as refused:
        parse_url(url)
    assert "hunter2" not in str(refused.value)


def test_passwords_may_hold_commas_and_are_not_shown():
    first, second = parse_urls("redis://u:a,b@r:1,unix:///s")

    assert (first.url, second.url) == ("redis://u:a,b@r:1", "unix:///s")
    assert repr((first, second)) == "(Address(redis://u:***@r:1), Address(unix:///s))"
    assert without_password("redis://user@host") == "redis://user@host"


def test_neither_token_nor_password_is_in_the_repr():
    given = {"CONFIG_CENTER_TOKEN": "hunter2", "CONFIG_CENTER_URL": "redis://:hunter2@r"}

    assert "hunter2" not in repr(ClientSettings.from_environment(given | HOME))


@pytest.mark.parametrize(
    ("host", "expected"), [("LOCALHOST.", True), ("::1", True), ("10.0.0.1", False), ("", False)]
)
def test_loopback_is_told_without_a_lookup(host, expected):
    assert is_loopback(host) is expected


def test_the_token_comes_from_a_private_file(tmp_path):
    file = tmp_path / "token"
    file.write_text("cc_1\n")
    given = {"CONFIG_CENTER_TOKEN_FILE": str(file)}
    with pytest.raises(SettingInvalid, match=f"the token file {file} can be read by other users"):
        ClientSettings.from_environment(given)
    file.chmod(0o600)

    assert ClientSettings.from_environment(given).token == "cc_1"


@pytest.mark.parametrize("name", ["CONFIG_CENTER_TOKEN", "CONFIG_CENTER_TOKEN_FILE"])
@pytest.mark.parametrize("nothing", ["", " \n"])
def test_a_token_that_is_set_to_nothing_is_not_taken_for_one_that_is_not_set(name, nothing):
    with pytest.raises(SettingInvalid) as refused:
        ClientSettings.from_environment({name: nothing})
    assert str(refused.value) == f"{name} is set to nothing; fill it in, or unset it"


def test_two_tokens_are_one_too_many():
    given = {"CONFIG_CENTER_TOKEN": "a", "CONFIG_CENTER_TOKEN_FILE": "/b"}
    with pytest.raises(SettingInvalid, match="both set; keep one of them"):
        ClientSettings.from_environment(given)


def test_the_state_directory_is_per_namespace_and_instance_unless_given():
    by_default = ClientSettings.from_environment(HOME)
    given = ClientSettings.from_environment(HOME | {"CONFIG_CENTER_STATE": "~/s"})

    assert by_default.state_directory("prod", "gw-7") == Path("/state/config-center/prod/gw-7")
    assert given.state_directory("prod", "gw-7") == Path.home() / "s"


@pytest.mark.parametrize(("ns", "instance"), [("prod", "../x"), ("prod", ""), ("../p", "gw")])
def test_names_cannot_lead_out_of_the_state_directory(ns, instance):
    with pytest.raises(SettingInvalid):
        ClientSettings.from_environment(HOME).state_directory(ns, instance)


@pytest.mark.parametrize("name", ["Prod", "a b", "-a", "a" * 64])
def test_a_namespace_that_cannot_be_is_refused(name):
    with pytest.raises(SettingInvalid, match="is not a namespace"):
        ClientSettings.from_environment({"CONFIG_CENTER_NAMESPACE": name})


def test_importing_it_does_not_load_pydantic():
    program = "import client_sdk.settings, sys; sys.exit('pydantic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("redis+sentinel://user:p%40ss@10.0.0.1:26379,[::1]:26380/config/2", False),
        ("rediss+sentinel://[::1]:26380,localhost:26379/config", True),
        ("redis+cluster://user:p%40ss@10.0.0.1:6379,127.0.0.1:6380", False),
        ("rediss+cluster://127.0.0.1:6379", True),
    ],
)
def test_several_servers_are_one_address_that_hides_its_password(url, loopback):
    (address, http) = parse_urls(f"{url},https://center")

    assert address == Address(url, url.partition("://")[0], loopback)
    assert http.scheme == "https"
    assert "p%40ss" not in address.shown


@pytest.mark.parametrize("rest", ["a", "a:1", "a:x/config", ":1/config", "a:1/config/x", "a:1,/c"])
def test_sentinels_that_cannot_be_are_refused_with_an_example(rest: str) -> None:
    with pytest.raises(SettingInvalid, match="sentinels are written"):
        parse_url(f"redis+sentinel://{rest}")


def test_the_options_of_tls_are_taken_with_the_files_they_name(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.touch()

    for scheme in ("rediss://a", "rediss+cluster://a:1", "rediss+sentinel://a:1/config"):
        url = f"{scheme}?ssl_ca_certs={ca}&ssl_check_hostname=false&ssl_password=sesame"
        assert parse_url(url).url == url
        assert "sesame" not in parse_url(url).shown


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("rediss://a?ssl_ca_cert=x", "no option ssl_ca_cert; did you mean ssl_ca_certs"),
        ("rediss+cluster://a:1?ssl_keyfile=/no", "there is no file /no, given as ssl_keyfile"),
        ("redis://a?ssl_ca_certs=/no", "ssl_ca_certs is for a connection by TLS: write rediss://"),
        ("redis+cluster://a:1?ssl_certfile=/no", r"write rediss\+cluster://"),
        ("unix:///s?ssl_check_hostname=no", "write rediss://"),
    ],
)
def test_an_option_of_tls_that_cannot_be_says_what_to_write(url, message):
    with pytest.raises(SettingInvalid, match=message):
        parse_url(url)
