"""``GET /healthz`` and ``GET /readyz``, for load balancers and orchestrators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from webob import Response

from anchor.web.readiness import Readiness, ReadinessCheck
from anchor.web.request import Request
from anchor.web.responses import respond, wants_json


def alive(request: Request) -> Response:
    """A response without any check."""
    return respond(request, b"ok\n", "text/plain")


def ready(request: Request, readiness: Readiness) -> Response:
    """The results of the readiness checks, with status 200 or 503; one line per check."""
    checks = readiness.checks()
    is_ready = all(check.problem is None for check in checks)
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    if wants_json(request):
        document = {"ready": is_ready, "checks": list(map(_as_json, checks))}
        return respond(request, json.dumps(document).encode(), "application/json", status)
    lines = [f"{check.name}: {check.problem or check.warning or 'ok'}\n" for check in checks]
    return respond(request, "".join(lines).encode(), "text/plain", status)


def _as_json(check: ReadinessCheck) -> Mapping[str, object]:
    document: dict[str, object] = {
        "check": check.name,
        "ready": check.problem is None,
        "problem": check.problem,
    }
    if check.warning is not None:
        document["warning"] = check.warning
    return document
