"""The policy's verdict on the names in an order, before there is a request for a certificate."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.acme.identifiers import general_name
from anchor.acme.identity import identity_for_policy
from anchor.acme.problems import AcmeProblem, ProblemType, Subproblem
from anchor.acme.services import AcmeServices
from anchor.auth.presented import Origin
from anchor.errors import Failure, PluginError
from anchor.policy.checks import Context
from anchor.policy.policy import Policy
from anchor.store.acme_records import Account, Identifier
from anchor.X509.signing_request import X509Csr


def require_allowed_names(
    services: AcmeServices, account: Account, identifiers: Collection[Identifier], origin: Origin
) -> None:
    """Require that the policy allows the names in an order.

    Args:
        services: the authority.
        account: the account that orders.
        identifiers: the names.
        origin: where the request came from.

    Raises:
        AcmeProblem: the policy refuses names; a subproblem says so for each of them.
        PluginError: a check or a fixup crashed.
        DatabaseUnavailable: the bans cannot be read.
    """
    authority = services.authority
    context = authority.policy.context(
        identity_for_policy(services, account), origin.request, authority.conf
    )
    failures = name_failures(authority.policy, identifiers, context)
    if failures:
        raise _problem(authority.policy, identifiers, failures, context)


def name_failures(
    policy: Policy, identifiers: Iterable[Identifier], context: Context
) -> tuple[Failure, ...]:
    """Why the policy refuses names, regardless of the rest of a request.

    Raises:
        PluginError: a check or a fixup crashed.
        DatabaseUnavailable: the bans cannot be read.
    """
    probe = _probe().with_alternative_names(map(general_name, identifiers))
    evaluation = policy.for_names.evaluate(probe, context)
    if evaluation.crashes:
        raise evaluation.crashes[0]
    if any(step.failures for step in evaluation.steps):
        # A fixup refuses the probe, so that nothing is known about names that fixups change.
        return ()
    return evaluation.failures


def describe(failures: Iterable[Failure]) -> list[str]:
    """The reasons of failures, each once, after the checks that give it."""
    checks: dict[str, list[str]] = {}
    for failure in failures:
        checks.setdefault(failure.reason, []).append(failure.check)
    return [f"{', '.join(names)}: {reason}" for reason, names in checks.items()]


def _problem(
    policy: Policy,
    identifiers: Collection[Identifier],
    failures: tuple[Failure, ...],
    context: Context,
) -> AcmeProblem:
    """The problem with a subproblem for each name that is refused by itself."""
    checks = {failure.check for failure in failures}
    refused = {
        identifier: [
            failure
            for failure in name_failures(policy, [identifier], context)
            if failure.check in checks and _concerns(failure, identifier)
        ]
        for identifier in identifiers
    }
    # A failure that occurs without any name too is not about names, such as a banned requester.
    common = _failures_without_names(policy, context)
    subproblems = [
        Subproblem(ProblemType.REJECTED_IDENTIFIER, "; ".join(reasons), identifier)
        for identifier, some in refused.items()
        if (reasons := describe(each for each in some if each not in common))
    ]
    return AcmeProblem(
        ProblemType.REJECTED_IDENTIFIER,
        "the policy refuses the order: " + "; ".join(describe(failures)),
        subproblems=subproblems,
    )


def _concerns(failure: Failure, identifier: Identifier) -> bool:
    """False if the failure lists other names only, such as those that the order lacks."""
    names = failure.data.get("names")
    return not isinstance(names, tuple) or any(identifier.value in str(name) for name in names)


def _failures_without_names(policy: Policy, context: Context) -> tuple[Failure, ...]:
    with contextlib.suppress(PluginError):
        # A plug-in may rely on a name.
        return name_failures(policy, (), context)
    return ()


@functools.cache
def _probe() -> X509Csr:
    """A request without names; its key is made once in a process."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return X509Csr.from_der(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))
