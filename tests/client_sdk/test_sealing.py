import copy
import json
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.errors import InvalidValue, SealedValue
from client_sdk.keks import Kek, Keks
from client_sdk.sealing import (
    FINGERPRINT,
    RingEntry,
    Sealer,
    check_no_foreign_seals,
    clear_secrets,
    contains_seal,
    data_keys,
    masked,
    open_value,
    pointer,
    seal_value,
)

KEK = Kek.from_secret(b"k" * 32)
KEKS = Keks((KEK,))
SECRETS = [("api_key",), ("providers", "*", "key")]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


class World:
    """One namespace's ring, as a center fills it."""

    def __init__(self, ns="prod", keks=KEKS, seed=0):
        self.ns, self.keks, self.ring = ns, keks, {}
        self.rng = random.Random(seed).randbytes

    def seal(self, value, previous=None, key="llm", secrets=SECRETS):
        sealer = Sealer(self.ns, self.ring, self.keks, self.rng)
        sealed, added = seal_value(value, secrets, previous, key, sealer)
        assert not added.keys() & self.ring.keys()
        self.ring.update(added)
        return sealed

    def open(self, value, key="llm", ns=None, keks=KEKS):
        return open_value(value, ns or self.ns, key, self.ring, keks)


def test_a_secret_field_is_sealed_and_opens_to_what_it_was():
    world = World()
    plain = {"base_url": "https://a", "api_key": "sk-1", "providers": [{"key": "x"}, {"key": 7}]}

    sealed = world.seal(plain)

    assert set(sealed["api_key"]["$sealed"]) == {"dek", "nonce", "ct", "fp"}
    assert sealed["base_url"] == "https://a"
    assert "sk-1" not in json.dumps(sealed)
    assert world.open(sealed) == plain
    assert len(world.ring) == 2, "one data key for the value and the fingerprint key"


@given(JSON, st.text(max_size=4))
def test_whatever_is_secret_comes_back(secret, name):
    world = World()
    plain = {name: secret, "open": 1}
    assert world.open(world.seal(plain, secrets=[(name,)])) == plain


def test_an_absent_or_null_secret_stays_so_and_makes_no_key():
    world = World()

    assert world.seal({"api_key": None, "model": "m"}) == {"api_key": None, "model": "m"}
    assert world.ring == {}


def test_a_value_that_is_secret_as_a_whole_is_sealed_as_one():
    world = World()
    sealed = world.seal("token", secrets=[()])

    assert list(sealed) == ["$sealed"]
    assert world.open(sealed) == "token"


def test_an_unchanged_secret_keeps_its_sealed_bytes_and_adds_no_key():
    world = World()
    first = world.seal({"api_key": "sk-1", "model": "a"})
    keys = dict(world.ring)

    second = world.seal({"api_key": "sk-1", "model": "b"}, previous=first)

    assert second == {**first, "model": "b"}
    assert world.ring == keys


def test_a_changed_secret_gets_a_new_data_key_and_another_fingerprint():
    world = World()
    first = world.seal({"api_key": "sk-1"})["api_key"]["$sealed"]
    second = world.seal({"api_key": "sk-2"}, previous={"api_key": {"$sealed": first}})
    second = second["api_key"]["$sealed"]

    assert [first[part] != second[part] for part in ("dek", "nonce", "ct", "fp")] == [True] * 4


def test_a_secret_whose_data_key_is_gone_is_sealed_anew():
    world = World()
    first = world.seal({"api_key": "sk-1"})
    del world.ring[first["api_key"]["$sealed"]["dek"]]
    second = world.seal({"api_key": "sk-1"}, previous=first)

    assert world.open(second) == {"api_key": "sk-1"}
    assert masked(second) == masked(first)


def test_a42_the_fingerprint_needs_the_namespaces_own_key():
    here, there = World(seed=1), World(seed=2)

    assert masked(here.seal({"api_key": "a"})) != masked(there.seal({"api_key": "a"}))


