"""
What can go wrong in the gateway beside the SDK's own tree::

    ConfigError
    └── GatewayError
        ├── ProviderFailed      a provider could not be built, proven or asked, and its `kind`
        └── PortInUse           a listener cannot be opened; says who to ask for another port
"""

from __future__ import annotations

from client_sdk.errors import ConfigError


class GatewayError(ConfigError):
    """The root of what is the gateway's own."""


class ProviderFailed(GatewayError):
    """
    A provider could not do its work. The message never holds a key or what the other side
    answered: some services repeat the key in their error text.

    `kind` is one of settings, auth, limit, refused, unavailable, timeout, answer.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class PortInUse(GatewayError):
    """A listener cannot be opened."""
