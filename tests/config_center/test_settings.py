import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from client_sdk.errors import SettingInvalid
from config_center.settings import (
    Limits,
    Listen,
    Retention,
    Row,
    Settings,
    environment_lines,
    explain,
    load,
    markdown,
    parse_listen,
)

ROOT = Path(__file__).parent.parent.parent
SERVER = "CONFIG_CENTER_SERVER__"


@pytest.fixture(autouse=True)
def _no_file_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refusal(**sources):
    with pytest.raises(SettingInvalid) as refused:
        load(**{"environment": {}, **sources})
    return str(refused.value)


def test_the_defaults_are_those_of_the_contract():
    settings = load(environment={}).settings

    assert (str(settings.listen), settings.data, settings.redis_url, settings.ack_replicas) == (
        "127.0.0.1:8848",
        Path("data"),
        None,
        0,
    )
    assert settings.limits == Limits(
        value_bytes=262_144,
        change_bytes=1_048_576,
        change_operations=1_000,
        depth=32,
        keys=20_000,
        namespace_bytes=67_108_864,
        artefact_bytes=268_435_456,
    )
    assert settings.retention == Retention(version_days=90, versions=100, log_records=1_000)


def test_the_command_line_beats_the_environment_beats_the_file_beats_the_default(tmp_path):
    (tmp_path / "config-center.toml").write_text(
        'data = "file"\nlisten = "127.0.0.1:1"\nlog_level = "debug"\n'
        "[limits]\ndepth = 4\nkeys = 5\n"
    )
    loaded = load(
        {"listen": "127.0.0.1:3", "data": None, "redis": None},
        {SERVER + "LISTEN": "127.0.0.1:2", SERVER + "DATA": "env", SERVER + "LIMITS__DEPTH": "6"},
    )

    values = {row.name: (row.value, row.source) for row in explain(loaded)}
    expected = {
        "listen": ("127.0.0.1:3", "command line"),
        "data": ("env", "environment"),
        "log_level": ("debug", "config-center.toml"),
        "limits.depth": ("6", "environment"),
        "limits.keys": ("5", "config-center.toml"),
        "beat_every": ("1.0", "default"),
    }
    assert {name: values[name] for name in expected} == expected


def test_the_process_environment_is_read_by_default(monkeypatch):
    monkeypatch.setenv(SERVER + "BEAT_EVERY", "0.5")

    assert load().settings.beat_every == 0.5


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        load(environment={}).settings.beat_every = 2.0


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        (SERVER + "LISTN", SERVER + "LISTEN"),
        (SERVER + "LIMITS__VALUE_BYTE", SERVER + "LIMITS__VALUE_BYTES"),
        (SERVER + "LIMITS_DEPTH", SERVER + "LIMITS__DEPTH"),
        ("CONFIG_CENTER_TOKN", "CONFIG_CENTER_TOKEN"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest(name, meant):
    assert refusal(environment={name: "1"}) == (
        f"nothing reads the variable {name}; did you mean {meant}?"
    )


def test_a_misspelt_name_in_the_file_is_refused_with_the_nearest(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[limits]\ndeepth = 3\n")

    assert refusal(file=file) == (
        f"{file}: there is no setting limits.deepth; did you mean limits.depth?"
    )


def test_a_variable_set_to_nothing_is_not_set():
    assert load(environment={SERVER + "REDIS": ""}).sources == {}


def test_a_file_that_was_asked_for_must_be_there_and_be_toml(tmp_path):
    (tmp_path / "a.toml").write_text("listen = ")
    (tmp_path / "b.toml").write_bytes(b"\xff")

    assert "gone.toml cannot be read (No such file" in refusal(file=tmp_path / "gone.toml")
    assert "a.toml is not TOML: " in refusal(file=tmp_path / "a.toml")
    assert "b.toml is not TOML: " in refusal(file=tmp_path / "b.toml")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("BEAT_EVERY", "fast", "beat_every (environment): Input should be a valid number"),
        ("LISTEN", "8848", "listen (environment): write HOST:PORT"),
        ("LOG_LEVEL", "loud", "log_level (environment): Input should be 'debug'"),
        ("LIMITS__DEPTH", "0", "limits.depth (environment): Input should be greater"),
        ("PEERS", "http://a,redis://b", "peers (environment): a peer is another center's"),
        ("REDIS", "http://a", "redis (environment): write the address of a Redis"),
        ("REDIS", "redis+cluster://a", "redis (environment): a cluster is written"),
        ("REDIS", "redis+sentinel://a", "redis (environment): sentinels are written"),
        ("ACK_REPLICAS", "1", "ack_replicas needs a Redis with replicas"),
    ],
)
def test_a_value_that_cannot_be_names_the_setting_and_who_gave_it(name, value, message):
    assert message in refusal(environment={SERVER + name: value})


def test_all_faults_are_told_at_once():
    faults = refusal(environment={SERVER + "BEAT_EVERY": "x", SERVER + "LIMITS__KEYS": "y"})

    assert faults.count("(environment)") == 2