def test_a42_the_length_of_the_ciphertext_tells_steps_of_32_bytes_only():
    world = World()
    sizes = {
        len(world.seal({"api_key": "x" * size})["api_key"]["$sealed"]["ct"]) for size in range(31)
    }
    assert len(sizes) == 1


def test_the_shown_form_has_the_fingerprint_alone():
    sealed = World().seal({"api_key": "sk-1", "providers": [{"key": "x", "n": 1}]})
    fps = sealed["api_key"]["$sealed"]["fp"], sealed["providers"][0]["key"]["$sealed"]["fp"]

    assert masked(sealed) == {
        "api_key": {"$sealed": {"fp": fps[0]}},
        "providers": [{"key": {"$sealed": {"fp": fps[1]}}, "n": 1}],
    }
    assert (masked({"n": 1}), contains_seal(sealed), contains_seal({"n": [1]})) == (
        {"n": 1},
        True,
        False,
    )


@pytest.mark.parametrize("form", [copy.deepcopy, masked])
def test_sending_back_what_was_shown_means_unchanged(form):
    world = World()
    first = world.seal({"api_key": "sk-1", "model": "a"})

    assert world.seal({**form(first), "model": "b"}, previous=first) == {**first, "model": "b"}


@pytest.mark.parametrize("shown", ["the shown form", "***"])
def test_a41_what_a_page_shows_is_put_back_as_unchanged_and_never_stored(shown):
    world = World()
    first = world.seal({"api_key": "sk-1", "model": "a"})
    if shown != "***":
        shown = masked(first)["api_key"]

    assert world.seal({"api_key": shown, "model": "b"}, previous=first) == {**first, "model": "b"}
    for previous in (None, {"model": "a"}, {"api_key": "in clear"}):
        with pytest.raises(InvalidValue, match=r"^/api_key: .*send the secret itself"):
            world.seal({"api_key": shown}, previous=previous)


def test_a_secret_whose_data_key_was_shredded_shows_only_that():
    sealed = World().seal({"api_key": "sk-1", "providers": [{"key": "x"}]})
    (dek,) = data_keys(sealed)
    shredded = {"$sealed": {"shredded": True}}

    assert masked(sealed, (), {dek}) == {"api_key": shredded, "providers": [{"key": shredded}]}
    assert data_keys({"a": [{"$sealed": "x"}]}) == frozenset()
    with pytest.raises(InvalidValue, match="not the one of the version before"):
        check_no_foreign_seals({"api_key": shredded}, sealed)


def test_several_keys_open_what_each_of_them_sealed_and_the_first_seals():
    new = Kek.from_secret(b"n" * 32)
    world = World()
    old = world.seal({"api_key": "sk-1"})
    world.keks = Keks((new, KEK))
    fresh = world.seal({"api_key": "sk-2"}, previous=old)

    assert world.ring[next(iter(data_keys(fresh)))].kek == new.id
    assert [world.open(value, keks=world.keks)["api_key"] for value in (old, fresh)] == [
        "sk-1",
        "sk-2",
    ]
    with pytest.raises(SealedValue, match=f"this process has {KEK.id}"):
        world.open(fresh)


def test_without_the_key_that_seals_nothing_is_sealed():
    world = World(keks=Keks())

    with pytest.raises(SealedValue, match="lacks the key-encryption key that seals"):
        world.seal({"api_key": "sk-1"})


def test_what_stands_in_clear_where_a_secret_belongs_is_found():
    sealed = {"$sealed": {"dek": "d"}}
    value = {"api_key": "sk-1", "providers": [{"key": sealed}, {"key": None}, {"key": "x"}]}

    assert clear_secrets(value, SECRETS) == [("api_key",), ("providers", "2", "key")]
    assert masked(value, SECRETS)["providers"][2] == {"key": {"$sealed": {"fp": ""}}}
    assert clear_secrets(value, ()) == []


