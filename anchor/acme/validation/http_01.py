"""The challenge ``http-01`` (RFC 8555 section 8.3)."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from typing import Any

from anchor.acme.problems import ProblemType
from anchor.acme.settings import AcmeSettings
from anchor.acme.validation.attempt import Attempt
from anchor.acme.validation.connections import Connector, Host, describe
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.limited_connection import (
    Connection,
    ConnectionReader,
    LimitedConnection,
)
from anchor.acme.validation.time_limit import TimeLimit
from anchor.acme.validation.tls_connection import TlsConnection
from anchor.acme.validation.web_location import WebLocation

_PATH = "/.well-known/acme-challenge/"
_MAX_REDIRECTS = 10
_MAX_BODY = 512
_MAX_BYTES = 32_768
# With the handshake, whose certificates nobody verifies.
_MAX_TLS_BYTES = 98_304
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def validate(
    attempt: Attempt, settings: AcmeSettings, connector: Connector, limit: TimeLimit
) -> None:
    """Require that the machine with the name serves the key authorization.

    Raises:
        ChallengeFailed: it does not.
    """
    identifier = attempt.identifier
    host: Host = ip_address(identifier.value) if identifier.type == "ip" else identifier.value
    ports = frozenset({80, 443, settings.http_port, settings.tls_port})
    location = WebLocation(
        is_https=False, host=host, port=settings.http_port, target=_PATH + attempt.token
    )
    for _ in range(_MAX_REDIRECTS + 1):
        redirect, body = _get(location, connector, limit)
        if redirect is None:
            _require_authorization(body, attempt, location)
            return
        try:
            location = location.redirected(redirect, ports)
        except ValueError as error:
            raise ChallengeFailed(
                ProblemType.CONNECTION, f"{location.authority} redirects: the target {error}"
            ) from None
    raise ChallengeFailed(
        ProblemType.CONNECTION,
        f"{identifier} leads to more than {_MAX_REDIRECTS} redirects",
    )


def _require_authorization(body: bytes, attempt: Attempt, location: WebLocation) -> None:
    # Section 8.3: whitespace at the end is ignored.
    if body.rstrip() != attempt.key_authorization.encode("ascii"):
        raise ChallengeFailed(
            ProblemType.INCORRECT_RESPONSE,
            f"the body from {location.authority} should be the key authorization, which is the "
            "token of the challenge, a dot and the thumbprint of the account's key, and is another "
            "text" + (f" of more than {_MAX_BODY} bytes" if len(body) > _MAX_BODY else ""),
        )


def _get(location: WebLocation, connector: Connector, limit: TimeLimit) -> tuple[str | None, bytes]:
    """The target of a redirect, or None and the first bytes of the body."""
    connection = connector.connect(location.host, location.port)
    try:
        with connection:
            stream = _stream(connection, location, limit)
            stream.send(_request(location))
            with _response(ConnectionReader(stream)) as response:
                response.begin()
                return _contents(response, location)
    except ssl.SSLError as error:
        reason = f"TLS failed ({error.reason or 'no reason'})"
    except OSError as error:
        reason = describe(error)
    except (HTTPException, ValueError):
        reason = "the answer is not HTTP"
    raise ChallengeFailed(
        ProblemType.CONNECTION, f"the request to {location.authority} failed: {reason}"
    )


def _contents(response: HTTPResponse, location: WebLocation) -> tuple[str | None, bytes]:
    """The target of a redirect, or None and the first bytes of the body."""
    if response.status in _REDIRECTS:
        return response.getheader("Location", ""), b""
    if response.status != 200:
        raise ChallengeFailed(
            ProblemType.INCORRECT_RESPONSE,
            f"{location.authority} answers {response.status}, and should answer 200 with the key "
            f"authorization at {_PATH}",
        )
    return None, response.read(_MAX_BODY + 1)


def _stream(connection: socket.socket, location: WebLocation, limit: TimeLimit) -> Connection:
    if not location.is_https:
        return LimitedConnection(connection, _MAX_BYTES, limit)
    # The client asks for its certificate only now: there is none that could be verified.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    encrypted = LimitedConnection(connection, _MAX_TLS_BYTES, limit)
    return TlsConnection(encrypted, context, str(location.host))


def _request(location: WebLocation) -> bytes:
    lines = (
        f"GET {location.target} HTTP/1.1",
        f"Host: {location.authority}",
        "User-Agent: anchor (ACME http-01)",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


def _response(reader: Any) -> HTTPResponse:
    """The response, of which nothing was read yet."""
    return HTTPResponse(reader, method="GET")
