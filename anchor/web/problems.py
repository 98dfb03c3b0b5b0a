"""Error responses, with the one table from exceptions to HTTP statuses."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from webob import Response

from anchor import errors
from anchor.logs.bounds import shorten
from anchor.web.pages.error_page import error_page, has_error_page, page_headers
from anchor.web.request import Request
from anchor.web.responses import respond, wants_html, wants_json

LOG = logging.getLogger(__name__)

STATUSES: dict[type[BaseException], HTTPStatus] = {
    errors.UnknownPath: HTTPStatus.NOT_FOUND,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.OrderNotReady: HTTPStatus.FORBIDDEN,
    errors.WrongMethod: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.SubmissionTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    errors.LengthUnknown: HTTPStatus.LENGTH_REQUIRED,
    errors.SubmissionTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedSubmission: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    errors.TooManyAttempts: HTTPStatus.TOO_MANY_REQUESTS,
    errors.RequestError: HTTPStatus.BAD_REQUEST,
    errors.BackendUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    Exception: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def respond_to_error(error: Exception, request: Request) -> Response:
    """The response for an error: text, problem details (RFC 9457), or a page for a browser.

    The requester sees errors that they can correct.  Internal errors go to the log only.
    """
    status = status_of(error)
    detail = public_detail(error, request, status)
    headers = _headers(error)
    if wants_html(request) and has_error_page(request):
        page = error_page(request, status, detail)
        return respond(request, page, "text/html", status, headers | page_headers())
    if not wants_json(request):
        # A plug-in's error may have lone surrogates, as file names that are not UTF-8 do.
        text = f"{detail}\n".encode(errors="backslashreplace")
        return respond(request, text, "text/plain", status, headers)
    # RFC 9457 4.2.1: about:blank means that the type adds nothing to the status.
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "request_id": request.request_id,
    }
    if isinstance(error, errors.ValidationFailed):
        problem["failures"] = [
            {"check": failure.check, "reason": failure.reason} for failure in error.failures
        ]
    return respond(
        request, json.dumps(problem).encode(), "application/problem+json", status, headers
    )


def status_of(error: Exception) -> HTTPStatus:
    """The HTTP status for an error."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def public_detail(error: Exception, request: Request, status: HTTPStatus) -> str:
    """What the requester may know of an error; the whole of it goes to the log."""
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        LOG.error("request %s failed", request.request_id, exc_info=error)
        return f"internal error, request {request.request_id}"
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        if isinstance(error, errors.DatabaseUnavailable):
            # The message has the driver's; its traceback would be logged for each request.
            LOG.error("request %s: %s", request.request_id, error)
            return "the database cannot be used now, try again later"
        LOG.error("request %s: %s", request.request_id, error, exc_info=error.__cause__)
        return "the credentials cannot be checked now, try again later"
    LOG.info("request %s: %d, %s", request.request_id, status, shorten(str(error)))
    return str(error)


# RFC 7617 section 2, RFC 6750 section 3.  No registered scheme is for TLS client certificates, but
# RFC 9110 section 15.5.2 requires one.
_CHALLENGES = {
    "Basic": 'Basic realm="anchor", charset="UTF-8"',
    "Bearer": 'Bearer realm="anchor"',
    "Certificate": 'Certificate realm="anchor"',
}


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, errors.NotAuthenticated):
        return {"WWW-Authenticate": ", ".join(_CHALLENGES[name] for name in error.schemes)}
    return retry_headers(error)


def retry_headers(error: Exception) -> dict[str, str]:
    """The headers that say what to do instead, or when to try again."""
    match error:
        case errors.WrongMethod():
            return {"Allow": ", ".join(error.allowed)}
        case errors.TooManyAttempts() | errors.BackendUnavailable() | errors.DatabaseUnavailable():
            return {"Retry-After": str(error.retry_after)}
        case _:
            return {}
