from __future__ import annotations

from client_sdk.contents import Op
from client_sdk.records import Position
from client_sdk.state import NamespaceState
from config_center.sizes import Sizes
from tests.history import put


def test_counts_follow_the_states_and_leave_reserved_keys_out() -> None:
    sizes, empty = Sizes(), NamespaceState.empty()
    one = empty.after([put("a", "xx"), put("_schema.a", {})], Position(1, 1))
    two = one.after([put("b", "xxx"), Op("a", "del", 1, None)], Position(1, 2))

    assert [sizes.of(state) for state in (empty, one, two, one)] == [(0, 0), (1, 4), (1, 5), (1, 4)]


def test_what_a_change_would_make_of_them_leaves_reserved_keys_out_too() -> None:
    sizes = Sizes()
    state = NamespaceState.empty().after([put("a", "xx")], Position(1, 1))

    assert sizes.after(state, [put("b", "x"), put("_schema.b", {}), put("a", "", 2)]) == (2, 5)
