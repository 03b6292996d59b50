from client_sdk.data_keys import DataKeys, deks_in_bodies, without_shredded
from tests.history import History, put

RING = {"a": "old:AAAA", "b": "old:BBBB", "fp": "old:CCCC"}


def bodies_naming(dek):
    return History().add(put("llm", {"api_key": {"$sealed": {"dek": dek}}})).bodies.values()


def test_what_was_shredded_leaves_the_ring_and_nothing_else_does():
    assert without_shredded(RING, {"llm"}) is RING
    assert without_shredded(RING, {"llm", "_shredded.b"}) == {"a": "old:AAAA", "fp": "old:CCCC"}


def test_a_body_names_its_data_keys():
    assert deks_in_bodies(bodies_naming("a")) == {"a"}


def test_a_change_that_names_an_unknown_key_lacks_it_until_the_ring_is_read():
    keys = DataKeys()
    assert not keys.needed
    keys.take({"a": "old:AAAA"}, (), ())
    assert (keys.lacking, keys.needed) == (False, True)

    keys.take(None, bodies_naming("b"), ())
    assert (keys.lacking, keys.wants(())) == (True, True)

    keys.read(RING, ())
    assert (keys.lacking, keys.ring, keys.wants(())) == (False, RING, False)


def test_a_shredded_key_is_not_lacked_and_not_taken_back_from_an_old_ring():
    keys = DataKeys()
    keys.take(RING, bodies_naming("b"), {"_shredded.b"})

    assert (keys.lacking, "b" in keys.ring) == (False, False)
    keys.read(RING, {"_shredded.b"})
    assert "b" not in keys.ring


def test_the_ring_is_asked_for_once_with_keys_that_do_not_open_it():
    keys = DataKeys()
    keys.take(RING, (), ())

    assert [keys.wants(ids) for ids in (("old",), ("old", "new"), ("new",), ("new",))] == [
        *(False, False),
        *(True, False),
    ]
    keys.read({"a": "new:AAAA"}, ())
    assert [keys.wants(ids) for ids in (("new",), ("old",))] == [False, True]
