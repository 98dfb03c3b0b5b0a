"""Fixups: small repairs to a request that has passed its checks.

A fixup is a plain function that takes ``csr``, and what else it asks for, and returns a request:
the same one, or another made out of it.
"""

from __future__ import annotations

from ipaddress import ip_address

from cryptography import x509

from anchor.X509 import dns
from anchor.X509.signing_request import X509Csr


def enforce_alternative_names_present(csr: X509Csr) -> X509Csr:
    """Each common name stands in subjectAltName too, as an IP address if it is one, else as DNS.

    RFC 6125 section 6.4.4 and RFC 2818 let clients ignore the common name, and all of them do.
    """
    present = list(csr.alternative_names)
    known = {name.lower() for name in csr.dns_names} | {str(ip) for ip in csr.ip_addresses}
    for common_name in csr.common_names:
        name = _as_general_name(common_name)
        key = str(name.value).lower()
        if key not in known:
            known.add(key)
            present.append(name)
    if len(present) == len(csr.alternative_names):
        return csr
    return csr.with_alternative_names(present)


def _as_general_name(text: str) -> x509.DNSName | x509.IPAddress:
    return x509.IPAddress(ip_address(text)) if dns.is_address(text) else x509.DNSName(text)
