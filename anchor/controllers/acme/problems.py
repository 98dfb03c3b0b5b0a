"""The problem documents of ACME (RFC 8555 section 6.7)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple

from anchor.acme.errors import problem_type
from anchor.acme.problems import AcmeProblem
from anchor.errors import ValidationFailed
from anchor.web.problems import public_detail, retry_headers, status_of
from anchor.web.request import Request

PROBLEM_TYPE = "application/problem+json"


class DescribedError(NamedTuple):
    """What a client is told about an error.

    Attributes:
        status: the HTTP status.
        document: the members of the problem document.
        headers: more headers.
        links: pairs of a relation and a URL for ``Link`` headers.
    """

    status: HTTPStatus
    document: dict[str, Any]
    headers: dict[str, str]
    links: tuple[tuple[str, str], ...] = ()


def describe_error(error: Exception, request: Request) -> DescribedError:
    """What the client is told about an error; the whole of it goes to the log."""
    headers = dict(retry_headers(error))
    if isinstance(error, AcmeProblem):
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        if error.location is not None:
            headers["Location"] = error.location
        status = HTTPStatus(error.kind.status)
        described = DescribedError(status, error.as_json(), headers, error.links)
    else:
        status = status_of(error)
        if status is HTTPStatus.UNAUTHORIZED:
            # RFC 9110 section 15.5.2: a 401 would name a scheme, and ACME uses none of them.
            status = HTTPStatus.FORBIDDEN
        document = {"type": problem_type(error).urn, "status": int(status)}
        described = DescribedError(status, document, headers)
    described.document["detail"] = public_detail(error, request, status)
    described.document["request_id"] = request.request_id
    if isinstance(error, ValidationFailed):
        described.document["failures"] = [
            {"check": failure.check, "reason": failure.reason} for failure in error.failures
        ]
    return described
