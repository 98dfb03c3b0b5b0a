"""The input of lint rules: a valid configuration, as written and as loaded."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """A valid configuration, as written and as loaded.

    Attributes:
        document: the configuration as written, in the long form.
        loaded: the configuration as loaded.
        now: the current time, in UTC.
        host: the address in ``config.py`` that the service listens on; None without one.
        web: the ``web`` section of ``config.py``.
    """

    document: Document
    loaded: LoadedConfiguration
    now: datetime.datetime
    host: str | None
    web: WebSettings

    def sections(self, kind: str, backend: str) -> Iterator[tuple[str, Section]]:
        """The sections with that backend, each with its path."""
        for name, section in getattr(self.document, kind).items():
            if section["backend"] == backend:
                yield f"{kind}.{name}", section

    def authorities(self) -> Iterator[tuple[str, Section]]:
        """The sections of registration authorities, each with its path."""
        for name, section in self.document.registration_authority.items():
            yield f"registration_authority.{name}", section

    @staticmethod
    def authentications(authority: Section) -> Sequence[str]:
        """The names of the authentications of an authority."""
        names: str | list[str] = authority["authentication"]
        return [names] if isinstance(names, str) else names

    def signing_cas(self) -> Mapping[str, SigningCA]:
        """The CAs that authorities sign with, by their paths."""
        used = (authority.signing_ca for authority in self.loaded.authorities.values())
        return {f"signing_ca.{ca.name}": ca for ca in used}

    def file(self, path: str) -> Path:
        """The absolute path of a file that the configuration names."""
        return self.document.base / Path(path).expanduser()


class LintFunction(Protocol):
    """Finds one kind of weakness in a configuration."""

    def __call__(self, review: ConfigUnderReview) -> Iterable[ConfigProblem]:
        """The problems, each with the path of the option and the reason."""


def is_loopback(host: str) -> bool:
    """True if only this machine can reach the address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def covers_all_addresses(network: str) -> bool:
    """True if the range contains every address."""
    try:
        return ip_network(network).prefixlen == 0
    except ValueError:
        return False