def test_a_value_without_seals_is_opened_by_being_left_alone():
    value = {"model": "m"}

    assert open_value(value, "prod", "llm", {}, Keks()) is value


def swapped_fields(world, sealed):
    world_value = copy.deepcopy(sealed)
    world_value["api_key"], world_value["other"] = sealed["other"], sealed["api_key"]
    return world_value


def truncated(world, sealed):
    value = copy.deepcopy(sealed)
    value["api_key"]["$sealed"]["ct"] = value["api_key"]["$sealed"]["ct"][:-4]
    return value


def with_part(part, replacement):
    def attack(world, sealed):
        value = copy.deepcopy(sealed)
        value["api_key"]["$sealed"][part] = replacement
        return value

    return attack


def other_data_key(world, sealed):
    other = world.seal({"api_key": "elsewhere"}, key="tts")
    return with_part("dek", other["api_key"]["$sealed"]["dek"])(world, sealed)


def exchanged_ring_entries(world, sealed):
    mine = sealed["api_key"]["$sealed"]["dek"]
    world.seal({"api_key": "elsewhere"}, key="tts")
    other = next(name for name in world.ring if name not in (mine, FINGERPRINT))
    world.ring[mine], world.ring[other] = world.ring[other], world.ring[mine]
    return sealed


def torn_ring_entry(world, sealed):
    mine = sealed["api_key"]["$sealed"]["dek"]
    world.ring[mine] = RingEntry(KEK.id, world.ring[mine].wrapped[:5])
    return sealed


@pytest.mark.parametrize(
    "attack",
    [
        swapped_fields,
        truncated,
        other_data_key,
        exchanged_ring_entries,
        torn_ring_entry,
        with_part("dek", "0" * 32),
        with_part("dek", FINGERPRINT),
        with_part("dek", ["a"]),
        with_part("nonce", "AAAA"),
        with_part("nonce", "!"),
        with_part("ct", 7),
        with_part("ct", ""),
        lambda world, sealed: {"api_key": {"$sealed": "x"}},
        lambda world, sealed: {"api_key": {"$sealed": {}}},
        lambda world, sealed: {"api_key": {**sealed["api_key"], "more": 1}},
    ],
)
def test_a43_sealed_bytes_that_were_moved_cut_or_exchanged_do_not_open(attack):
    world = World()
    secrets = [("api_key",), ("other",)]
    sealed = world.seal({"api_key": "sk-1", "other": "sk-2"}, secrets=secrets)
    value = attack(world, sealed)

    with pytest.raises(SealedValue, match="of llm is sealed and does not open") as refused:
        world.open(value)
    assert "sk-" not in str(refused.value)


def test_a43_sealed_bytes_do_not_open_under_another_key_or_namespace():
    world = World()
    sealed = world.seal({"api_key": "sk-1"})

    with pytest.raises(SealedValue, match="field /api_key of tts is sealed"):
        world.open(sealed, key="tts")
    with pytest.raises(SealedValue, match="changed or moved, or is of another namespace"):
        world.open(sealed, ns="test")
    world.ring.clear()
    with pytest.raises(
        SealedValue, match=r"data key is gone, destroyed on purpose .* or lost; publ"
    ):
        world.open(sealed)


def test_a43_an_element_moved_inside_a_list_does_not_open():
    world = World()
    sealed = world.seal({"providers": [{"key": "a"}, {"key": "b"}]})
    sealed["providers"].reverse()

    with pytest.raises(SealedValue, match="field /providers/0/key"):
        world.open(sealed)


def test_without_the_key_the_fields_and_the_setting_are_named():
    world = World()
    with pytest.raises(SealedValue) as refused:
        world.open(world.seal({"api_key": "sk-1"}), keks=Keks())

    assert refused.value.reason == (
        "llm has sealed fields (/api_key) and no key to open them was given; "
        "set CONFIG_CENTER_SECRET_KEY_FILE"
    )


