"""The HTTP request: the client's address behind trusted proxies, and a bounded body."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import time
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, NamedTuple

import pecan

from anchor import errors

Address = IPv4Address | IPv6Address
Networks = Collection[IPv4Network | IPv6Network]

TRUSTED_PROXIES = "anchor.trusted_proxies"
REQUEST_ID = "anchor.request_id"
CLIENT = "anchor.client"
# WebOb sets it when it has replaced the body by a file that can be read again.
_SEEKABLE = "webob.is_body_seekable"


class Request(pecan.Request):  # type: ignore[misc]  # pecan has no types
    """``pecan.Request``, with a client address that cannot be forged and a bounded body."""

    @property
    def request_id(self) -> str:
        """The identifier of this request in the response, the log and the audit."""
        return request_id(self.environ)

    @property
    def client_address(self) -> Address | None:
        """The client's address, or None if it is unknown.

        If the peer is a trusted proxy, this is the right-most address in X-Forwarded-For that is
        not a trusted proxy.  An element that cannot be parsed makes the client unknown, because it
        is a client behind the proxy and not the proxy.
        """
        return _client(self.environ).address

    @property
    def client_addr(self) -> str:
        """The client's address as text; WebOb's property trusts X-Forwarded-For from any peer."""
        return _client(self.environ).text

    @property
    def is_from_trusted_proxy(self) -> bool:
        """True if the peer is a trusted proxy; a peer without an address is none."""
        return _peer(self.environ).is_in(self.environ.get(TRUSTED_PROXIES, ()))

    @property
    def is_https(self) -> bool:
        """True if the client used HTTPS, to this server or to a trusted proxy."""
        if self.environ.get("wsgi.url_scheme") == "https":
            return True
        forwarded = self.environ.get("HTTP_X_FORWARDED_PROTO")
        return forwarded == "https" and self.is_from_trusted_proxy

    def read_body(self, limit: int, seconds: float) -> bytes:
        """The whole body.

        Args:
            limit: the largest body to accept, in bytes.
            seconds: how long the body may take to arrive.

        Raises:
            RequestError: the body is too large, too slow or incomplete, or has no Content-Length.
        """
        length = self._content_length()
        if length > limit:
            self._discard(min(length, MAX_DISCARDED), seconds)
            raise errors.SubmissionTooLarge(f"the body is larger than {limit} bytes")
        body = self._read(length, seconds)
        if len(body) < length:
            raise errors.MalformedSubmission("the body is shorter than its Content-Length")
        # For hooks and plug-ins that read it after this, for example with `request.POST`.
        self.environ["wsgi.input"] = io.BytesIO(body)
        self.environ[_SEEKABLE] = True
        return body

    def _content_length(self) -> int:
        if self.environ.get("HTTP_TRANSFER_ENCODING"):
            raise errors.LengthUnknown("the body needs a Content-Length")
        text = self.environ.get("CONTENT_LENGTH") or "0"
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise errors.MalformedSubmission("the Content-Length is not a number")
        return int(text)

    def _read(self, length: int, seconds: float) -> bytes:
        stream: Any = self.environ["wsgi.input"]
        if self.environ.get(_SEEKABLE):
            # A Pecan hook has read it.
            stream.seek(0)
        if isinstance(stream, io.BytesIO):
            return stream.read(length)
        read = getattr(stream, "read1", stream.read)
        connection = self.environ.get(
            "gunicorn.socket", getattr(getattr(stream, "raw", None), "_sock", None)
        )
        deadline = time.monotonic() + seconds
        chunks: list[bytes] = []
        missing = length
        while missing:
            left = deadline - time.monotonic()
            if left <= 0:
                raise _too_slow()
            if isinstance(connection, socket.socket):
                # wsgiref, which `pecan serve` uses, and gunicorn have no timeout for the body.
                connection.settimeout(left)
            try:
                chunk = read(min(missing, CHUNK))
            except OSError:
                raise _too_slow() from None
            if not chunk:
                break
            chunks.append(chunk)
            missing -= len(chunk)
        return b"".join(chunks)

    def _discard(self, length: int, seconds: float) -> None:
        """Read and drop the body: a client that is still sending would miss the response."""
        with contextlib.suppress(errors.RequestError):
            self._read(length, seconds)


CHUNK = 1 << 16
MAX_DISCARDED = 1 << 23
# An IPv6 address has at most 45 characters; a zone, a port and brackets may be added.
MAX_ADDRESS_LENGTH = 80
_BLANK = " \t"

# Proxies write an address with or without a port; RFC 7239 adds brackets for IPv6, and quotes.
_ADDRESS = re.compile(
    r"""(?P<quote>"?)
    (?: \[ (?P<v6>[0-9A-Fa-f:.]+) (?:%[A-Za-z0-9._~-]+)? \] (?: : (?P<v6_port>[0-9]{1,5}) )?
      | (?P<v4>[0-9.]+) (?: : (?P<v4_port>[0-9]{1,5}) )?
      | (?P<bare>[0-9A-Fa-f:.]+) (?:%[A-Za-z0-9._~-]+)?
    )(?P=quote)""",
    re.ASCII | re.VERBOSE,
)


def request_id(environ: dict[str, Any]) -> str:
    """The identifier of a request in the response, the log and the audit."""
    identifier: str | None = environ.get(REQUEST_ID)
    if identifier is None:
        identifier = environ[REQUEST_ID] = os.urandom(8).hex()
    return identifier


def _too_slow() -> errors.SubmissionTooSlow:
    return errors.SubmissionTooSlow("the body did not arrive in time")


class _Client(NamedTuple):
    """An address, or None if it is unknown, and its text."""

    address: Address | None
    text: str

    def is_in(self, networks: Networks) -> bool:
        return self.address is not None and any(self.address in network for network in networks)


_UNKNOWN = _Client(None, "unknown")


def _client(environ: dict[str, Any]) -> _Client:
    client: _Client | None = environ.get(CLIENT)
    if client is None:
        client = environ[CLIENT] = _find_client(environ)
    return client


def _find_client(environ: dict[str, Any]) -> _Client:
    client = _peer(environ)
    proxies: Networks = environ.get(TRUSTED_PROXIES, ())
    if not proxies or not client.is_in(proxies):
        return client
    forwarded = environ.get("HTTP_X_FORWARDED_FOR")
    if forwarded is None:
        # The proxy sent this request itself.
        return client
    for hop in reversed(forwarded.split(",")):
        client = _parse_client(hop.strip(_BLANK))
        if not client.is_in(proxies):
            break
    return client


def _peer(environ: dict[str, Any]) -> _Client:
    return _parse_client(environ.get("REMOTE_ADDR", ""))


def _parse_client(text: str) -> _Client:
    # A client can send any text in the header, of any length.
    if len(text) > MAX_ADDRESS_LENGTH:
        return _UNKNOWN
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["v6_port"] or match["v4_port"] or 0) > 65535:
        return _UNKNOWN
    address: Address
    try:
        # The zone is left out: it names an interface of the machine that wrote it.
        if match["v4"]:
            address = IPv4Address(match["v4"])
        else:
            address = IPv6Address(match["v6"] or match["bare"])
    except ValueError:
        return _UNKNOWN
    # A socket that listens on both families shows IPv4 peers as ::ffff:192.0.2.1.
    address = getattr(address, "ipv4_mapped", None) or address
    return _Client(address, str(address))
