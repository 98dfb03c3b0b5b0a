"""Advice on ``source_cidrs``, the networks from which machines may send requests."""

from __future__ import annotations

from collections.abc import Iterator

from anchor.config_lint.review import ConfigUnderReview, covers_all_addresses, is_loopback
from anchor.errors import ConfigProblem

# The networks of config.json in the repository.
SAMPLE = ("127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
# uwsgi's settings for production, beside config.json: they are for a service behind nginx.
UWSGI_INI = "anchor.ini"


def networks_of_a_trial(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find ``source_cidrs`` of a first configuration in a service for other machines."""
    reason = _serves_other_machines(review)
    if reason is None:
        return
    for path, section in review.authorities():
        cidrs = _cidrs(section)
        option = f"{path}.validators.source_cidrs.cidrs"
        if cidrs and all(is_loopback(network.partition("/")[0]) for network in cidrs):
            yield ConfigProblem(
                option,
                f"{reason}, but only requests from this machine get a certificate: add the "
                "networks of your machines",
            )
        elif set(cidrs) == set(SAMPLE):
            yield ConfigProblem(
                option,
                f"{reason}, and these are the networks of the sample: every private IPv4 address "
                "is accepted, and every other address is refused: list the networks of your "
                "machines",
            )


def _serves_other_machines(review: ConfigUnderReview) -> str | None:
    """The reason to believe that other machines use the service; None without one."""
    if review.host is not None and not is_loopback(review.host):
        return f"the service listens on {review.host}"
    if review.web.trusted_proxies:
        return "the service has proxies in 'trusted_proxies'"
    if review.web.base_url is not None:
        return f"clients reach the service at {review.web.base_url}"
    if (review.document.base / UWSGI_INI).exists():
        return f"uwsgi runs the service with {UWSGI_INI}, behind a proxy"
    return None


def address_of_a_proxy(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find ``source_cidrs`` that sees only the address of an unlisted proxy."""
    if review.host is None or not is_loopback(review.host) or review.web.trusted_proxies:
        return
    for path, section in review.authorities():
        for number, network in enumerate(_cidrs(section)):
            if not is_loopback(network.partition("/")[0]):
                yield ConfigProblem(
                    f"{path}.validators.source_cidrs.cidrs.{number}",
                    f"the service listens on {review.host}, so machines in {network} reach it "
                    "through a proxy only, and without 'trusted_proxies' in config.py all of them "
                    "have the proxy's address",
                )
                break


def no_source_limit(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find authorities without ``source_cidrs``."""
    for path, section in review.authorities():
        if "source_cidrs" not in section["validators"]:
            yield ConfigProblem(
                f"{path}.validators",
                "without 'source_cidrs' a stolen secret works from every address: list the "
                "networks of your machines",
            )


def any_source(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find ``source_cidrs`` that contain every address."""
    for path, section in review.authorities():
        for number, network in enumerate(_cidrs(section)):
            if covers_all_addresses(network):
                yield ConfigProblem(
                    f"{path}.validators.source_cidrs.cidrs.{number}",
                    f"{network} is every address, so the validator refuses no client",
                )


def _cidrs(section: dict[str, object]) -> list[str]:
    validators = section["validators"]
    assert isinstance(validators, dict)
    cidrs: list[str] = validators.get("source_cidrs", {}).get("cidrs", [])
    return cidrs