def test_the_wrong_key_is_told_from_a_damaged_value():
    world, wrong = World(), Kek.from_secret(b"w" * 32)
    sealed = world.seal({"api_key": "sk-1"})

    with pytest.raises(
        SealedValue, match=f"sealed for key '{KEK.id}', this process has {wrong.id}"
    ):
        world.open(sealed, keks=Keks((wrong,)))
    world.keks = Keks((wrong,))
    with pytest.raises(SealedValue, match=r"give it the center's secrets.key"):
        world.seal({"api_key": "sk-2"})


def test_a_damaged_fingerprint_key_stops_sealing():
    world = World()
    world.seal({"api_key": "sk-1"})
    world.ring[FINGERPRINT] = RingEntry(KEK.id, b"torn")

    with pytest.raises(SealedValue, match="the key ring of prod is damaged"):
        world.seal({"api_key": "sk-2"})


def test_a_data_key_cannot_be_planted_as_the_fingerprint_key():
    world = World()
    sealed = world.seal({"api_key": "sk-1"})
    world.ring[FINGERPRINT] = world.ring[sealed["api_key"]["$sealed"]["dek"]]

    with pytest.raises(SealedValue, match="the key ring of prod is damaged"):
        world.seal({"api_key": "sk-2"})


FOREIGN = World(seed=5).seal({"api_key": "theirs", "other": "x"}, secrets=[("api_key",)])


@pytest.mark.parametrize(
    "value",
    [
        FOREIGN,
        {"api_key": {"$sealed": {"dek": "a", "nonce": "", "ct": "", "fp": ""}}},
        {"api_key": {"$sealed": None}},
        {"api_key": {"$sealed": {"fp": ""}}},
        {"api_key": {"$sealed": {"fp": "0" * 32}}},
        {"base_url": FOREIGN["api_key"]},
        {"deep": [{"$sealed": {}, "disguise": 1}]},
        {"$sealed": {}},
    ],
)
def test_ciphertext_that_is_not_the_fields_own_is_refused(value):
    world = World()
    before = world.seal({"api_key": "mine"})

    for previous in (before, None):
        with pytest.raises(InvalidValue, match="this sealed object is not the one"):
            check_no_foreign_seals(value, previous)
    with pytest.raises(InvalidValue):
        world.seal(value, previous=before)


def test_a_sealed_object_may_not_be_moved_to_a_field_of_the_same_value():
    before = World().seal({"api_key": "mine"})

    with pytest.raises(InvalidValue) as refused:
        check_no_foreign_seals({"model": before["api_key"]}, before)
    assert refused.value.path == "/model"


def test_sealed_parts_cannot_be_sealed_again_inside_a_larger_secret():
    world = World()
    before = world.seal({"auth": {"key": "a"}}, secrets=[("auth", "key")])

    with pytest.raises(InvalidValue, match="/auth: this field is secret as a whole"):
        world.seal(before, previous=before, secrets=[("auth",)])


@pytest.mark.parametrize(
    ("path", "expected"), [((), ""), (("a",), "/a"), (("a/b", "~", "0"), "/a~1b/~0/0")]
)
def test_pointers_follow_the_rfc(path, expected):
    assert pointer(path) == expected


def test_a_ring_entry_survives_its_text():
    entry = RingEntry("abc", bytes(range(60)))

    assert RingEntry.parse(entry.encode()) == entry


@pytest.mark.parametrize("text", ["abc:!", "abc:A", "abc:é"])
def test_a_damaged_ring_entry_is_refused(text):
    with pytest.raises(SealedValue, match="entry of the key ring is damaged"):
        RingEntry.parse(text)


def test_importing_it_does_not_load_cryptography():
    program = "import client_sdk.sealing, sys; sys.exit('cryptography' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
