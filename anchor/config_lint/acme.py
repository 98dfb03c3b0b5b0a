"""Advice on ACME."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from anchor.acme.settings import AcmeSettings
from anchor.config_lint.review import ConfigUnderReview
from anchor.errors import ConfigProblem

# RFC 8555 section 8.3, RFC 8737 section 3.
_PORTS = {"http-01": ("http_port", 80), "tls-alpn-01": ("tls_port", 443)}


def _sections(review: ConfigUnderReview) -> Iterator[tuple[str, AcmeSettings]]:
    for name, services in review.loaded.acme.items():
        yield f"registration_authority.{name}.acme", services.settings


def open_accounts(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find authorities that give names to everyone who creates an account."""
    for path, settings in _sections(review):
        if settings.open and not settings.challenges:
            yield ConfigProblem(
                f"{path}.open",
                "anyone who reaches the service can create an account, and without challenges it "
                "gets every name that the policy allows: require tokens, or list 'challenges'",
            )


def acme_without_tls(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find directories without TLS."""
    base_url = review.web.base_url
    if review.loaded.acme and base_url is not None and urlsplit(base_url).scheme != "https":
        yield ConfigProblem(
            "config.py.web.base_url",
            "RFC 8555 section 6.1 requires https: most clients refuse an http directory, and the "
            "others can be sent to another CA: write https://..., and serve it with TLS",
        )


def challenge_ports(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find challenges at ports that users without privileges can open."""
    for path, settings in _sections(review):
        for challenge, (option, port) in _PORTS.items():
            configured = getattr(settings, option)
            if challenge in settings.challenges and configured != port:
                yield ConfigProblem(
                    f"{path}.{option}",
                    f"{challenge} proves that a client controls port {port}, which needs the "
                    f"privileges of an administrator; at {configured} any user of a machine may "
                    f"get its names: use {port}",
                )


def any_target(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find authorities that connect to every address for their clients."""
    for path, settings in _sections(review):
        for number, network in enumerate(settings.networks):
            if network.prefixlen == 0:
                yield ConfigProblem(
                    f"{path}.networks.{number}",
                    f"{network} is every address, so clients can make Anchor connect to any "
                    "machine that it reaches: list the networks of your machines",
                )
