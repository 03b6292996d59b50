"""
Where one RESP message ends and the next begins: pure.

A proxy that drops, doubles or reorders has to do it to whole messages, else it only breaks the
parser at the other end. The values are not read: a message is its bytes, and the words of a command
or of a push are all that anybody asks for. Both versions of the protocol are cut, since a client
chooses the version by itself. The replication stream is *not* RESP (a dump has no line end behind
it): such a link goes through a proxy that does not look inside.
"""

from __future__ import annotations

_SIMPLE = b"+-:_#,("
_BULK = b"$!="
_MANY = {ord("*"): 1, ord("~"): 1, ord(">"): 1, ord("%"): 2}
_END = b"\r\n"
_PUSHES = frozenset(b"message pmessage smessage".split())
SUBSCRIPTIONS = frozenset(
    b"subscribe unsubscribe psubscribe punsubscribe ssubscribe sunsubscribe".split()
)  # the commands, and what is said in answer


class NotResp(ValueError):
    """These bytes are no RESP."""


class Splitter:
    """Bytes in as they come, whole messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0  # what lies before it was looked at
        self._left = 1  # elements that the message still lacks

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now. Raises NotResp."""
        self._buffer += data
        whole = []
        while self._element():
            if self._left == 0:
                whole.append(bytes(self._buffer[: self._at]))
                del self._buffer[: self._at]
                self._at, self._left = 0, 1
        return whole

    def _element(self) -> bool:
        """Step over one element; False when its bytes are not all here."""
        end = self._buffer.find(_END, self._at)
        if end < 0:
            return False
        kind, after, inside = self._buffer[self._at], end + 2, 0
        if kind in _BULK:
            size = self._count(end)
            after += size + 2 if size >= 0 else 0
            if after > len(self._buffer):
                return False
        elif kind in _MANY:
            inside = max(0, self._count(end)) * _MANY[kind]
        elif kind not in _SIMPLE:
            raise NotResp(f"a message begins with {bytes((kind,))!r}")
        self._at = after
        self._left += inside - 1
        return True

    def _count(self, end: int) -> int:
        digits = bytes(self._buffer[self._at + 1 : end])
        try:
            return int(digits)
        except ValueError:
            raise NotResp(f"a length is {digits!r}") from None


def words(message: bytes) -> list[bytes]:
    """The strings of a flat message (a command, a push), empty for any other."""
    if message[:1] not in (b"*", b">"):
        return []
    found, at = [], message.find(_END) + 2
    while message[at : at + 1] == b"$":
        end = message.find(_END, at)
        size = int(message[at + 1 : end])
        found.append(message[end + 2 : end + 2 + max(0, size)])
        at = end + 2 + (size + 2 if size >= 0 else 0)
    return found


def is_push(message: bytes) -> bool:
    """True for a message of a channel, False for the answer to a command."""
    return not _PUSHES.isdisjoint(words(message)[:1])


def is_confirmation(message: bytes) -> bool:
    """True for what a subscription says about itself: it may come without having been asked."""
    return not SUBSCRIPTIONS.isdisjoint(words(message)[:1])
