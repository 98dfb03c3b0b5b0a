"""Advice on the names and keys that an authority accepts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anchor.config.plugins import shipped_names
from anchor.config_lint.review import ConfigUnderReview, covers_all_addresses
from anchor.errors import ConfigProblem
from anchor.policy.policy import VALIDATORS

# The validators that compare names with a list.
_OF_ALL_NAMES = frozenset({"whitelist_names", "requester_names"})
_OF_COMMON_NAMES = _OF_ALL_NAMES | {"common_name"}
_OF_ALTERNATIVE_NAMES = _OF_ALL_NAMES | {"alternative_names", "alternative_names_ip"}
CHECKS_OF_NAMES = _OF_COMMON_NAMES | _OF_ALTERNATIVE_NAMES

_DEFAULT_EXPONENT = 65537


def any_name(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find policies that restrict no names at all."""
    for path, unchecked in _unchecked_names(review):
        if len(unchecked) == 2:
            yield ConfigProblem(
                f"{path}.validators",
                "no validator compares names with a list, so anyone with a secret gets a "
                "certificate for any name, even for the names of others: use 'whitelist_names', "
                "or 'common_name' and 'alternative_names'",
            )


def unchecked_names(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find policies that restrict only common names or only subjectAltName."""
    for path, unchecked in _unchecked_names(review):
        if len(unchecked) == 1:
            yield ConfigProblem(
                f"{path}.validators",
                f"no validator compares {unchecked[0]} with a list, so they can be anything: use "
                "'whitelist_names', or both 'common_name' and 'alternative_names'",
            )


def _unchecked_names(review: ConfigUnderReview) -> Iterator[tuple[str, list[str]]]:
    """The path of each authority, with the kinds of names that it does not restrict.

    An authority with a validator from another distribution is skipped: it may check names.
    """
    shipped = shipped_names(VALIDATORS)
    for path, section in review.authorities():
        if section["validators"].keys() <= shipped:
            yield path, _unchecked(section)


def _unchecked(section: dict[str, Any]) -> list[str]:
    validators = section["validators"].keys()
    # The fixup copies the common name to subjectAltName, and validators run again after fixups.
    copied = "enforce_alternative_names_present" in section.get("fixups", {})
    of_alternative_names = validators & _OF_ALTERNATIVE_NAMES
    unchecked = []
    if not (validators & _OF_COMMON_NAMES or (copied and of_alternative_names)):
        unchecked.append("common names")
    if not of_alternative_names:
        unchecked.append("names in subjectAltName")
    return unchecked


def every_name_listed(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find entries that allow every name or every address."""
    for path, section in review.authorities():
        for validator in sorted(CHECKS_OF_NAMES):
            yield from _unlimited_entries(path, section, validator)


def _unlimited_entries(
    path: str, section: dict[str, Any], validator: str
) -> Iterator[ConfigProblem]:
    options = section["validators"].get(validator, {})
    for option in ("names", "allowed_domains", "allowed_networks"):
        for number, entry in enumerate(options.get(option, ())):
            kind = None
            if covers_all_addresses(entry):
                kind = "address"
            elif entry == "." or set(entry.removesuffix(".").split(".")) == {"%"}:
                kind = "name"
            if kind:
                yield ConfigProblem(
                    f"{path}.validators.{validator}.{option}.{number}",
                    f"{entry!r} allows every {kind} of this form, even those of others: list "
                    f"the {kind}{'es' if kind == 'address' else 's'} of your machines",
                )


def standards_not_required(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find policies without ``standards_compliance``."""
    for path, section in review.authorities():
        if "standards_compliance" not in section["validators"]:
            yield ConfigProblem(
                f"{path}.validators",
                "without 'standards_compliance' certificates may hold names and extensions that "
                "clients understand in different ways, or not at all",
            )


def signs_intermediates(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find authorities that sign intermediate CAs."""
    for path, section in review.authorities():
        if section["validators"].get("ca_status", {}).get("ca_requested") is True:
            yield ConfigProblem(
                f"{path}.validators.ca_status.ca_requested",
                "this authority makes CAs, and no policy here limits what they issue: let few "
                "people authenticate to it, from few networks",
            )


def dsa_keys(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find policies that allow DSA keys."""
    for path, section in review.authorities():
        allowed = section["validators"].get("public_key", {}).get("allowed_keys") or {}
        if "DSA" in allowed:
            yield ConfigProblem(
                f"{path}.validators.public_key.allowed_keys.DSA",
                "one bad random number in a signature reveals a DSA key, and FIPS 186-5 has "
                "withdrawn DSA: use EC or Ed25519",
            )


def small_exponents(review: ConfigUnderReview) -> Iterator[ConfigProblem]:
    """Find allowed RSA exponents below 65537."""
    for path, section in review.authorities():
        for number, exponent in enumerate(section.get("allowed_rsa_exponents", ())):
            if exponent < _DEFAULT_EXPONENT:
                yield ConfigProblem(
                    f"{path}.allowed_rsa_exponents.{number}",
                    f"with the exponent {exponent} mistakes in padding can be used to forge "
                    "signatures: use 65537, which every key generator supports",
                )
