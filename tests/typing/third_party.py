"""A third-party plug-in that uses Anchor's types; mypy checks it, and nothing runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from anchor.plugin_api import (
    AuthDetails,
    Domains,
    Extensions,
    FilePath,
    Network,
    Networks,
    Patterns,
    Request,
    Templates,
    Usages,
    ValidationError,
    X509Csr,
    judges_names,
    refuse_any,
    values_of,
)


@judges_names
def validator(
    csr: X509Csr,
    auth_result: AuthDetails,
    request: Request,
    conf: Mapping[str, Any],
    domains: Domains,
    networks: Networks,
    names: Patterns,
    own: Templates,
    ranges: tuple[Network, ...],
    allowed: Extensions,
    usages: Usages,
) -> None:
    refuse_any("outside", names=(name for name in csr.dns_names if name not in domains))
    refuse_any("outside", names=(str(ip) for ip in csr.ip_addresses if ip not in networks))
    for name in csr.common_names:
        if not names.has_name(name, wildcards=False):
            raise ValidationError("not listed", name=name)
        if not own.has_name(name, wildcards=False, values=values_of(auth_result)):
            raise ValidationError("of another requester", name=name)
    for extension in csr.extensions:
        if extension.oid not in allowed and extension.critical:
            raise ValidationError("not allowed", extension=extension.oid.dotted_string)
    constraints = csr.extension(x509.BasicConstraints)
    if constraints is not None and constraints.value.ca and "keyCertSign" not in usages:
        raise ValidationError("a CA", user=auth_result.username, authority=conf["signing_ca"])
    address = request.client_address
    if address is None or not any(address in network for network in ranges):
        raise ValidationError("from elsewhere", address=address)


def fixup(csr: X509Csr, suffix: str = ".example.com") -> X509Csr:
    names = [x509.DNSName(name + suffix) for name in csr.common_names]
    return csr.with_alternative_names([*csr.alternative_names, *names])


class Authentication:
    def __init__(self, users: tuple[str, ...], table: FilePath):
        self._users = dict.fromkeys(users, table)

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        return AuthDetails(username=user, groups=["staff"], user_id=None, project_id=None)


class Backend:
    def __init__(self, seed: int = 1):
        self._key = ec.derive_private_key(seed, ec.SECP256R1())

    def private_key(self) -> ec.EllipticCurvePrivateKey:
        return self._key
