"""Explanations: how an authority would decide on a request, step by step, without signing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from typing import Any, NamedTuple

from anchor.auth.results import AuthDetails
from anchor.authority import RegistrationAuthority
from anchor.ca.describe import CertificateDescription, changes
from anchor.config.plugins import BoundFunction
from anchor.errors import AnchorError, Failure, PluginError, RequestError
from anchor.policy.checks import Verdict
from anchor.policy.evaluation import Evaluation, FixupStep
from anchor.policy.policy import Policy
from anchor.validators.requester_names import requester_names, values_of
from anchor.web.request import Request
from anchor.X509.csr_reader import detect_encoding, read_csr

SIGNED, REFUSED, UNREADABLE, FAILED = "signed", "refused", "unreadable", "failed"
"""The outcomes of an explanation; ``failed`` means a fault of Anchor or of a plug-in."""

# A requester can have thousands of groups, and each of them makes a pattern.
MAX_PATTERNS = 100


@dataclass(frozen=True)
class Requester:
    """An authenticated requester and the client address."""

    identity: AuthDetails
    address: IPv4Address | IPv6Address


class FixupResult(NamedTuple):
    """The changes that a fixup made, in words; no changes if none were needed.

    Attributes:
        failure: why the fixup refused the request.
        crash: the error with which the plug-in failed.
    """

    fixup: str
    changes: tuple[str, ...] = ()
    failure: Failure | None = None
    crash: PluginError | None = None


EMPTY_EVALUATION = Evaluation(())


@dataclass(frozen=True)
class Explanation:
    """The life of a request up to its signature.

    Attributes:
        authority: the name of the registration authority.
        requester: the submitter of the request.
        fault: an error outside the policy: the request is unreadable, or the CA cannot issue.
        evaluation: the verdicts of the authority's policy.
        certificate: the certificate that would be issued; None if it would not be.
        requester_names: the patterns of the validator ``requester_names`` with the values of this
            requester, up to MAX_PATTERNS; None without that list.
    """

    authority: str
    requester: Requester
    fault: AnchorError | None = None
    evaluation: Evaluation = EMPTY_EVALUATION
    certificate: CertificateDescription | None = None
    requester_names: tuple[str, ...] | None = None

    @property
    def checks(self) -> tuple[Verdict, ...]:
        """The verdicts on the submitted request."""
        return self.evaluation.checks

    @property
    def fixups(self) -> tuple[FixupResult, ...]:
        """The result of each fixup; implied fixups are left out if they changed nothing."""
        return tuple(_fixup_results(self.evaluation.steps))

    @property
    def rechecks(self) -> tuple[Verdict, ...]:
        """The verdicts on the request that the fixups returned, if they changed it."""
        return self.evaluation.rechecks

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The reasons that the service's response would give."""
        return self.evaluation.failures

    @property
    def crashes(self) -> tuple[PluginError, ...]:
        """The errors of plug-ins that failed to decide."""
        return self.evaluation.crashes

    @property
    def outcome(self) -> str:
        """One of the four outcomes; a crash takes precedence over a refusal, as in the service."""
        if self.certificate is not None:
            return SIGNED
        if isinstance(self.fault, RequestError):
            return UNREADABLE
        return REFUSED if self.failures and not self.crashes else FAILED


def explain(authority: RegistrationAuthority, data: bytes, requester: Requester) -> Explanation:
    """Explain how the authority would decide on a request in PEM or DER.

    The steps are those of :meth:`anchor.authority.RegistrationAuthority.issue`.
    """
    try:
        csr = read_csr(data, detect_encoding(data))
    except RequestError as error:
        return Explanation(authority.name, requester, fault=error)
    context = authority.policy.context(
        requester.identity, _request(authority.name, requester), authority.conf
    )
    evaluation = authority.policy.evaluate(csr, context)
    approved = evaluation.approved
    fault: AnchorError | None = None
    certificate: CertificateDescription | None = None
    try:
        if approved is not None:
            template = authority.signing_ca.build_template(approved, authority.clock())
            certificate = CertificateDescription.of(template, csr)
    except AnchorError as error:
        fault = error
    return Explanation(
        authority=authority.name,
        requester=requester,
        fault=fault,
        evaluation=evaluation,
        certificate=certificate,
        requester_names=_requester_names(authority.policy, requester.identity),
    )


