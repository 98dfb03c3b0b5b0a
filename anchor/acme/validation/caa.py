"""CAA records (RFC 8659), with the account and the validation method (RFC 8657)."""

from __future__ import annotations

from collections.abc import Collection

from anchor.acme.problems import ProblemType
from anchor.acme.validation.attempt import Attempt
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.issue_values import parse_issue_value
from anchor.acme.validation.resolver import CaaRecord, Resolver

_CRITICAL = 128
_UNDERSTOOD = frozenset({"issue", "issuewild", "iodef"})


def require_permitted(attempt: Attempt, issuers: Collection[str], resolver: Resolver) -> None:
    """Require that the CAA records of a DNS name, or of its parents, permit this CA to issue.

    Args:
        attempt: the response to the challenge.
        issuers: the names of this CA.
        resolver: looks up names.

    Raises:
        ChallengeFailed: they do not, or the lookup failed.
    """
    try:
        owner, records = _relevant(attempt.identifier.base, resolver)
    except ChallengeFailed as error:
        # RFC 8659 section 3: a CA must not take a failed lookup for the lack of records.
        raise ChallengeFailed(ProblemType.CAA, str(error)) from None
    if any(each.flags & _CRITICAL and each.tag not in _UNDERSTOOD for each in records):
        raise ChallengeFailed(
            ProblemType.CAA,
            f"{owner} has a critical CAA record with a property that this CA does not support; it "
            f"supports {', '.join(sorted(_UNDERSTOOD))}",
        )
    applicable = _applicable(records, is_wildcard=attempt.identifier.is_wildcard)
    if applicable and not any(_permits(each.value, attempt, issuers) for each in applicable):
        raise ChallengeFailed(
            ProblemType.CAA,
            f"the CAA records of {owner} do not permit this CA ({', '.join(sorted(issuers))}) to "
            f"issue for {attempt.identifier} with {attempt.type} and the account "
            f"{attempt.account_url}",
        )


def _relevant(name: str, resolver: Resolver) -> tuple[str, list[CaaRecord]]:
    """The records of the name, or of its next parent that has any."""
    while name:
        records = resolver.caa(name)
        if records:
            return name, records
        name = name.partition(".")[2]
    return "", []


def _applicable(records: list[CaaRecord], *, is_wildcard: bool) -> list[CaaRecord]:
    if is_wildcard:
        wild = [each for each in records if each.tag == "issuewild"]
        if wild:
            return wild
    return [each for each in records if each.tag == "issue"]


def _permits(octets: bytes, attempt: Attempt, issuers: Collection[str]) -> bool:
    try:
        value = parse_issue_value(octets)
    except ValueError:
        return False
    account = value.parameters.get("accounturi")
    methods = value.parameters.get("validationmethods")
    return (
        value.issuer in issuers
        and account in (None, attempt.account_url)
        and (methods is None or attempt.type in methods.split(","))
    )
