"""``GET /healthz`` and ``GET /readyz``, for balancers and orchestrators."""

from __future__ import annotations

import json
from http import HTTPStatus

from webob import Response

from anchor.web.readiness import Readiness
from anchor.web.request import Request
from anchor.web.responses import respond, wants_json


def alive(request: Request) -> Response:
    """That the service answers, and nothing else."""
    return respond(request, b"ok\n", "text/plain")


def ready(request: Request, readiness: Readiness) -> Response:
    """Whether certificates can be issued now: one line for each thing that it takes."""
    findings = readiness.findings()
    good = all(finding.problem is None for finding in findings)
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    if wants_json(request):
        document = {
            "ready": good,
            "checks": [
                {
                    "check": finding.what,
                    "ready": finding.problem is None,
                    "problem": finding.problem,
                }
                for finding in findings
            ],
        }
        return respond(request, json.dumps(document).encode(), "application/json", status)
    lines = [f"{finding.what}: {finding.problem or 'ok'}\n" for finding in findings]
    return respond(request, "".join(lines).encode(), "text/plain", status)
