"""
What can go wrong, as one tree. Catch the branch you can do something about::

    ConfigError
    ├── UsageError                  the caller asked for something that cannot be
    │   ├── UnknownKey (KeyError)       no such key, and no default
    │   ├── UnknownKind                 no such module kind
    │   ├── InvalidValue (ValueError)   a value that cannot travel: NaN, depth, duplicate keys ...
    │   ├── RuleInvalid (ValueError)    a targeting rule that cannot be compiled
    │   ├── SettingInvalid (ValueError) a setting, URL or file that cannot be used
    │   ├── MissingExtra (ImportError)  an optional part is not installed; says the pip line
    │   ├── ClientClosed                the client was closed
    │   └── ForkedClient                the process was forked after connect
    ├── Unavailable                 neither center, snapshot nor defaults
    ├── NotReady                    a declared module is not built and proven
    ├── StateInUse                  another process uses this state directory
    ├── StoreUnavailable            the center's private store cannot be run
    ├── TransportDown               a path is gone for now; another may do
    ├── NotTrusted                  a key, or a list of keys, that nobody we trust vouches for
    ├── NotVerified                 bytes that are not what was signed
    │   ├── UnknownSigner               signed by a key that no list of ours has named
    │   └── MissingBodies               a change whose bodies are still to be fetched
    ├── Refused                     a version that this process cannot use: step and reason
    │   └── SealedValue                 a sealed field, and no key that opens it
    └── ApiError                    the center answered with a problem
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ConfigError(Exception):
    """The root of the tree."""


class UsageError(ConfigError):
    """The caller asked for something that cannot be."""


class UnknownKey(UsageError, KeyError):
    """No such key, and no default. ``key`` and the ``nearest`` existing names."""

    def __init__(self, key: str, nearest: Iterable[str] = ()) -> None:
        self.key = key
        self.nearest = tuple(nearest)
        hint = f"; did you mean {' or '.join(self.nearest)}?" if self.nearest else ""
        super().__init__(f"there is no key {key!r}{hint}")

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the repr


class UnknownKind(UsageError):
    """No such module kind."""


class InvalidValue(UsageError, ValueError):
    """A value that cannot travel. ``path`` says where, as ``.providers[3].key``."""

    def __init__(self, message: str, path: str = "") -> None:
        self.path = path
        super().__init__(f"{path}: {message}" if path else message)


class RuleInvalid(UsageError, ValueError):
    """A targeting rule that cannot be compiled. ``path`` says where."""

    def __init__(self, message: str, path: str = "") -> None:
        self.path = path
        super().__init__(f"{path}: {message}" if path else message)


class SettingInvalid(UsageError, ValueError):
    """A setting, URL or file that cannot be used; the message says what to write instead."""


class MissingExtra(UsageError, ImportError):
    """An optional part is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} needs an extra: pip install 'config-center[{extra}]'")


class ClientClosed(UsageError):
    """The client was closed."""


class ForkedClient(UsageError):
    """The process was forked after connect; connect anew in the child."""


class Unavailable(ConfigError):
    """Neither the center, nor a snapshot, nor defaults: there is nothing to serve."""


class NotReady(ConfigError):
    """Declared modules that are not built and proven: module -> step and reason."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        listed = "; ".join(f"{name}: {why}" for name, why in self.problems.items())
        super().__init__(f"not ready: {listed}")


class StateInUse(ConfigError):
    """Another process uses this state directory, or the same instance name."""


class StoreUnavailable(ConfigError):
    """The center's private store cannot be run; the message says what to install or change."""


class TransportDown(ConfigError):
    """A path is gone for now. ``permanent`` when trying again cannot help (a refused token)."""

    def __init__(self, reason: str, *, permanent: bool = False, retry_after: float = 0.0) -> None:
        self.permanent = permanent
        self.retry_after = retry_after
        super().__init__(reason)


class NotTrusted(ConfigError):
    """A key, or a list of keys, that nobody we trust vouches for."""


class NotVerified(ConfigError):
    """Bytes that are not what was signed, or do not lead to the state that was signed."""


class UnknownSigner(NotVerified):
    """Signed by ``kid``, which no list of signing keys that we hold has ever named."""

    def __init__(self, kid: str, reason: str) -> None:
        self.kid = kid
        super().__init__(reason)


class MissingBodies(NotVerified):
    """A change whose bodies (``hashes``, sha256 in hex) are still to be fetched."""

    def __init__(self, hashes: Iterable[str]) -> None:
        self.hashes = frozenset(hashes)
        super().__init__(f"{len(self.hashes)} bodies are still to be fetched")


class Refused(ConfigError):
    """A version this process cannot use. ``step`` says where; ``reason`` never holds a secret."""

    def __init__(self, step: str, reason: str) -> None:
        self.step = step
        self.reason = reason
        super().__init__(f"{step}: {reason}")


class SealedValue(Refused):
    """A sealed field, and no key that opens it."""

    def __init__(self, reason: str) -> None:
        super().__init__("sealed", reason)


class ApiError(ConfigError):
    """The center answered with a problem (RFC 9457)."""

    def __init__(self, status: int, problem: str, detail: str, members: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.detail = detail
        self.members = dict(members)
        super().__init__(f"{detail} ({status} {problem})")