def _requester_names(policy: Policy, identity: AuthDetails) -> tuple[str, ...] | None:
    for check in policy.configured:
        bound = check.function
        if isinstance(bound, BoundFunction) and bound.call.func is requester_names:
            names = bound.call.keywords.get("names")
            if names is not None:
                return tuple(islice(names.expand(values_of(identity)), MAX_PATTERNS))
    return None


def _fixup_results(steps: tuple[FixupStep, ...]) -> Iterator[FixupResult]:
    for step in steps:
        applied = () if step.after is None else tuple(changes(step.before, step.after))
        if step.failures:
            yield from (FixupResult(step.fixup, failure=failure) for failure in step.failures)
        elif step.crash or applied or not step.implied:
            yield FixupResult(step.fixup, applied, crash=step.crash)


def _request(authority: str, requester: Requester) -> Request:
    """The HTTP request that is passed to validators."""
    environ = {"REMOTE_ADDR": str(requester.address), "REQUEST_METHOD": "POST"}
    request: Request = Request.blank(f"/v1/sign/{authority}", environ=environ)
    return request


def as_json(explanation: Explanation) -> Mapping[str, Any]:
    """The explanation in JSON's types."""
    certificate = explanation.certificate
    identity = explanation.requester.identity
    return {
        "authority": explanation.authority,
        "requester": {
            "user": identity.username,
            "groups": list(identity.groups),
            "user_id": identity.user_id,
            "project_id": identity.project_id,
            "claims": dict(identity.claims),
            "allowed_names": (
                None if identity.allowed_names is None else list(identity.allowed_names)
            ),
        },
        "address": str(explanation.requester.address),
        "outcome": explanation.outcome,
        "requester_names": (
            None if explanation.requester_names is None else list(explanation.requester_names)
        ),
        "fault": str(explanation.fault) if explanation.fault else None,
        "checks": [
            _verdict_as_json(verdict, explanation.evaluation.resolved_by_fixups)
            for verdict in explanation.checks
        ],
        "fixups": [_fixup_as_json(result) for result in explanation.fixups],
        "rechecks": [_verdict_as_json(verdict) for verdict in explanation.rechecks],
        "certificate": certificate
        and {
            "subject": certificate.subject,
            "names": list(certificate.names),
            "key": certificate.key,
            "key_usage": list(certificate.key_usage),
            "extended_key_usage": list(certificate.extended_key_usage),
            "ca": certificate.ca,
            "issuer": certificate.issuer,
            "not_before": certificate.not_before.isoformat(),
            "not_after": certificate.not_after.isoformat(),
            "dropped_extensions": list(certificate.dropped_extensions),
            "dropped_subject_attributes": list(certificate.dropped_subject_attributes),
        },
    }


def _fixup_as_json(result: FixupResult) -> Mapping[str, Any]:
    document: dict[str, Any] = {"fixup": result.fixup, "verdict": verdict_word(result)}
    if result.changes:
        document["changes"] = list(result.changes)
    if reason(result):
        document["reason"] = reason(result)
    return document


def _verdict_as_json(verdict: Verdict, resolved: frozenset[str] = frozenset()) -> Mapping[str, Any]:
    document = {"check": verdict.check, "verdict": verdict_word(verdict, resolved)}
    if reason(verdict):
        document["reason"] = reason(verdict)
    return document


def verdict_word(step: Verdict | FixupResult, resolved: frozenset[str] = frozenset()) -> str:
    """The verdict in one word: ``ok``, ``changed``, ``mended``, ``refused`` or ``crashed``.

    Args:
        step: the verdict of a check, or the result of a fixup.
        resolved: the checks that refused the request before the fixups and accept it afterwards.
    """
    if step.crash:
        return "crashed"
    if step.failure:
        return "mended" if isinstance(step, Verdict) and step.check in resolved else "refused"
    return "changed" if isinstance(step, FixupResult) and step.changes else "ok"


def reason(step: Verdict | FixupResult) -> str:
    """Why a check or a fixup refused the request or crashed; empty if it did neither."""
    if step.crash:
        return cause(step.crash)
    return step.failure.reason if step.failure else ""


def cause(crash: PluginError) -> str:
    """The error that a plug-in raised, as text for operators; not shown to requesters."""
    error = crash.__cause__
    return f"{type(error).__name__}: {error}" if error else str(crash)


def rejection_reason(explanation: Explanation) -> str:
    """Why no certificate would be issued, in one line."""
    if explanation.fault:
        return str(explanation.fault)
    if explanation.crashes:
        return "; ".join(map(str, explanation.crashes))
    return "; ".join(map(str, explanation.failures))
