"""
Which node of a Redis Cluster owns a slot, as far as is known here, and whom to ask. Pure.

A cluster tells its layout in two ways: a table on request, and MOVED to each command that came to
the wrong node. Only MOVED is used. It is about the very slot that is asked for, it is said by the
node that would have carried the command out, it needs no permission beyond the command's, and it
costs nothing as long as we are right. A table is a node's view of all others, and may be old.

So all that is kept is a guess, and being wrong costs one more question: a node that answers without
MOVED is the owner, whatever was believed before. Nodes that were learned from a MOVED are asked
too, so a cluster whose listed nodes are all gone is still found; those that fail are asked last,
and forgotten unless they are listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client_sdk.redis_url import Host


class SlotMap:
    """Owners by slot. ``listed``: the nodes of the URL, in the order in which to ask them."""

    def __init__(self, listed: Iterable[Host]) -> None:
        self._listed = tuple(dict.fromkeys(listed))
        self._hosts = list(self._listed)
        self._owners: dict[int, Host] = {}

    def owner(self, slot: int) -> Host | None:
        """The node that is believed to own ``slot``."""
        return self._owners.get(slot)

    def candidates(self) -> list[Host]:
        """Whom to ask for an owner, in this order."""
        return list(self._hosts)

    def found(self, slot: int, owner: Host) -> None:
        """``owner`` answered for ``slot``, or was named by another node."""
        self._owners[slot] = owner
        if owner not in self._hosts:
            self._hosts.insert(0, owner)

    def failed(self, host: Host) -> None:
        """``host`` does not answer: what it owned has to be found anew."""
        self._owners = {slot: owner for slot, owner in self._owners.items() if owner != host}
        if host in self._hosts:
            self._hosts.remove(host)
        if host in self._listed:
            self._hosts.append(host)
