"""WSGI applications that answer what no sound service would."""

from __future__ import annotations

import json


def answering(status, body, content_type="application/json", **headers):
    """Always the same answer; a header's name has underscores for its dashes."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()

    def application(environ, start_response):
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        start_response(status, [("Content-Type", content_type), *named])
        return [encoded]

    return application


def problem(status, detail, **headers):
    """Problem details, as the service answers them."""
    return answering(status, {"detail": detail}, "application/problem+json", **headers)
