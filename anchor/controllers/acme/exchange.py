"""A request to an ACME resource, and the responses with the headers that all of them have."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from webob import Response

from anchor.acme.nonces import Nonces
from anchor.acme.requests import RequestReader, SignedRequest, Signer
from anchor.acme.services import AcmeServices
from anchor.acme.urls import AcmeUrls
from anchor.auth.presented import Origin
from anchor.controllers.acme.problems import PROBLEM_TYPE, describe_error
from anchor.errors import AnchorError, UnsupportedSubmission, WrongMethod
from anchor.metrics.registry import Metrics
from anchor.web.forms import content_type
from anchor.web.request import Request
from anchor.web.responses import respond
from anchor.web.settings import WebSettings

LOG = logging.getLogger(__name__)

REQUEST_TYPE = "application/jose+json"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_MAX_USER_AGENT = 200


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request to a resource of one directory.

    Attributes:
        request: the HTTP request.
        services: the authority.
        urls: the URLs of the directory.
        nonces: the nonces of all nodes.
        web: the ``web`` section of ``config.py``.
        metrics: the counters.
        path: the path below the directory's base, such as ``/new-order``.
    """

    request: Request
    services: AcmeServices
    urls: AcmeUrls
    nonces: Nonces
    web: WebSettings
    metrics: Metrics
    path: str

    @property
    def origin(self) -> Origin:
        """Where the request came from, for the audit and the inventory."""
        return Origin(
            address=self.request.client_addr,
            request_id=self.request.request_id,
            door="acme",
            request=self.request,
        )

    @property
    def user_agent(self) -> str:
        """The client, as it calls itself; may be empty."""
        return str(self.request.environ.get("HTTP_USER_AGENT", ""))[:_MAX_USER_AGENT]

    def require_method(self, *allowed: str) -> None:
        """Require one of these HTTP methods.

        Raises:
            WrongMethod: the request has another one.
        """
        if self.request.environ["REQUEST_METHOD"] not in allowed:
            raise WrongMethod(allowed)

    def read(self, signer: Signer = Signer.ACCOUNT) -> SignedRequest:
        """The signed request in the body.

        Args:
            signer: how the request may name the key that has signed it.

        Raises:
            AnchorError: as :meth:`RequestReader.read`; or the body is too large, too slow, or of
                another media type.
        """
        self.require_method("POST")
        body = self.request.read_body(self.web.max_body_bytes, self.web.body_seconds)
        media_type, _ = content_type(self.request)
        if media_type != REQUEST_TYPE:
            raise UnsupportedSubmission(f"the body should be {REQUEST_TYPE}")
        reader = RequestReader(self.services, self.nonces, self.urls)
        # RFC 8555 section 6.4: no URL of a resource has a query.
        query = self.request.environ.get("QUERY_STRING")
        url = self.urls.base + self.path + (f"?{query}" if query else "")
        return reader.read(body, url, signer)

    def respond(
        self,
        body: Mapping[str, Any] | bytes,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        media_type: str = "application/json",
        headers: Mapping[str, str] = NO_HEADERS,
        links: Iterable[tuple[str, str]] = (),
    ) -> Response:
        """A response with a new nonce, if it is to a POST, and with a link to the directory.

        Args:
            body: the members of a JSON object, or the bytes of another media type.
            status: the status.
            media_type: the media type of the body.
            headers: more headers.
            links: pairs of a relation and a URL for ``Link`` headers.
        """
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode("ascii")
        # RFC 8555 section 7.1: all but the directory have this link.
        every = {**headers, "Link": _link("index", self.urls.directory)}
        if self.request.environ["REQUEST_METHOD"] == "POST" and (nonce := self._new_nonce()):
            every["Replay-Nonce"] = nonce
        response = respond(self.request, encoded, media_type, status, every)
        for relation, url in links:
            response.headers.add("Link", _link(relation, url))
        return response

    def respond_to_error(self, error: Exception) -> Response:
        """The problem document for an error (RFC 8555 section 6.7)."""
        problem = describe_error(error, self.request)
        return self.respond(
            problem.document,
            status=problem.status,
            media_type=PROBLEM_TYPE,
            headers=problem.headers,
            links=problem.links,
        )

    def _new_nonce(self) -> str | None:
        try:
            return self.nonces.new()
        except AnchorError as error:
            # The error of the request itself matters more.
            LOG.warning("request %s: there is no nonce: %s", self.request.request_id, error)
            return None


def _link(relation: str, url: str) -> str:
    return f'<{url}>;rel="{relation}"'
