"""What advice is about: a proved configuration, as it is written and as it works."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Protocol

from anchor.authorities import LoadedConfiguration
from anchor.ca.signing_ca import SigningCA
from anchor.config.document import Document, Section
from anchor.errors import ConfigProblem
from anchor.web.settings import WebSettings


@dataclass(frozen=True)
class ConfigUnderReview:
    """A configuration.

    Attributes:
        document: as it is written, in the long form.
        loaded: the same configuration, loaded.
        now: the time, in UTC.
        host: the address that ``config.py`` has the service listen on; None if it says nothing.
        web: the ``web`` section of ``config.py``.
    """

    document: Document
    loaded: LoadedConfiguration
    now: datetime.datetime
    host: str | None
    web: WebSettings

    def sections(self, kind: str, backend: str) -> Iterator[tuple[str, Section]]:
        """The sections that name a backend, each with its path."""
        for name, section in getattr(self.document, kind).items():
            if section["backend"] == backend:
                yield f"{kind}.{name}", section

    def authorities(self) -> Iterator[tuple[str, Section]]:
        """The sections of registration authorities, each with its path."""
        for name, section in self.document.registration_authority.items():
            yield f"registration_authority.{name}", section

    def signing_cas(self) -> Mapping[str, SigningCA]:
        """The CAs that authorities sign with, by their paths."""
        used = (authority.signing_ca for authority in self.loaded.authorities.values())
        return {f"signing_ca.{ca.name}": ca for ca in used}

    def file(self, path: str) -> Path:
        """A path that stands in the configuration."""
        return self.document.base / Path(path).expanduser()


class LintFunction(Protocol):
    """Looks for one thing."""

    def __call__(self, review: ConfigUnderReview) -> Iterable[ConfigProblem]:
        """Each place where it is found, with the reason why it had better not be."""


def is_loopback(host: str) -> bool:
    """Whether only this machine gets to an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def covers_all_addresses(network: str) -> bool:
    """Whether a range has every address in it."""
    try:
        return ip_network(network).prefixlen == 0
    except ValueError:
        return False
