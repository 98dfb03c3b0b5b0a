"""The proof of possession of the old key: a compact JWS that is valid for one request."""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from anchor.auth.presented import RenewalProof
from anchor.auth.results import SingleUse
from anchor.errors import NotAuthenticated
from anchor.jose.algorithms import KEY_KINDS
from anchor.jose.compact import CompactJws, encode_base64url, parse_compact
from anchor.jose.signatures import verify
from anchor.renewal.door_urls import normalize_url
from anchor.X509.parse_errors import MALFORMED

TYPE = "anchor-renewal+jws"
MAX_PROOF = 32768
"""The longest proof, in characters; a certificate with many names takes most of it."""
MAX_SECONDS = 300
"""How long a proof may be valid."""
MAX_CHAIN = 10
_SKEW_SECONDS = 60
_MAX_ID = 256

_HEADER = {"alg", "typ", "x5c"}
_PAYLOAD = {"aud", "csr", "iat", "exp", "jti"}

_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@dataclass(frozen=True)
class UnverifiedProof:
    """A well-formed proof whose signature was not verified.

    Attributes:
        signed: the proof.
        certificate: the certificate in it, in DER.
    """

    signed: CompactJws
    certificate: bytes = field(repr=False)

    def verify(self, presented: RenewalProof, now: datetime.datetime) -> SingleUse:
        """Require that the proof is signed with the certificate's key, for this request.

        Args:
            presented: the request that it came with.
            now: the time, in UTC.

        Returns:
            what makes it good once on all nodes.

        Raises:
            NotAuthenticated: the proof is not accepted; the text says why.
            UnreadableRequest: the proof is good, but the request is not readable.
        """
        algorithm = self.signed.header["alg"]
        try:
            key = _key(self.certificate, algorithm)
            verify(self.signed, algorithm, key)
            return _require_fitting(self.signed.payload, self.certificate, presented, now)
        except ValueError as error:
            raise NotAuthenticated(f"the proof is not accepted: {error}") from None


def parse_proof(text: str) -> UnverifiedProof:
    """Return the certificate in a proof.

    Raises:
        NotAuthenticated: the proof is malformed; the text says why.
    """
    try:
        signed = parse_compact(text, MAX_PROOF)
        _require_members(signed.header, _HEADER, "header")
        _require_members(signed.payload, _PAYLOAD, "payload")
        if signed.header["typ"] != TYPE:
            raise ValueError(f"its 'typ' should be {TYPE!r}")
        algorithm = signed.header["alg"]
        if not isinstance(algorithm, str) or algorithm not in KEY_KINDS:
            raise ValueError(f"its 'alg' should be one of {', '.join(KEY_KINDS)}")
        return UnverifiedProof(signed, _certificate(signed.header["x5c"]))
    except ValueError as error:
        raise NotAuthenticated(f"the proof is not accepted: {error}") from None


def _require_members(found: dict[str, Any], expected: set[str], part: str) -> None:
    missing = sorted(expected - found.keys())
    if missing:
        raise ValueError(f"its {part} has no {missing[0]!r}")
    if found.keys() - expected:
        raise ValueError(f"its {part} has members besides {', '.join(sorted(expected))}")


def _certificate(chain: object) -> bytes:
    """The first certificate of ``x5c`` (RFC 7515 section 4.1.6); the others are ignored."""
    if not isinstance(chain, list) or not 1 <= len(chain) <= MAX_CHAIN:
        raise ValueError(f"its 'x5c' should be a list of 1 to {MAX_CHAIN} certificates")
    if not all(isinstance(link, str) for link in chain):
        raise ValueError("its 'x5c' should be a list of strings")
    try:
        return base64.b64decode(chain[0], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("its 'x5c' should have certificates in base64, without lines") from None


def _key(certificate: bytes, algorithm: str) -> Key:
    """The key of a certificate, if signatures of that algorithm can be verified with it."""
    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
    except MALFORMED:
        raise ValueError("its certificate cannot be read") from None
    kinds: dict[tuple[str, str | None], type[RSAKey] | type[ECKey] | type[OKPKey]]
    match public:
        case rsa.RSAPublicKey():
            kinds = {("RSA", None): RSAKey}
        case ec.EllipticCurvePublicKey():
            kinds = {("EC", _CURVES.get(public.curve.name)): ECKey}
        case ed25519.Ed25519PublicKey():
            kinds = {("OKP", "Ed25519"): OKPKey}
        case _:
            kinds = {}
    key_type = kinds.get(KEY_KINDS[algorithm])
    if key_type is None:
        raise ValueError("its 'alg' does not fit the key of its certificate")
    try:
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return key_type.import_key(pem)
    except (JoseError, ValueError):
        raise ValueError("the key of its certificate cannot be used") from None


def _require_fitting(
    payload: dict[str, Any],
    certificate: bytes,
    presented: RenewalProof,
    now: datetime.datetime,
) -> SingleUse:
    expires = _require_current(payload["iat"], payload["exp"], now.timestamp())
    audience = payload["aud"]
    try:
        is_here = isinstance(audience, str) and (
            normalize_url(audience, keep_port=not presented.any_port) in presented.urls
        )
    except ValueError:
        is_here = False
    if not is_here:
        # Without a configured URL there are two, which differ in their scheme.
        raise ValueError(f"its 'aud' should be {max(presented.urls)}")
    identifier = payload["jti"]
    if not isinstance(identifier, str) or not 1 <= len(identifier) <= _MAX_ID:
        raise ValueError(f"its 'jti' should be a string of 1 to {_MAX_ID} characters")
    # Last: the request of somebody without the key is not parsed.
    if payload["csr"] != encode_base64url(hashlib.sha256(presented.read_csr()).digest()):
        raise ValueError(
            "its 'csr' should be the base64url of the SHA-256 over the DER of the request"
        )
    # With the certificate, so that nobody else can use up the identifiers of its holder.
    parts = hashlib.sha256(certificate).digest() + identifier.encode("utf-8", "surrogatepass")
    return SingleUse(hashlib.sha256(b"renewal" + parts).hexdigest(), expires)


def _require_current(issued: object, expires: object, now: float) -> datetime.datetime:
    if not (_is_time(issued) and _is_time(expires)):
        raise ValueError("its 'iat' and 'exp' should be seconds since 1970")
    assert isinstance(issued, int | float) and isinstance(expires, int | float)
    if not 0 < expires - issued <= MAX_SECONDS:
        raise ValueError(f"its 'exp' should be at most {MAX_SECONDS} seconds after its 'iat'")
    if issued > now + _SKEW_SECONDS:
        raise ValueError("its 'iat' is in the future: one of the clocks is wrong")
    if expires <= now:
        raise ValueError("it has expired")
    return datetime.datetime.fromtimestamp(expires, datetime.UTC)


def _is_time(value: object) -> bool:
    # A year with more than four digits is an error of datetime.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 36
