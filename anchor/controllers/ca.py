"""``GET /v1/ca/<registration authority>``."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from webob import Response

from anchor.authority import RegistrationAuthority
from anchor.errors import MalformedSubmission
from anchor.web.request import Request
from anchor.web.responses import respond, wants_json
from anchor.X509.ca_certificate import CACertificate


def show_ca(request: Request, authority: RegistrationAuthority) -> Response:
    """The certificate of the CA that signs for an authority.

    In the query, ``encoding`` is ``pem``, the default, or ``der``.  ``chain=1`` adds the chain up
    to the root.  ``bundle=1`` adds the next and the former generation of the CA.

    Raises:
        MalformedSubmission: the query has another value, or a chain or bundle in DER.
    """
    query = parse_qs(request.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    encoding = query.get("encoding", ["pem"])
    chain, bundle = query.get("chain", ["0"]), query.get("bundle", ["0"])
    if encoding not in (["pem"], ["der"]) or not all(
        flag in (["0"], ["1"]) for flag in (chain, bundle)
    ):
        raise MalformedSubmission(
            "'encoding' should be pem or der, and 'chain' and 'bundle' 0 or 1"
        )
    with_chain, with_bundle = chain == ["1"], bundle == ["1"]
    cas = authority.signing_ca.trust_bundle(authority.clock())
    listed = cas if with_bundle else cas[:1]
    if wants_json(request):
        body = _as_json(cas[0])
        if with_bundle:
            body["bundle"] = [_pem(ca.certificate) for ca in listed]
        return respond(request, json.dumps(body).encode(), "application/json")
    if encoding == ["der"]:
        if with_chain or with_bundle:
            raise MalformedSubmission("a chain or a bundle comes in PEM only")
        der = cas[0].certificate.public_bytes(Encoding.DER)
        return respond(request, der, "application/pkix-cert")
    # Generations may have the same root, which is listed once.
    certificates = dict.fromkeys(
        certificate
        for ca in listed
        for certificate in (ca.certificate, *(ca.chain if with_chain else ()))
    )
    return respond(request, "".join(map(_pem, certificates)).encode(), "text/plain")


def _as_json(ca: CACertificate) -> dict[str, object]:
    return {
        "certificate": _pem(ca.certificate),
        "chain": [_pem(link) for link in ca.chain],
        "fingerprint": ca.certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
