"""Writing valid and invalid DER, for requests that no library would make."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

COMMON_NAME = "2.5.4.3"
EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
MICROSOFT_EXTENSION_REQUEST = "1.3.6.1.4.1.311.2.1.14"
BASIC_CONSTRAINTS, KEY_USAGE, SAN = "2.5.29.19", "2.5.29.15", "2.5.29.17"

UTF8, PRINTABLE, TELETEX, IA5, UNIVERSAL, BMP = 0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E
NUMERIC, VISIBLE = 0x12, 0x1A


def length(count):
    if count < 0x80:
        return bytes([count])
    octets = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def tlv(tag, *contents):
    body = b"".join(contents)
    return bytes([tag]) + length(len(body)) + body


def sequence(*items):
    return tlv(0x30, *items)


def set_of(*items):
    return tlv(0x31, *sorted(items))


def context(number, *contents):
    """A constructed value with a context-specific tag."""
    return tlv(0xA0 | number, *contents)


def integer(value):
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def octets(value):
    return tlv(0x04, value)


def bits(value, unused=0):
    return tlv(0x03, bytes([unused]), value)


def oid(dotted):
    first, second, *rest = map(int, dotted.split("."))
    out = b""
    for number in (40 * first + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        out += bytes(reversed(groups))
    return tlv(0x06, out)


TRUE = tlv(0x01, b"\xff")
NULL = tlv(0x05)


def attribute_value(kind, value, tag=UTF8):
    return sequence(oid(kind), tlv(tag, value if isinstance(value, bytes) else value.encode()))


def name(*parts):
    """A Name; each part is a text, an (OID, value, tag), or a list of these for one RDN."""

    def one(part):
        return (
            attribute_value(COMMON_NAME, part)
            if isinstance(part, str)
            else (attribute_value(*part))
        )

    return sequence(
        *(set_of(*map(one, part if isinstance(part, list) else [part])) for part in parts)
    )


def extension(kind, value, critical=False):
    return sequence(oid(kind), *([TRUE] if critical else []), octets(value))


def dns(text):
    return tlv(0x82, text.encode() if isinstance(text, str) else text)


def alternative_names(*names, critical=False):
    return extension(SAN, sequence(*names), critical)


def extension_request(*extensions, kind=EXTENSION_REQUEST):
    return attribute(kind, sequence(*extensions))


def attribute(kind, *values):
    return sequence(oid(kind), set_of(*values))


def public_key_info(key):
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def info(subject, public_key, *attributes, version=0):
    """A CertificationRequestInfo (RFC 2986 section 4.1)."""
    return unsorted_info(subject, public_key, *sorted(attributes), version=version)


def unsorted_info(subject, public_key, *attributes, version=0):
    """A CertificationRequestInfo with unsorted attributes, which DER does not allow."""
    return sequence(integer(version), subject, public_key, context(0, *attributes))


ED25519 = sequence(oid("1.3.101.112"))
RSA_SHA256 = sequence(oid("1.2.840.113549.1.1.11"), NULL)
ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"))


def sign(key, message):
    """The signature algorithm and a valid signature of a request."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return ED25519, key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey):
        return RSA_SHA256, key.sign(message, PKCS1v15(), hashes.SHA256())
    return ECDSA_SHA256, key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def request(key, subject=None, *attributes, public_key=None, version=0, signer=None):
    """A request, signed by ``key`` or by ``signer``."""
    body = info(
        name("www.example.com") if subject is None else subject,
        public_key or public_key_info(key),
        *attributes,
        version=version,
    )
    return signed(body, *sign(signer or key, body))


def signed(body, algorithm, signature):
    return sequence(body, algorithm, bits(signature))


# ---- CMC (RFC 5272)

SIGNED_DATA, PKI_DATA = "1.2.840.113549.1.7.2", "1.3.6.1.5.5.7.12.2"


def tagged(csr, tag=0):
    return context(tag, integer(1), csr)


def pki_data(*requests, controls=(), contents=(), others=()):
    return sequence(
        sequence(*controls), sequence(*requests), sequence(*contents), sequence(*others)
    )


def control(kind, *values):
    return sequence(integer(2), oid(kind), set_of(*values))


def signed_data(contents, kind=PKI_DATA, outer=SIGNED_DATA, signers=()):
    encapsulated = sequence(
        oid(kind), *([] if contents is None else [context(0, octets(contents))])
    )
    body = sequence(integer(3), set_of(), encapsulated, set_of(*signers))
    return sequence(oid(outer), context(0, body))


def cmc(csr):
    """A CMC full request without signers that contains a PKCS#10."""
    return signed_data(pki_data(tagged(csr)))


# ---- RSA in Python, for moduli that no library makes


def rsa_public_key(modulus, exponent, algorithm="1.2.840.113549.1.1.1", parameters=NULL):
    numbers = sequence(integer(modulus), integer(exponent))
    return sequence(sequence(oid(algorithm), parameters), bits(numbers))


def rsa_sign(message, primes, exponent, digest="sha256"):
    """A PKCS#1 v1.5 signature; the modulus may have any number of primes."""
    kinds = {"sha256": "2.16.840.1.101.3.4.2.1"}
    modulus = 1
    for prime in primes:
        modulus *= prime
    size = (modulus.bit_length() + 7) // 8
    algorithm = sequence(oid(kinds[digest]), NULL)
    hashed = sequence(algorithm, octets(hashlib.new(digest, message).digest()))
    padded = int.from_bytes(b"\0\1" + b"\xff" * (size - 3 - len(hashed)) + b"\0" + hashed, "big")
    root = 0
    for prime in primes:
        others = modulus // prime
        part = pow(padded, pow(exponent, -1, prime - 1), prime) if prime > 2 else padded & 1
        root += part * others * pow(others, -1, prime)
    return (root % modulus).to_bytes(size, "big")
