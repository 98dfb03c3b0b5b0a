"""Advice on what an authority lets pass: names, keys and what for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anchor.config.plugins import shipped_names
from anchor.config_lint.review import ConfigUnderReview, covers_all_addresses
from anchor.errors import ConfigProblem
from anchor.policy.policy import VALIDATORS

# What holds a common name, or what stands in subjectAltName, against a list.
_OF_COMMON_NAMES = frozenset({"common_name", "whitelist_names"})
_OF_ALTERNATIVE_NAMES = frozenset({"alternative_names", "alternative_names_ip", "whitelist_names"})

_DEFAULT_EXPONENT = 65537


def any_name(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Nothing restricts the names."""
    for path, unchecked in _unchecked_names(review):
        if len(unchecked) == 2:
            yield ConfigProblem(
                f"{path}.validators",
                "no validator holds names against a list, so whoever has a secret gets a "
                "certificate for any name, those of others included: use 'whitelist_names', or "
                "'common_name' and 'alternative_names'",
            )


def unchecked_names(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Some names are restricted, and others are not."""
    for path, unchecked in _unchecked_names(review):
        if len(unchecked) == 1:
            yield ConfigProblem(
                f"{path}.validators",
                f"no validator holds {unchecked[0]} against a list, so they can be anything: use "
                "'whitelist_names', or both 'common_name' and 'alternative_names'",
            )


def _unchecked_names(review: ConfigUnderReview) -> Iterator[tuple[str, list[str]]]:
    """Which names of a request may be any, by the authority's path.

    Somebody else's validator may look at all of them.
    """
    shipped = shipped_names(VALIDATORS)
    for path, section in review.authorities():
        if section["validators"].keys() <= shipped:
            yield path, _unchecked(section)


def _unchecked(section: dict[str, Any]) -> list[str]:
    validators = section["validators"].keys()
    # The fixup puts a common name into subjectAltName, and then all is checked again.
    copied = "enforce_alternative_names_present" in section.get("fixups", {})
    of_alternative_names = validators & _OF_ALTERNATIVE_NAMES
    unchecked = []
    if not (validators & _OF_COMMON_NAMES or (copied and of_alternative_names)):
        unchecked.append("common names")
    if not of_alternative_names:
        unchecked.append("names in subjectAltName")
    return unchecked


def every_name_listed(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """A list of names that has everything in it."""
    for path, section in review.authorities():
        for validator in sorted(_OF_COMMON_NAMES | _OF_ALTERNATIVE_NAMES):
            yield from _everything_in(path, section, validator)


def _everything_in(path: str, section: dict[str, Any], validator: str) -> Iterator[ConfigProblem]:
    options = section["validators"].get(validator, {})
    for option in ("names", "allowed_domains", "allowed_networks"):
        for number, entry in enumerate(options.get(option, ())):
            of_what = None
            if covers_all_addresses(entry):
                of_what = "address"
            elif entry == "." or set(entry.removesuffix(".").split(".")) == {"%"}:
                of_what = "name"
            if of_what:
                yield ConfigProblem(
                    f"{path}.validators.{validator}.{option}.{number}",
                    f"{entry!r} lets every {of_what} of its form pass, those of others included: "
                    "list what your machines are called",
                )


def standards_not_required(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Requests need not keep to the standards."""
    for path, section in review.authorities():
        if "standards_compliance" not in section["validators"]:
            yield ConfigProblem(
                f"{path}.validators",
                "without 'standards_compliance' certificates may hold names and extensions that "
                "clients understand in different ways, or not at all",
            )


def signs_intermediates(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """An authority makes CAs."""
    for path, section in review.authorities():
        if section["validators"].get("ca_status", {}).get("ca_requested") is True:
            yield ConfigProblem(
                f"{path}.validators.ca_status.ca_requested",
                "this authority makes CAs, whose certificates are bound to no policy here: let few "
                "people authenticate to it, from few places",
            )


def dsa_keys(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """DSA keys are allowed."""
    for path, section in review.authorities():
        allowed = section["validators"].get("public_key", {}).get("allowed_keys") or {}
        if "DSA" in allowed:
            yield ConfigProblem(
                f"{path}.validators.public_key.allowed_keys.DSA",
                "DSA keys give away their private half with one bad random number, and FIPS 186-5 "
                "has withdrawn them: use EC or Ed25519",
            )


def small_exponents(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Exponents are allowed that forgive no mistake."""
    for path, section in review.authorities():
        for number, exponent in enumerate(section.get("allowed_rsa_exponents", ())):
            if exponent < _DEFAULT_EXPONENT:
                yield ConfigProblem(
                    f"{path}.allowed_rsa_exponents.{number}",
                    f"with the exponent {exponent} mistakes in padding can be used to forge "
                    "signatures; everything that makes keys can do 65537",
                )
