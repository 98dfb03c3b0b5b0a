"""The example: a key, a subject and a name that the policy accepts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from anchor.auth.results import AuthDetails
from anchor.policy.example.candidates import NO_NAME, CandidateName, candidate_names
from anchor.policy.example.parts import Parts, Variable, sample
from anchor.policy.policy import SUBJECT_ATTRIBUTES, Policy
from anchor.store.bans import Ban
from anchor.X509.attribute_names import ATTRIBUTES
from anchor.X509.signing_request import X509Csr

# They are left out of the trial, which uses one key for all examples.
_KEY_VALIDATORS = ("public_key", "compromised_keys")
_CURVES = (256, 384, 521)


@dataclass(frozen=True)
class ExampleRequest:
    """A request that a policy accepts.

    Attributes:
        key: the kind of key and its size, such as ``ec-p256`` or ``rsa-3072``; None if no example
            is known.
        attributes: the subject's attributes besides the common name.
        name: the name.
        in_subject: True if the common name is the name.
        in_san: True if subjectAltName contains the name.
        is_for_ca: True if the request is for an intermediate CA.
        accepts_both: True if the name may be the common name and in subjectAltName.
        is_certain: False if no request is known that the policy accepts; then this one is for
            readers to adapt.
    """

    key: str | None
    attributes: tuple[tuple[str, Parts], ...] = ()
    name: CandidateName = NO_NAME
    in_subject: bool = True
    in_san: bool = True
    is_for_ca: bool = False
    accepts_both: bool = True
    is_certain: bool = True


def example_request(policy: Policy, conf: Mapping[str, Any]) -> ExampleRequest:
    """The example for an authority.

    Args:
        policy: its policy.
        conf: its section of the configuration.
    """
    options: Mapping[str, Any] = conf.get("validators", {})
    key = example_key(policy.allowed_keys)
    attributes = tuple(_attributes(options.get(SUBJECT_ATTRIBUTES, {})))
    trial = _Trial(policy, conf, attributes)
    for name in dict.fromkeys(candidate_names(options)):
        accepted = [form for form in _forms(name) if trial.accepts(name, *form)]
        if accepted:
            in_subject, in_san = accepted[0]
            return ExampleRequest(
                key,
                attributes,
                name,
                in_subject,
                in_san,
                policy.signs_intermediates,
                accepts_both=(True, True) in accepted,
            )
    return ExampleRequest(key, attributes, is_for_ca=policy.signs_intermediates, is_certain=False)


def example_key(allowed: Mapping[str, int] | None) -> str | None:
    """The key to suggest: the fastest kind that is allowed.

    Args:
        allowed: the smallest size in bits of each kind; None if the policy leaves the choice to
            the requester.
    """
    if allowed is None:
        return "ec-p256"
    curve = next((size for size in _CURVES if size >= allowed.get("EC", 1 << 20)), None)
    if curve is not None:
        return f"ec-p{curve}"
    if "RSA" in allowed:
        return f"rsa-{max(3072, allowed['RSA'])}"
    return next((kind.lower() for kind in ("ED25519", "ED448") if kind in allowed), None)


def _forms(name: CandidateName) -> Sequence[tuple[bool, bool]]:
    """Where the name may be, in the order of preference: in the subject, in subjectAltName."""
    if name.kind in ("DNS", "IP"):
        return (True, True), (False, True), (True, False)
    return (False, True), (True, True)


def _attributes(options: Mapping[str, Any]) -> Iterator[tuple[str, Parts]]:
    """The attributes that the subject must have."""
    allowed = options.get("allowed", {})
    for name in options.get("required", ()):
        if name in ("CN", "commonName"):
            continue
        value = next(iter(allowed.get(name, ())), "%")
        if "%" not in value:
            yield name, (value,)
        else:
            # X.520: a country is two letters.
            is_country = ATTRIBUTES.get(name) == NameOID.COUNTRY_NAME
            yield name, (Variable(value.replace("%", "US" if is_country else "Example")),)


class _NoBans:
    """No bans: the example shows what the policy accepts."""

    def find(self, keys: Collection[str], now: object) -> Sequence[Ban]:
        del keys, now
        return ()

    def bans_names(self, now: object) -> bool:
        del now
        return False


class _Trial:
    """Asks a policy whether it accepts a request."""

    def __init__(
        self, policy: Policy, conf: Mapping[str, Any], attributes: Iterable[tuple[str, Parts]]
    ):
        configured = tuple(
            check
            for check in policy.configured
            # The others judge the connection, which readers have and this page does not.
            if check.looks_at_csr and check.name not in _KEY_VALIDATORS
        )
        self._policy = dataclasses.replace(policy, configured=configured, bans=_NoBans())
        self._conf = conf
        self._attributes = tuple(attributes)

    def accepts(self, name: CandidateName, in_subject: bool, in_san: bool) -> bool:
        """True if the policy accepts a request with this name."""
        try:
            csr = self._csr(name, in_subject, in_san)
        except (ValueError, KeyError):
            # The pattern is one for which the reader has to find a name.
            return False
        context = self._policy.context(_identity(name), None, self._conf)
        return self._policy.evaluate(csr, context).approved is not None

    def _csr(self, name: CandidateName, in_subject: bool, in_san: bool) -> X509Csr:
        subject = [
            x509.NameAttribute(ATTRIBUTES[attribute], "".join(parts))
            for attribute, parts in self._attributes
        ]
        if in_subject:
            subject.append(x509.NameAttribute(NameOID.COMMON_NAME, sample(name.parts)))
        builder = x509.CertificateSigningRequestBuilder(x509.Name(subject))
        if in_san:
            san = x509.SubjectAlternativeName([name.general_name()])
            builder = builder.add_extension(san, critical=False)
        if self._policy.signs_intermediates:
            builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
        request = builder.sign(_key(), hashes.SHA256())
        return X509Csr.from_der(request.public_bytes(Encoding.DER))


def _identity(name: CandidateName) -> AuthDetails:
    """A requester whose name, group and claims are the values of the variables."""
    return AuthDetails(
        "user", ("group",), claims=dict(name.claims), allowed_names=(sample(name.parts),)
    )


@functools.cache
def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())
