"""The HTTP API: one file a resource, one table of routes."""

from __future__ import annotations

from config_center.api import (
    audit,
    changes,
    health,
    keys,
    login,
    namespaces,
    recovery,
    review,
    secrets,
    system,
    trust,
    watch,
)
from config_center.api.peer import PEER_ROUTES as PEER_ROUTES

ROUTES = (
    *namespaces.ROUTES,
    *keys.ROUTES,
    *changes.ROUTES,
    *recovery.ROUTES,
    *secrets.ROUTES,
    *review.ROUTES,
    *watch.ROUTES,
    *system.ROUTES,
    *login.ROUTES,
    *trust.ROUTES,
    *health.ROUTES,
    *audit.ROUTES,
)
