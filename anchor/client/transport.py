"""HTTP requests to the service: verified, limited in time and size, without redirects."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import anchor
from anchor.client.errors import Misconfigured, Unavailable

MAX_ANSWER = 1 << 18

_PORTS = {"https": 443, "http": 80}

# X.509 verification errors of OpenSSL that end with time or with the server's next certificate: not
# yet valid, expired.
_TEMPORARY = {9, 10}


@dataclass(frozen=True)
class URL:
    """The URL of the service; its scheme is ``https`` or ``http``, its path has no final slash."""

    text: str
    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, text: str) -> URL:
        """Parse a URL.

        Raises:
            ValueError: it is not a valid URL of a service.
        """
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("should be a URL such as https://anchor.example.com")
        parts = urlsplit(text)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("should be a URL such as https://anchor.example.com")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("should be a URL without a user, a query or a fragment")
        port = parts.port or _PORTS[parts.scheme]
        return cls(text, parts.scheme, parts.hostname, port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The value of the Host header: the host, and the port if it is not the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def joined(self, path: str) -> str:
        """The absolute URL of a path of the service, which starts with a slash."""
        return f"{self.scheme}://{urlsplit(self.text).netloc}{self.path}{path}"


@dataclass(frozen=True)
class Reply:
    """The answer of the server.

    Attributes:
        retry_after: the seconds in ``Retry-After``, if any.
        date: the time in ``Date``, in seconds since the epoch, if any.
    """

    status: int
    media_type: str
    body: bytes
    retry_after: float | None
    location: str
    date: float | None = None


@dataclass(frozen=True)
class Transport:
    """Sends requests to one server.

    Attributes:
        url: the URL of the service.
        tls: the TLS settings that verify its certificate; None for plain http.
        timeout: the seconds that a request and its answer may take in total.
    """

    url: URL
    tls: ssl.SSLContext | None
    timeout: float

    def exchange(
        self, method: str, path: str, body: bytes | None = None, media_type: str = ""
    ) -> Reply:
        """Send a request and return the answer.

        Raises:
            Unavailable: there is no valid answer within the time.
            Misconfigured: the server's certificate cannot be verified.
        """
        headers = {
            # http.client adds the port 443, and some proxies then do not find the host.
            "Host": self.url.authority,
            "Accept": "application/json",
            "User-Agent": f"anchor/{anchor.__version__}",
            "Connection": "close",
        }
        if body is not None:
            headers["Content-Type"] = media_type
        connection = http.client.HTTPConnection(self.url.host, self.url.port)
        try:
            with self._connected() as stream:
                connection.sock = stream
                connection.request(method, self.url.path + path, body, headers)
                with connection.getresponse() as response:
                    answer = response.read(MAX_ANSWER + 1)
                    if len(answer) > MAX_ANSWER:
                        raise self._unavailable("its answer is too long")
                    return Reply(
                        response.status,
                        response.headers.get_content_type(),
                        answer,
                        retry_after(response.headers.get("Retry-After", ""), time.time()),
                        response.headers.get("Location", ""),
                        _date(response.headers.get("Date", "")),
                    )
        except ssl.SSLCertVerificationError as error:
            text = f"{self.url.text} cannot be verified: {error.verify_message}"
            if error.verify_code in _TEMPORARY:
                now = datetime.datetime.now(datetime.UTC)
                raise Unavailable(
                    f"{text}; it is {now:%Y-%m-%dT%H:%M:%SZ} by this machine's clock"
                ) from error
            raise Misconfigured(text) from error
        except ssl.SSLError as error:
            raise self._unavailable(f"TLS failed: {error.reason or error}") from error
        except TimeoutError as error:
            raise self._unavailable(f"no answer within {self.timeout:g} seconds") from error
        except OSError as error:
            raise self._unavailable(error.strerror or str(error)) from error
        except (http.client.HTTPException, ValueError) as error:
            raise self._unavailable(f"it does not speak HTTP: {type(error).__name__}") from error
        finally:
            connection.close()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        """A connection that is closed after the timeout; a socket timeout restarts at each read."""
        deadline = time.monotonic() + self.timeout
        plain = self._connect(deadline)
        timed_out = threading.Event()

        def shut_down() -> None:
            timed_out.set()
            with contextlib.suppress(OSError):
                duplicate.shutdown(socket.SHUT_RDWR)

        # wrap_socket() detaches the descriptor from the plain socket, so keep a duplicate.
        duplicate = plain.dup()
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), shut_down)
        timer.daemon = True
        timer.start()
        try:
            stream: socket.socket = plain
            if self.tls is not None:
                stream = self.tls.wrap_socket(plain, server_hostname=self.url.host)
            with stream:
                yield stream
            if timed_out.is_set():
                # Without a Content-Length, the shutdown looks like the end of the answer.
                raise TimeoutError
        except (OSError, http.client.HTTPException):
            if timed_out.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
            plain.close()
            duplicate.close()

    def _connect(self, deadline: float) -> socket.socket:
        """A connection to the first address that answers.

        Each address but the last may take half of the time that is left. Otherwise one that does
        not answer, such as one of IPv6 in a network without it, would take all of the time.
        """
        found = socket.getaddrinfo(self.url.host, self.url.port, type=socket.SOCK_STREAM)
        *others, last = [(str(address[0]), int(address[1])) for *_, address in found]
        for address in others:
            with contextlib.suppress(OSError):
                return self._connect_to(address, (deadline - time.monotonic()) / 2)
        return self._connect_to(last, deadline - time.monotonic())

    def _connect_to(self, address: tuple[str, int], seconds: float) -> socket.socket:
        if seconds <= 0:
            raise TimeoutError
        connection = socket.create_connection(address, seconds)
        connection.settimeout(self.timeout)
        return connection

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(f"{self.url.text} is not available: {reason}")


_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


def retry_after(value: str, now: float) -> float | None:
    """The seconds in a ``Retry-After`` header (RFC 9110 10.2.3); None if malformed."""
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    date = _date(value)
    return None if date is None else max(0.0, date - now)


def _date(value: str) -> float | None:
    """An HTTP date (RFC 9110 5.6.7) in seconds since the epoch; None if malformed."""
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()
