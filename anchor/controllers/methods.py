"""The current request, for controllers that allow some HTTP methods only."""

from __future__ import annotations

import pecan

from anchor.errors import WrongMethod
from anchor.web.request import Request

READ = ("GET", "HEAD")


def current_request(*methods: str) -> Request:
    """The request that this thread handles, which has to have one of these methods, if any.

    It is the object behind the proxy ``pecan.request``, so it can be passed to other threads.

    Raises:
        WrongMethod: the request has another method.
    """
    request: Request = pecan.request.environ["pecan.locals"]["request"]
    if methods and request.environ["REQUEST_METHOD"] not in methods:
        raise WrongMethod(methods)
    return request
