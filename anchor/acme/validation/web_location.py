"""The URL of an HTTP request, and where a redirect leads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import urljoin, urlsplit

from anchor.acme.validation.connections import Host
from anchor.X509.dns_names import NameSyntax

_PORTS = {"http": 80, "https": 443}
_MAX_URL = 2000
_URL = re.compile(r"[!-~]+", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.ASCII)


@dataclass(frozen=True)
class WebLocation:
    """A URL, taken apart.

    Attributes:
        is_https: True for ``https``.
        host: the host.
        port: the port.
        target: the path and the query.
    """

    is_https: bool
    host: Host
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The host and the port, as the header ``Host`` has them."""
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else str(self.host)
        is_default = self.port == _PORTS["https" if self.is_https else "http"]
        return host if is_default else f"{host}:{self.port}"

    def redirected(self, location: str, ports: frozenset[int]) -> WebLocation:
        """Where a redirect leads.

        Args:
            location: the header ``Location``.
            ports: the ports that may be connected to.

        Raises:
            ValueError: validations do not follow it; the message contains nothing of it.
        """
        if len(location) > _MAX_URL or not _URL.fullmatch(location):
            raise ValueError(f"should be a URL of at most {_MAX_URL} ASCII characters")
        current = f"{'https' if self.is_https else 'http'}://{self.authority}{self.target}"
        try:
            parts = urlsplit(urljoin(current, location))
            explicit_port = parts.port
        except ValueError:
            raise ValueError("should be a URL") from None
        if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
            raise ValueError("should be an http or https URL with a host and without a user")
        host = parts.hostname.removesuffix(".")
        if "*" in host or NameSyntax(_LABEL).errors(host):
            raise ValueError("should have a DNS name as its host, and not an address")
        port = _PORTS[parts.scheme] if explicit_port is None else explicit_port
        if port not in ports:
            raise ValueError(f"should have one of the ports {', '.join(map(str, sorted(ports)))}")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return WebLocation(parts.scheme == "https", host, port, target)
