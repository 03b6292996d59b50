"""The HTTP API: one file a resource, one table of routes."""

from __future__ import annotations

from config_center.api import changes, health, keys, namespaces, recovery, system, trust, watch
from config_center.api.peer import PEER_ROUTES as PEER_ROUTES

ROUTES = (
    *namespaces.ROUTES,
    *keys.ROUTES,
    *changes.ROUTES,
    *recovery.ROUTES,
    *watch.ROUTES,
    *system.ROUTES,
    *trust.ROUTES,
    *health.ROUTES,
)
