"""The table of kinds and its members."""

import subprocess
import sys

import pytest

from client_sdk import kinds
from client_sdk.errors import UnknownKind

KEY = {"base_url": "https://api.example.com/v1", "api_key": "k", "model": "m"}

SOUND = {
    "llm": [{"type": "openai", **KEY, "temperature": 1, "max_tokens": 5}, {"type": "echo"}],
    "tts": [
        {"type": "openai", **KEY, "voice": "onyx"},
        {"type": "edge", "rate": "+10%", "pitch": "-5Hz"},
        {"type": "echo"},
    ],
    "asr": [
        {"type": "openai", **KEY, "language": "zh-CN"},
        {"type": "fun_local", "model_dir": "models/SenseVoiceSmall"},
        {"type": "echo"},
    ],
    "vad": [{"type": "silero", "threshold": 0.6}, {"type": "none"}],
    "lexicon": [{"type": "words", "words": {"GPT": "G P T"}}, {"type": "none"}],
    "prompt": ["You are brief."],
    "greeting": ["", "hello"],
    "gateway": [
        {},
        {
            "devices": {"admit": "listed", "list": ["24:6f:28:*", "24:6f:28:a0:00:01", "*"]},
            "limits": {"sessions": 10},
            "restart": {"at": "04:30", "memory_bytes": 1 << 30},
        },
    ],
}

WRONG = [
    ("llm", {"type": "openai", **KEY, "temperature": "1"}, ".temperature"),
    ("llm", {"type": "echo", "model": "m"}, ".model"),
    ("tts", {"type": "edge", "rate": "fast"}, ".rate"),
    ("asr", {"type": "openai", **KEY, "language": "chinese!"}, ".language"),
    ("vad", {"type": "silero", "threshold": 1.5}, ".threshold"),
    ("lexicon", {"type": "words", "words": {"a": 1}}, ".words.a"),
    ("prompt", "", ""),
    ("greeting", {"text": "hello"}, ""),
    ("gateway", {"devices": {"admit": "some"}}, ".devices.admit"),
    ("gateway", {"devices": {"list": ["24:*:01"]}}, ".devices.list[0]"),
    ("gateway", {"restart": {"at": "24:00"}}, ".restart.at"),
]


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, all_ in SOUND.items() for v in all_])
def test_a_sound_value_passes(name, value):
    assert kinds.get(name).validate(value) == []
    assert kinds.get(name).json_schema()["title"] == name


@pytest.mark.parametrize(("name", "value", "path"), WRONG)
def test_a_wrong_value_is_refused_at_its_place(name, value, path):
    assert [problem.path for problem in kinds.get(name).validate(value)] == [path]


def test_every_kind_is_tried_and_bound_by_the_template():
    assert set(SOUND) == set(kinds.KINDS)
    assert dict(kinds.TEMPLATES["gateway"]) == {name: name for name in kinds.KINDS}
    assert all(kinds.get(name).name == name for name in kinds.KINDS)


def test_api_keys_are_secret():
    secret = {name: kinds.get(name).secret_fields() for name in kinds.KINDS}

    assert {name for name, fields in secret.items() if fields == (("api_key",),)} == {
        "llm",
        "tts",
        "asr",
    }


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(UnknownKind, match="did you mean lexicon"):
        kinds.get("lexikon")
    with pytest.raises(UnknownKind, match="there are llm, tts"):
        kinds.get("???")


def test_the_table_loads_without_pydantic():
    code = "import sys, client_sdk.kinds; sys.exit('pydantic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
