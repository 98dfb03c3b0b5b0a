"""The HTTP methods that a controller answers."""

from __future__ import annotations

import pecan

from anchor.errors import WrongMethod

READ = ("GET", "HEAD")


def require_method(*allowed: str) -> None:
    """Require that the current request has one of these methods.

    Raises:
        WrongMethod: it has another one.
    """
    if pecan.request.method not in allowed:
        raise WrongMethod(allowed)
