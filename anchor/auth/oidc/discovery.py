"""Fetching the keys of an issuer (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
from requests.utils import get_environ_proxies

from anchor.auth.bounded_http import BoundedAdapter
from anchor.auth.oidc.keys import KeySet, parse_keys
from anchor.jose.strict_json import parse_object

SHORTEST_AGE, USUAL_AGE, LONGEST_AGE = 300, 3600, 86400
"""For how many seconds keys are fresh, at least, if the issuer does not say, and at most."""

_WELL_KNOWN = "/.well-known/openid-configuration"
_MAX_AGE = re.compile(r'max-age\s*=\s*"?([0-9]{1,10})"?', re.ASCII | re.IGNORECASE)
_UNCACHED = re.compile(r"no-store|no-cache", re.ASCII | re.IGNORECASE)
_BEARER = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)


class FetchFailed(Exception):
    """The issuer's keys could not be fetched; the message contains no secret."""


@dataclass(frozen=True)
class FetchedKeys:
    """Keys as the issuer sent them, and for how many seconds they are fresh."""

    encoded: bytes = field(repr=False)
    keys: KeySet
    max_age: float


def parse_url(url: str) -> SplitResult:
    """A URL that keys may be fetched from: https, or http on this machine.

    Raises:
        ValueError: another kind of URL, or one with credentials, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        # Reading the port validates it.
        valid = bool(parts.hostname) and parts.port != 0 and url.isascii() and url.isprintable()
    except ValueError:
        valid = False
    if not valid or parts.scheme not in ("https", "http") or " " in url:
        raise ValueError("should be a URL such as 'https://issuer.example.com'")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("should be an https URL: http is only for addresses of this machine")
    if parts.query or parts.fragment or parts.username or parts.password is not None:
        raise ValueError("should have neither credentials, nor a query, nor a fragment")
    return parts


def is_loopback(host: str) -> bool:
    """True for a name or an address of this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class KeyFetcher:
    """Fetches the keys of an issuer.

    Attributes:
        issuer: the issuer, exactly as in its tokens.
        keys_url: where the keys are; None to ask the issuer's discovery document.
        ca_file: a PEM file with the CAs to trust instead of the usual ones.
        bearer_file: a file with a token to send to the issuer.
        timeout: how many seconds an answer may take.
    """

    issuer: str
    keys_url: str | None
    ca_file: Path | None
    bearer_file: Path | None
    timeout: float

    def fetch(self) -> FetchedKeys:
        """The keys that the issuer publishes now.

        Raises:
            FetchFailed: there is no usable answer.
        """
        bearer = self._read_bearer()
        url = self.keys_url or self._discover(bearer)
        # Not to another server, even if the issuer names one: the token is for the issuer.
        trusted = self.keys_url or self.issuer
        same_origin = _origin(urlsplit(url)) == _origin(urlsplit(trusted))
        answer = self._get(url, bearer if same_origin else None)
        try:
            keys = parse_keys(answer.content)
        except ValueError as error:
            raise FetchFailed(f"{_short(url)}: {error}") from None
        if not keys.keys:
            raise FetchFailed(f"{_short(url)}: the key set has no usable key")
        return FetchedKeys(answer.content, keys, _max_age(answer.headers))

    def _discover(self, bearer: str | None) -> str:
        """The URL of the keys, from the issuer's discovery document."""
        url = self.issuer.rstrip("/") + _WELL_KNOWN
        try:
            document = parse_object(self._get(url, bearer).content)
        except ValueError as error:
            raise FetchFailed(f"{url}: {error}") from None
        if document.get("issuer") != self.issuer:
            raise FetchFailed(
                f"{url}: its issuer is {_short(document.get('issuer'))} and not {self.issuer!r}"
            )
        keys_url = document.get("jwks_uri")
        try:
            if not isinstance(keys_url, str):
                raise ValueError("is missing")
            scheme = parse_url(keys_url.partition("?")[0]).scheme
            if scheme == "http" and self.issuer.startswith("https:"):
                raise ValueError("should be an https URL, as the issuer's")
        except ValueError as error:
            raise FetchFailed(f"{url}: its 'jwks_uri' {error}") from None
        return keys_url

    def _get(self, url: str, bearer: str | None) -> requests.Response:
        headers = {"Accept": "application/json"}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        try:
            with requests.Session() as session:
                # Without ~/.netrc, whose password would replace the token; proxies are used.
                session.trust_env = False
                session.mount("https://", BoundedAdapter())
                session.mount("http://", BoundedAdapter())
                answer = session.get(
                    url,
                    headers=headers,
                    timeout=self.timeout,
                    allow_redirects=False,
                    verify=str(self.ca_file) if self.ca_file else True,
                    proxies=get_environ_proxies(url),
                )
        except (requests.RequestException, OSError, ValueError) as error:
            text = f"{type(error).__name__}: {error}"
            raise FetchFailed(f"{_short(url)}: {_short(text, bearer)}") from None
        if answer.status_code != 200:
            raise FetchFailed(f"{_short(url)}: HTTP status {answer.status_code}")
        return answer

    def _read_bearer(self) -> str | None:
        if self.bearer_file is None:
            return None
        try:
            # Read each time: Kubernetes replaces the file.
            with self.bearer_file.open("rb") as file:
                text = file.read(20000).decode("ascii").strip()
        except UnicodeDecodeError:
            text = ""
        except OSError as error:
            raise FetchFailed(f"{self.bearer_file} cannot be read: {error.strerror}") from None
        if not _BEARER.fullmatch(text):
            raise FetchFailed(f"{self.bearer_file} does not contain one token")
        return text


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    default = 443 if parts.scheme == "https" else 80
    return parts.scheme, parts.hostname, parts.port or default


def _max_age(headers: Mapping[str, Any]) -> float:
    control = str(headers.get("Cache-Control", ""))[:1000]
    if _UNCACHED.search(control):
        return SHORTEST_AGE
    found = _MAX_AGE.search(control)
    return min(max(int(found[1]), SHORTEST_AGE), LONGEST_AGE) if found else USUAL_AGE


def _short(value: object, secret: str | None = None) -> str:
    """A text for the log: bounded, in ASCII, and without the secret."""
    text = value if isinstance(value, str) else repr(value)
    if secret:
        text = text.replace(secret, "[token]")
    text = text[:300]
    return text if text.isascii() and text.isprintable() else ascii(text)
