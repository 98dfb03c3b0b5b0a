"""What an authority would make of a request, step by step and without signing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

from anchor.auth.results import AuthDetails
from anchor.authority import RegistrationAuthority
from anchor.ca.describe import CertificateDescription, changes
from anchor.errors import AnchorError, Failure, PluginError, RequestError
from anchor.policy.checks import Verdict
from anchor.policy.evaluation import Evaluation, FixupStep
from anchor.web.request import Request
from anchor.X509.csr_reader import detect_encoding, read_csr

SIGNED, REFUSED, UNREADABLE, FAILED = "signed", "refused", "unreadable", "failed"
"""How an explanation ends: the last stands for a fault of Anchor's or of a plug-in's."""


@dataclass(frozen=True)
class Requester:
    """Who asks, and from where, as if they had authenticated themselves."""

    identity: AuthDetails
    address: IPv4Address | IPv6Address


class FixupResult(NamedTuple):
    """What a fixup did, in words; nothing if the request was in order already.

    Attributes:
        failure: why it cannot mend the request.
        crash: what it did instead of its work.
    """

    fixup: str
    changes: tuple[str, ...] = ()
    failure: Failure | None = None
    crash: PluginError | None = None


NOTHING = Evaluation(())


@dataclass(frozen=True)
class Explanation:
    """The life of a request up to its signature.

    Attributes:
        authority: the registration authority that was asked.
        asker: who asked.
        fault: why there is no outcome but for the verdicts: the request is unreadable, or the CA
            cannot issue.
        judgement: what the authority's policy says of the request.
        contents: what the certificate would say, if there were one.
    """

    authority: str
    asker: Requester
    fault: AnchorError | None = None
    judgement: Evaluation = NOTHING
    contents: CertificateDescription | None = None

    @property
    def checks(self) -> tuple[Verdict, ...]:
        """The verdicts on the submitted request."""
        return self.judgement.checks

    @property
    def fixups(self) -> tuple[FixupResult, ...]:
        """What each fixup did; implied fixups are left out if they changed nothing."""
        return tuple(_mendings(self.judgement.steps))

    @property
    def rechecks(self) -> tuple[Verdict, ...]:
        """The verdicts on the request that the fixups returned, if they changed it."""
        return self.judgement.rechecks

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The reasons that the service would answer with."""
        return self.judgement.failures

    @property
    def crashes(self) -> tuple[PluginError, ...]:
        """The errors of plug-ins that failed to decide."""
        return self.judgement.crashes

    @property
    def outcome(self) -> str:
        """How it ends; a crash comes before a refusal, as it does in the service."""
        if self.contents is not None:
            return SIGNED
        if isinstance(self.fault, RequestError):
            return UNREADABLE
        return REFUSED if self.failures and not self.crashes else FAILED


def explain(authority: RegistrationAuthority, octets: bytes, asker: Requester) -> Explanation:
    """What the authority would make of a request in PEM or DER.

    The steps are those of :meth:`anchor.authority.RegistrationAuthority.sign`.
    """
    try:
        csr = read_csr(octets, detect_encoding(octets))
    except RequestError as error:
        return Explanation(authority.name, asker, fault=error)
    context = authority.policy.context(
        asker.identity, _request(authority.name, asker), authority.conf
    )
    judgement = authority.policy.evaluate(csr, context)
    approved = judgement.approved
    if approved is None:
        return Explanation(authority.name, asker, judgement=judgement)
    fault: AnchorError | None = None
    contents: CertificateDescription | None = None
    try:
        template = authority.signing_ca.build_template(approved, authority.clock())
        contents = CertificateDescription.of(template, csr)
    except AnchorError as error:
        fault = error
    return Explanation(authority.name, asker, fault, judgement, contents)


def _mendings(steps: tuple[FixupStep, ...]) -> Iterator[FixupResult]:
    for step in steps:
        found = () if step.after is None else tuple(changes(step.before, step.after))
        if step.failures:
            yield from (FixupResult(step.fixup, failure=failure) for failure in step.failures)
        elif step.crash or found or not step.implied:
            yield FixupResult(step.fixup, found, crash=step.crash)


def _request(authority: str, asker: Requester) -> Request:
    """The HTTP request that a validator may look at."""
    environ = {"REMOTE_ADDR": str(asker.address), "REQUEST_METHOD": "POST"}
    request: Request = Request.blank(f"/v1/sign/{authority}", environ=environ)
    return request


def as_json(explanation: Explanation) -> Mapping[str, Any]:
    """The explanation in JSON's types."""
    contents = explanation.contents
    identity = explanation.asker.identity
    return {
        "authority": explanation.authority,
        "requester": {
            "user": identity.username,
            "groups": list(identity.groups),
            "user_id": identity.user_id,
            "project_id": identity.project_id,
        },
        "address": str(explanation.asker.address),
        "outcome": explanation.outcome,
        "fault": str(explanation.fault) if explanation.fault else None,
        "checks": [
            _verdict_as_json(verdict, explanation.judgement.mended)
            for verdict in explanation.checks
        ],
        "fixups": [_mending_as_json(mending) for mending in explanation.fixups],
        "rechecks": [_verdict_as_json(verdict) for verdict in explanation.rechecks],
        "certificate": contents
        and {
            "subject": contents.subject,
            "names": list(contents.names),
            "key": contents.key,
            "key_usage": list(contents.key_usage),
            "extended_key_usage": list(contents.extended_key_usage),
            "ca": contents.ca,
            "issuer": contents.issuer,
            "not_before": contents.not_before.isoformat(),
            "not_after": contents.not_after.isoformat(),
            "dropped_extensions": list(contents.dropped_extensions),
            "dropped_subject_attributes": list(contents.dropped_subject_attributes),
        },
    }


def _mending_as_json(mending: FixupResult) -> Mapping[str, Any]:
    shown: dict[str, Any] = {"fixup": mending.fixup, "verdict": word(mending)}
    if mending.changes:
        shown["changes"] = list(mending.changes)
    if reason(mending):
        shown["reason"] = reason(mending)
    return shown


def _verdict_as_json(verdict: Verdict, mended: frozenset[str] = frozenset()) -> Mapping[str, Any]:
    shown = {"check": verdict.check, "verdict": word(verdict, mended)}
    if reason(verdict):
        shown["reason"] = reason(verdict)
    return shown


def word(step: Verdict | FixupResult, mended: frozenset[str] = frozenset()) -> str:
    """What a check or a fixup did, in a word: ``ok``, ``changed``, ``refused`` or ``crashed``.

    Args:
        step: the verdict of a check, or the work of a fixup.
        mended: the checks whose refusal the fixups mended; the word for it is ``mended``.
    """
    if step.crash:
        return "crashed"
    if step.failure:
        return "mended" if isinstance(step, Verdict) and step.check in mended else "refused"
    return "changed" if isinstance(step, FixupResult) and step.changes else "ok"


def reason(step: Verdict | FixupResult) -> str:
    """Why a check or a fixup refused the request, or crashed; empty if it did not."""
    if step.crash:
        return cause(step.crash)
    return step.failure.reason if step.failure else ""


def cause(crash: PluginError) -> str:
    """What a plug-in raised; for operators, not for requesters."""
    error = crash.__cause__
    return f"{type(error).__name__}: {error}" if error else str(crash)


def why_not(explanation: Explanation) -> str:
    """Why there would be no certificate, in one line."""
    if explanation.fault:
        return str(explanation.fault)
    if explanation.crashes:
        return "; ".join(map(str, explanation.crashes))
    return "; ".join(map(str, explanation.failures))