def test_a_section_that_is_a_value_is_refused(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("limits = 3\n")

    assert "there is no setting limits; did you mean limits." in refusal(file=file)


@pytest.mark.parametrize("listen", ["0.0.0.0:8848", "[::]:8848", "192.168.1.5:1", "center.lan:1"])
def test_plain_http_off_loopback_is_refused_unless_a_proxy_ends_tls(listen):
    assert refusal(command_line={"listen": listen}).startswith(
        f"listening on {listen} in plain HTTP would show every token to the network: give --tls-c"
    )
    assert str(load({"listen": listen, "behind_proxy": True}, {}).settings.listen) == listen


def test_tls_needs_both_files_and_then_any_address_is_fine(tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.touch()
    given = {"listen": "0.0.0.0:8848", "tls_cert": cert}

    assert refusal(command_line=given) == ("tls_cert and tls_key go together: give both or neither")
    assert refusal(command_line=given | {"tls_key": key}) == f"there is no file {key}"
    key.touch()
    assert load(given | {"tls_key": key}, {}).settings.tls_key == key


def test_lists_come_with_commas_or_as_an_array(tmp_path):
    (tmp_path / "config-center.toml").write_text('peers = ["https://a", "https://b"]\n')
    typed = load(environment={SERVER + "PEERS": "https://a, https://b,"}).settings.peers
    written = load(environment={}, file=tmp_path / "config-center.toml").settings.peers

    assert typed == written == ("https://a", "https://b")


def test_a_setting_that_nothing_reads_does_not_exist():
    """`allowed_roots` did nothing for whoever set it."""
    told = {"bounds.py", "settings.py", "kek_settings.py"}
    rest = [path for path in (ROOT / "config_center").rglob("*.py") if path.name not in told]
    words = set(re.findall(r"\w+", "".join(path.read_text("utf-8") for path in rest)))
    leaves = {row.name.rpartition(".")[2] for row in explain(load(environment={}))}

    assert {leaf for leaf in leaves - words if not leaf.startswith("secret_key")} == {
        "artefact_bytes"  # a limit of the contract; what it limits comes with large files
    }


def test_a_password_is_nowhere_but_in_the_url():
    loaded = load({"redis": "redis://u:hunter2@r:6379"}, {})
    row = next(row for row in explain(loaded) if row.name == "redis")

    assert (loaded.settings.redis_url, row.value) == (
        "redis://u:hunter2@r:6379",
        "redis://u:***@r:6379",
    )
    assert "hunter2" not in repr(loaded)
    assert "hunter2" not in refusal(command_line={"redis": "rdis://u:hunter2@r"})


def test_keys_come_from_one_place_and_are_never_shown(tmp_path):
    given = load({"secret_key": "id c2VjcmV0"}, environment={})
    (row,) = [row for row in explain(given) if row.name == "secret_key"]

    assert (row.value, "c2VjcmV0" in repr(given)) == ("***", False)
    assert given.settings.kek_source.where == "the setting secret_key"
    assert load({}, environment={}).settings.kek_source is None
    assert load({}, environment={}).settings.keks_in(tmp_path).path == tmp_path / "secrets.key"
    assert refusal(command_line={"secret_key": "x", "secret_key_command": "y"}) == (
        "secret_key_command and secret_key are both set; keep one of them"
    )


def test_a_setting_is_explained_whole():
    rows = explain(load({"behind_proxy": True}, {}))
    assert next(row for row in rows if row.name == "behind_proxy") == Row(
        name="behind_proxy",
        variable="CONFIG_CENTER_SERVER__BEHIND_PROXY",
        value="true",
        default="false",
        source="command line",
        description="a proxy in front of it ends TLS",
    )


def test_every_setting_has_a_description():
    assert [row.name for row in explain(load(environment={})) if not row.description] == []


def test_the_printed_environment_is_one_that_can_be_used():
    lines = [line.splitlines()[1].removeprefix("#") for line in environment_lines()]

    assert "CONFIG_CENTER_SERVER__LIMITS__DEPTH=32" in lines
    loaded = load(environment=dict(line.split("=", 1) for line in lines))
    assert loaded.settings == Settings()


def test_the_table_has_a_line_for_each_setting():
    table = markdown().splitlines()

    assert len(table) == 2 + len(environment_lines())
    assert (
        "| `limits.depth` | `CONFIG_CENTER_SERVER__LIMITS__DEPTH` | `32` | nesting of a value |"
    ) in table


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:0", "localhost", 0),
        ("[::1]:65535", "::1", 65_535),
        ("10.0.0.1:80", "10.0.0.1", 80),
    ],
)
def test_an_address_is_host_and_port(text, host, port):
    listen = parse_listen(text)

    assert (listen, str(listen), parse_listen(listen)) == (Listen(host, port), text, listen)


@pytest.mark.parametrize(
    "text", ["", ":80", "a", "a:", "a:65536", "a:-1", "a:٣", "::1:80", "[a]:1", "[]:80"]
)
def test_other_texts_are_no_address(text):
    with pytest.raises(ValueError, match="write HOST:PORT"):
        parse_listen(text)
