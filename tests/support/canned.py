"""WSGI applications that give wrong responses."""

from __future__ import annotations

import json


def response(status, body, content_type="application/json", **headers):
    """An application that always responds like this; header names have "_" for "-"."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()

    def application(environ, start_response):
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        start_response(status, [("Content-Type", content_type), *named])
        return [encoded]

    return application


def problem_response(status, detail, **headers):
    """An application that always responds with problem details (RFC 9457)."""
    return response(status, {"detail": detail}, "application/problem+json", **headers)
