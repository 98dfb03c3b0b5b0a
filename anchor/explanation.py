"""What an authority would make of a request, step by step and without signing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from anchor import requests
from anchor.auth import AuthDetails
from anchor.certificate_contents import Contents, changes
from anchor.controllers.request import Request
from anchor.errors import AnchorError, Failure, PluginError, RequestError, ValidationFailed
from anchor.registration_authority import RegistrationAuthority
from anchor.validation import Context, Verdict, verdicts
from anchor.X509.signing_request import X509Csr

SIGNED, REFUSED, UNREADABLE, FAILED = "signed", "refused", "unreadable", "failed"
"""How an explanation ends: the last stands for a fault of Anchor's or of a plug-in's."""


@dataclass(frozen=True)
class Asker:
    """Who asks, and from where, as if they had authenticated themselves."""

    identity: AuthDetails
    address: IPv4Address | IPv6Address


@dataclass(frozen=True)
class Mending:
    """What a fixup did, in words; nothing if the request was in order already.

    Attributes:
        failure: why it cannot mend the request.
        crash: what it did instead of its work.
    """

    fixup: str
    changes: tuple[str, ...] = ()
    failure: Failure | None = None
    crash: PluginError | None = None


@dataclass(frozen=True)
class Explanation:
    """The life of a request up to its signature.

    Attributes:
        authority: the registration authority that was asked.
        asker: who asked.
        fault: why there is no outcome but for the verdicts: the request is unreadable, or the CA
            cannot issue.
        checks: the verdicts over the request as it came.
        fixups: what each fixup did; none are tried with a request that is refused.
        rechecks: the verdicts over the request as the fixups left it, if they changed it, of the
            checks that look at what a fixup can change.
        contents: what the certificate would say, if there were one.
    """

    authority: str
    asker: Asker
    fault: AnchorError | None = None
    checks: tuple[Verdict, ...] = ()
    fixups: tuple[Mending, ...] = ()
    rechecks: tuple[Verdict, ...] = ()
    contents: Contents | None = None

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The objections that the service would answer with."""
        failures = [
            *(verdict.failure for verdict in self.checks),
            *(mending.failure for mending in self.fixups),
            *(verdict.failure for verdict in self.rechecks),
        ]
        return tuple(failure for failure in failures if failure)

    @property
    def crashes(self) -> tuple[PluginError, ...]:
        """The plug-ins that failed to say anything."""
        crashes = [
            *(verdict.crash for verdict in self.checks),
            *(mending.crash for mending in self.fixups),
            *(verdict.crash for verdict in self.rechecks),
        ]
        return tuple(crash for crash in crashes if crash)

    @property
    def outcome(self) -> str:
        """How it ends; a crash comes before a refusal, as it does in the service."""
        if self.contents is not None:
            return SIGNED
        if isinstance(self.fault, RequestError):
            return UNREADABLE
        return REFUSED if self.failures and not self.crashes else FAILED


def explain(authority: RegistrationAuthority, octets: bytes, asker: Asker) -> Explanation:
    """What the authority would make of a request in PEM or DER.

    The steps are those of :meth:`anchor.registration_authority.RegistrationAuthority.sign`, but
    each goes on as far as it can.
    """
    try:
        csr = requests.read(octets, requests.encoding_of(octets))
    except RequestError as error:
        return Explanation(authority.name, asker, fault=error)
    context = authority.policy.context(
        asker.identity, _request(authority.name, asker), authority.conf
    )
    checks = tuple(verdicts(authority.policy.checks, csr, context))
    if not _agree(checks):
        return Explanation(authority.name, asker, checks=checks)
    mended, fixups = _mend(authority, csr, context)
    rechecks: tuple[Verdict, ...] = ()
    if mended is not None and mended is not csr:
        rechecks = tuple(verdicts(authority.policy.checks_of_content, mended, context))
    if mended is None or not _agree(rechecks):
        return Explanation(authority.name, asker, checks=checks, fixups=fixups, rechecks=rechecks)
    fault: AnchorError | None = None
    contents: Contents | None = None
    try:
        contents = Contents.of(authority.signing_ca.fill_in(mended, authority.clock()))
    except AnchorError as error:
        fault = error
    return Explanation(authority.name, asker, fault, checks, fixups, rechecks, contents)


def _agree(checks: tuple[Verdict, ...]) -> bool:
    return not any(verdict.failure or verdict.crash for verdict in checks)


def _mend(
    authority: RegistrationAuthority, csr: X509Csr, context: Context
) -> tuple[X509Csr | None, tuple[Mending, ...]]:
    """The request after the fixups, or None if one of them failed, and what each of them did."""
    done: list[Mending] = []
    for fixup in authority.policy.fixups:
        try:
            mended = fixup.mend(csr, context)
        except ValidationFailed as error:
            return None, (*done, *(Mending(fixup.name, failure=each) for each in error.failures))
        except PluginError as crash:
            return None, (*done, Mending(fixup.name, crash=crash))
        done.append(Mending(fixup.name, tuple(changes(csr, mended))))
        csr = mended
    return csr, tuple(done)


def _request(authority: str, asker: Asker) -> Request:
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
        "checks": [_verdict_as_json(verdict) for verdict in explanation.checks],
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
        },
    }


def _mending_as_json(mending: Mending) -> Mapping[str, Any]:
    shown: dict[str, Any] = {"fixup": mending.fixup, "verdict": word(mending)}
    if mending.changes:
        shown["changes"] = list(mending.changes)
    if reason(mending):
        shown["reason"] = reason(mending)
    return shown


def _verdict_as_json(verdict: Verdict) -> Mapping[str, Any]:
    shown = {"check": verdict.check, "verdict": word(verdict)}
    if reason(verdict):
        shown["reason"] = reason(verdict)
    return shown


def word(step: Verdict | Mending) -> str:
    """What a check or a fixup did, in a word: ``ok`` or ``changed``, ``refused`` or ``crashed``."""
    if step.crash:
        return "crashed"
    if step.failure:
        return "refused"
    return "changed" if isinstance(step, Mending) and step.changes else "ok"


def reason(step: Verdict | Mending) -> str:
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
