"""``GET /v1/ca/<registration authority>``."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from webob import Response

from anchor.controllers.request import Request
from anchor.controllers.responses import respond, wants_json
from anchor.errors import MalformedSubmission
from anchor.registration_authority import RegistrationAuthority


def show_ca(request: Request, authority: RegistrationAuthority) -> Response:
    """The certificate of the CA that signs for an authority.

    ``encoding`` is ``pem``, the default, or ``der``; ``chain=1`` adds what leads to the root.
    """
    query = parse_qs(request.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    encoding = query.get("encoding", ["pem"])
    with_chain = query.get("chain", ["0"])
    if encoding not in (["pem"], ["der"]) or with_chain not in (["0"], ["1"]):
        raise MalformedSubmission("'encoding' is pem or der, and 'chain' is 0 or 1")
    ca = authority.signing_ca.ca
    if wants_json(request):
        body = json.dumps(
            {
                "certificate": _pem(ca.certificate),
                "chain": [_pem(link) for link in ca.chain],
                "fingerprint": ca.certificate.fingerprint(hashes.SHA256()).hex(),
            }
        )
        return respond(request, body.encode(), "application/json")
    if encoding == ["der"]:
        if with_chain == ["1"]:
            raise MalformedSubmission("a chain comes in PEM only")
        return respond(request, ca.certificate.public_bytes(Encoding.DER), "application/pkix-cert")
    shown = (ca.certificate, *(ca.chain if with_chain == ["1"] else ()))
    return respond(request, "".join(map(_pem, shown)).encode(), "text/plain")


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
