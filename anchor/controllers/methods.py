"""The HTTP methods that a controller allows."""

from __future__ import annotations

import pecan

from anchor.errors import WrongMethod

READ = ("GET", "HEAD")


def require_method(*allowed: str) -> None:
    """Raise WrongMethod unless the current request has one of these methods."""
    if pecan.request.method not in allowed:
        raise WrongMethod(allowed)
