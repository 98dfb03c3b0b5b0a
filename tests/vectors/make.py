"""Makes the hostile requests in this directory, and the table in README.rst.

Run as ``python -m tests.vectors.make``.  The output is deterministic: keys come from fixed seeds,
and signatures use no random numbers.
"""

from __future__ import annotations

import base64
import hashlib
import math
import random
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support import der
from tests.support.der import (
    BASIC_CONSTRAINTS,
    BMP,
    IA5,
    KEY_USAGE,
    MICROSOFT_EXTENSION_REQUEST,
    PRINTABLE,
    TELETEX,
    UNIVERSAL,
    UTF8,
    alternative_names,
    attribute,
    context,
    dns,
    extension,
    extension_request,
    integer,
    name,
    octets,
    oid,
    request,
    sequence,
    set_of,
    signed,
    tlv,
)

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Vector:
    """A request, and what is unusual about it."""

    file: str
    oddity: str
    contents: bytes


def pem(contents, label="CERTIFICATE REQUEST", newline=b"\n"):
    lines = base64.encodebytes(contents).splitlines()
    body = [f"-----BEGIN {label}-----".encode(), *lines, f"-----END {label}-----".encode()]
    # encodebytes() makes lines of 76 characters, RFC 7468 of 64; both have to be accepted.
    return newline.join(body) + newline


# ---- keys

ED = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"ed25519").digest())
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"another").digest())


def ec_key(curve):
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(b"ec").digest()[:20], "big"), curve)


def is_prime(number):
    if any(number % small == 0 for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)):
        return False
    return all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7))


def next_prime(number):
    number |= 1
    # Both 65537 and 3 must be invertible.
    while not (number % 3 == 2 and number % 65537 != 1 and is_prime(number)):
        number += 2
    return number


def primes(count, size, seed):
    source = random.Random(seed)
    top = 3 << (size - 2)
    return [next_prime(top | source.getrandbits(size - 2)) for _ in range(count)]


def roca_prime(seed, size=1024):
    """k * M + 65537**a mod M, as CVE-2017-15361's generator made them (Nemec et al., CCS 2017)."""
    small = [p for p in range(2, 710) if all(p % d for d in range(2, math.isqrt(p) + 1))][:126]
    primorial = math.prod(small)
    source = random.Random(seed)
    while True:
        power = pow(65537, source.getrandbits(200), primorial)
        low = (3 << (size - 2)) // primorial
        number = (low + source.randrange(low // 4)) * primorial + power
        if is_prime(number) and number % 65537 != 1:
            return number


def rsa_request(factors, exponent=65537, *, n=None, signature=None, **key):
    n = n or math.prod(factors)
    body = der.info(name("www.example.com"), der.rsa_public_key(n, exponent, **key))
    signature = signature or der.rsa_sign(body, factors, exponent)
    return signed(body, der.RSA_SHA256, signature)


def rsa_private(seed):
    p, q = primes(2, 1024, seed)
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), RSAPublicNumbers(65537, p * q)
    )
    return numbers.private_key()


def ca_true(path_length=None):
    return sequence(der.TRUE, *([] if path_length is None else [integer(path_length)]))


NOT_A_CA = sequence()


def with_names(*names, subject=None):
    return request(ED, subject, extension_request(alternative_names(*names)))


def with_extensions(*extensions):
    return request(ED, None, extension_request(*extensions))


# ---- vectors, in groups


def signatures():
    body = der.info(name("www.example.com"), der.public_key_info(ED))
    good = ED.sign(body)
    yield (
        "bad-self-signature",
        "the last octet of the signature is flipped",
        signed(body, der.ED25519, good[:-1] + bytes([good[-1] ^ 1])),
    )
    yield (
        "foreign-self-signature",
        "signed with another key than its own",
        request(ED, signer=OTHER),
    )
    yield "empty-signature", "a signature of no octets", signed(body, der.ED25519, b"")
    yield (
        "signature-algorithm-unknown",
        "an algorithm 1.2.3.4",
        signed(body, sequence(oid("1.2.3.4")), good),
    )
    yield (
        "signature-algorithm-of-another-key",
        "RSA's algorithm over an Ed25519 key",
        signed(body, der.RSA_SHA256, good),
    )
    yield (
        "signature-algorithm-ed448",
        "Ed448's algorithm over an Ed25519 key, and a signature that is right but for that",
        signed(body, sequence(oid("1.3.101.113")), good),
    )
    rsa_key = rsa_private(1)
    body = der.info(name("www.example.com"), der.public_key_info(rsa_key))
    for hash_, arc in ((hashes.MD5(), 4), (hashes.SHA1(), 5)):
        yield (
            f"signed-with-{hash_.name}",
            f"signed with RSA and {hash_.name.upper()}",
            signed(
                body,
                sequence(oid(f"1.2.840.113549.1.1.{arc}"), der.NULL),
                rsa_key.sign(body, PKCS1v15(), hash_),
            ),
        )


def authorities():
    yes = extension(BASIC_CONSTRAINTS, ca_true(), True)
    no = extension(BASIC_CONSTRAINTS, NOT_A_CA, True)
    yield "ca-true", "basicConstraints CA:TRUE", with_extensions(yes)
    yield (
        "ca-true-uncritical",
        "CA:TRUE, not critical",
        with_extensions(extension(BASIC_CONSTRAINTS, ca_true())),
    )
    yield (
        "ca-true-in-a-second-extension",
        "CA:FALSE, then CA:TRUE in one attribute",
        (with_extensions(no, yes)),
    )
    yield (
        "ca-true-in-a-second-attribute",
        "two extensionRequest attributes",
        request(ED, None, extension_request(no), extension_request(yes)),
    )
    yield (
        "ca-true-in-a-second-value",
        "an extensionRequest attribute with two values",
        request(ED, None, attribute(der.EXTENSION_REQUEST, sequence(no), sequence(yes))),
    )
    yield (
        "ca-true-in-microsofts-attribute",
        "an extensionRequest, and Microsoft's",
        request(
            ED,
            None,
            extension_request(no),
            extension_request(yes, kind=MICROSOFT_EXTENSION_REQUEST),
        ),
    )
    yield (
        "ca-true-in-microsofts-attribute-only",
        "Microsoft's extensionRequest alone",
        request(ED, None, extension_request(yes, kind=MICROSOFT_EXTENSION_REQUEST)),
    )
    yield (
        "ca-true-in-ber",
        "CA:TRUE as the octet 01, which is BER",
        with_extensions(extension(BASIC_CONSTRAINTS, sequence(tlv(0x01, b"\x01")), True)),
    )
    yield (
        "path-length-negative",
        "pathLenConstraint -1",
        with_extensions(extension(BASIC_CONSTRAINTS, ca_true(-1), True)),
    )
    yield (
        "key-cert-sign",
        "keyUsage with keyCertSign",
        with_extensions(extension(KEY_USAGE, der.bits(b"\x04", 2), True)),
    )
    yield (
        "crl-sign",
        "keyUsage with cRLSign",
        with_extensions(extension(KEY_USAGE, der.bits(b"\x02", 1), True)),
    )
    yield (
        "key-usage-with-trailing-zeros",
        "keyUsage digitalSignature in eight bits",
        (with_extensions(extension(KEY_USAGE, der.bits(b"\x80", 0), True))),
    )
    yield (
        "key-usage-empty",
        "keyUsage without any bit",
        with_extensions(extension(KEY_USAGE, der.bits(b"", 0), True)),
    )
    yield (
        "extended-key-usage-empty",
        "extKeyUsage without any purpose",
        with_extensions(extension("2.5.29.37", sequence())),
    )
    yield (
        "extension-unknown-critical",
        "the critical extension 1.2.3.4",
        with_extensions(extension("1.2.3.4", b"\x05\x00", True)),
    )
    yield (
        "extension-unknown",
        "the extension 1.2.3.4, not critical",
        with_extensions(extension("1.2.3.4", b"\x05\x00")),
    )
    yield (
        "extension-twice",
        "two subjectAltNames",
        with_extensions(
            alternative_names(dns("a.example.com")), alternative_names(dns("b.example.com"))
        ),
    )
    yield (
        "extension-with-default-false",
        "critical FALSE is written out, which is BER",
        (
            with_extensions(
                sequence(oid(KEY_USAGE), tlv(0x01, b"\x00"), octets(der.bits(b"\x80", 7)))
            )
        ),
    )


def subjects():
    def subject(*parts):
        return request(ED, name(*parts))

    cn = der.COMMON_NAME
    yield "cn-with-nul", "a NUL in the common name", subject("www.example.com\0.evil.example")
    yield "cn-with-newline", "a newline in the common name", subject("www.example.com\n")
    yield "cn-with-bidi-override", "U+202E in the common name", subject("www\u202emoc.elpmaxe")
    yield "cn-with-zero-width-space", "U+200B in the common name", subject("www\u200b.example.com")
    yield "cn-empty", "a common name of no characters", subject("")
    yield "cn-too-long", "a common name of 65 characters", subject("a" * 65)
    yield "cn-not-utf8", "a UTF8String that is not UTF-8", subject((cn, b"\xff\xfe", UTF8))
    yield "cn-overlong-utf8", "a dot as the two octets C0 AE", subject((cn, b"a\xc0\xaeb", UTF8))
    yield "cn-printable-with-at", "a PrintableString with an @", subject((cn, b"a@b", PRINTABLE))
    yield "cn-ia5-not-ascii", "an IA5String with é in UTF-8", subject((cn, "é", IA5))
    yield "cn-bmp", "a BMPString", subject((cn, "www.example.com".encode("utf-16-be"), BMP))
    yield "cn-teletex", "a TeletexString", subject((cn, b"www.example.com", TELETEX))
    yield (
        "cn-universal",
        "a UniversalString",
        subject((cn, "www.example.com".encode("utf-32-be"), UNIVERSAL)),
    )
    yield "cn-integer", "an INTEGER for a common name", subject((cn, b"\x01", 0x02))
    yield "cn-several", "two common names", subject("a.example.com", "b.example.com")
    yield (
        "rdn-multi-valued",
        "one RDN of an organisation and a common name",
        subject(["www.example.com", ("2.5.4.10", "Example", UTF8)]),
    )
    yield (
        "rdn-with-two-cns",
        "one RDN of two common names",
        subject(["a.example.com", "b.example.com"]),
    )
    yield "rdn-empty", "an RDN of nothing", request(ED, sequence(set_of()))
    yield (
        "rdn-unsorted",
        "a SET OF in the wrong order",
        request(
            ED,
            sequence(
                tlv(
                    0x31,
                    der.attribute_value(cn, "www.example.com"),
                    der.attribute_value("2.5.4.10", "Example"),
                )
            ),
        ),
    )
    yield "country-of-three", "a country of three letters", subject(("2.5.4.6", "USA", PRINTABLE))
    yield (
        "unique-identifier",
        "an x500UniqueIdentifier, a BIT STRING",
        subject("www.example.com", ("2.5.4.45", b"\x00\x80", 0x03)),
    )
    yield "cn-homograph", "a Cyrillic a in the common name", subject("www.ex\u0430mple.com")
    yield "cn-cyrillic-64", "64 Cyrillic letters, 128 bytes", subject("\u0416" * 64)
    yield "cn-cyrillic-65", "65 Cyrillic letters", subject("\u0416" * 65)
    yield "cn-ia5", "an IA5String for a common name", subject((cn, b"www.example.com", IA5))
    yield (
        "cn-printable-wildcard",
        "a PrintableString with *",
        subject((cn, b"*.a.example", PRINTABLE)),
    )
    yield "cn-visible", "a VisibleString", subject((cn, b"www.example.com", der.VISIBLE))
    yield "cn-numeric", "a NumericString", subject((cn, b"0815", der.NUMERIC))
    yield "cn-general", "a GeneralString", subject((cn, b"www.example.com", 0x1B))
    yield "cn-bmp-with-nul", "a NUL in a BMPString", subject((cn, b"\0w\0\0\0w", BMP))
    yield (
        "cn-bmp-with-bidi-override",
        "U+202E in a BMPString",
        subject((cn, "a\u202eb".encode("utf-16-be"), BMP)),
    )
    yield "cn-bmp-of-3", "a BMPString of three bytes", subject((cn, b"\0a\0", BMP))
    yield (
        "cn-bmp-with-surrogates",
        "a BMPString with a surrogate pair",
        subject((cn, "\U0001f600".encode("utf-16-be"), BMP)),
    )
    yield (
        "cn-universal-surrogate",
        "a UniversalString with a surrogate",
        subject((cn, b"\0\0\xd8\0", UNIVERSAL)),
    )
    yield "cn-universal-huge", "U+110000", subject((cn, b"\0\x11\0\0", UNIVERSAL))
    yield (
        "o-bmp",
        "an organisation as BMPString, as IIS writes it",
        subject("www.example.com", ("2.5.4.10", "M\u00fcller".encode("utf-16-be"), BMP)),
    )
    yield (
        "o-teletex-latin-1",
        "a TeletexString with a byte of Latin-1",
        subject("www.example.com", ("2.5.4.10", "M\u00fcller".encode("latin-1"), TELETEX)),
    )
    yield (
        "country-as-utf8",
        "country, serialNumber and dnQualifier as UTF8String",
        subject("a", ("2.5.4.6", "DE", UTF8), ("2.5.4.5", "1", UTF8), ("2.5.4.46", "2", UTF8)),
    )
    yield (
        "serial-number-with-underscore",
        "a character that no PrintableString has",
        subject("www.example.com", ("2.5.4.5", "A_1", UTF8)),
    )
    yield (
        "dc-as-utf8",
        "domainComponent and emailAddress as UTF8String",
        subject(
            "a",
            ("0.9.2342.19200300.100.1.25", "example", UTF8),
            ("1.2.840.113549.1.9.1", "a@example.com", UTF8),
        ),
    )
    yield (
        "email-not-ascii",
        "an emailAddress that no IA5String can have",
        subject("a", ("1.2.840.113549.1.9.1", "\u00e9@example.com", UTF8)),
    )
    unit = "2.5.4.11"
    yield (
        "rdn-with-two-ous",
        "two units in one RDN, as Go's pkix.Name writes them",
        subject([(unit, "Web", PRINTABLE), (unit, "Platform", PRINTABLE)], "www.example.com"),
    )
    yield (
        "rdn-with-the-same-ou-twice",
        "the same unit twice in one RDN",
        subject([(unit, "Web", PRINTABLE), (unit, "Web", PRINTABLE)], "www.example.com"),
    )
    yield (
        "rdn-with-the-same-ou-in-two-types",
        "the same text as UTF8String and as BMPString",
        subject([(unit, "Web", UTF8), (unit, "Web".encode("utf-16-be"), BMP)], "www.example.com"),
    )
    yield (
        "rdn-of-65",
        "one RDN of 65 units",
        subject([(unit, f"{number}", PRINTABLE) for number in range(65)]),
    )
    yield "subject-empty", "neither a subject nor a subjectAltName", request(ED, sequence())


def alternatives():
    ascii_name = dns("www.example.com")
    yield "san-empty", "a subjectAltName without names", with_names()
    yield "san-dns-with-nul", "a NUL in a dNSName", with_names(dns("www.example.com\0.evil"))
    yield "san-dns-with-newline", "a newline in a dNSName", with_names(dns("www.example.com\n"))
    yield "san-dns-empty", "a dNSName of no characters", with_names(dns(""))
    yield "san-dns-not-ascii", "a dNSName in UTF-8", with_names(dns("www.ex\u0430mple.com"))
    yield (
        "san-dns-punycode-nonsense",
        "xn-- with nothing that decodes",
        with_names(dns("xn--999999999.example.com")),
    )
    yield "san-dns-address", "an address as a dNSName", with_names(dns("192.0.2.1"))
    yield "san-dns-wildcard-inside", "a wildcard inside a label", with_names(dns("w*w.example.com"))
    for size in (3, 5, 8, 32):
        yield (
            f"san-ip-of-{size}",
            f"an iPAddress of {size} octets",
            with_names(ascii_name, tlv(0x87, bytes(range(size)))),
        )
    yield "san-email", "an rfc822Name", with_names(tlv(0x81, b"root@example.com"))
    yield "san-uri", "a uniformResourceIdentifier", with_names(tlv(0x86, b"https://example.com/"))
    yield (
        "san-other-name",
        "an otherName, a Windows UPN",
        with_names(
            context(0, oid("1.3.6.1.4.1.311.20.2.3"), context(0, tlv(UTF8, b"root@example.com")))
        ),
    )
    yield (
        "san-other-name-with-nul",
        "an otherName with a NUL in its text",
        with_names(
            context(0, oid("1.3.6.1.4.1.311.20.2.3"), context(0, tlv(UTF8, b"root\0@example.com")))
        ),
    )
    yield "san-directory-name", "a directoryName", with_names(context(4, name("www.example.com")))
    yield (
        "san-directory-name-with-newline",
        "a newline in a directoryName",
        with_names(context(4, name("www\n"))),
    )
    yield (
        "san-directory-name-teletex",
        "a TeletexString in a directoryName",
        with_names(context(4, name((der.COMMON_NAME, b"www", TELETEX)))),
    )
    yield "san-registered-id", "a registeredID", with_names(tlv(0x88, oid("1.2.3.4")[2:]))
    yield "san-x400", "an x400Address", with_names(context(3, sequence()))
    yield (
        "san-critical-in-ber",
        "critical as the octet 01",
        with_extensions(sequence(oid(der.SAN), tlv(0x01, b"\x01"), octets(sequence(ascii_name)))),
    )
    yield (
        "san-trailing-octets",
        "octets after the GeneralNames",
        with_extensions(extension(der.SAN, sequence(ascii_name) + b"\0")),
    )


def rsa_keys():
    p, q, r = primes(3, 1024, 2)
    yield "rsa-e-1", "exponent 1: the signature is the padded hash", rsa_request([p, q], 1)
    yield "rsa-e-3", "exponent 3", rsa_request([p, q], 3)
    yield "rsa-e-even", "exponent 65536", rsa_request([p, q], 65536, signature=b"\1" * 256)
    yield (
        "rsa-e-huge",
        "an exponent as long as the modulus",
        rsa_request([p, q], (p - 1) * (q - 1) - 1),
    )
    yield "rsa-e-negative", "exponent -65537", rsa_request([p, q], -65537, signature=b"\1" * 256)
    yield (
        "rsa-n-negative",
        "a negative modulus",
        rsa_request([p, q], n=-(p * q), signature=b"\1" * 256),
    )
    body = der.info(name("www.example.com"), der.rsa_public_key(0, 65537))
    yield "rsa-n-zero", "modulus 0", signed(body, der.RSA_SHA256, b"\1" * 256)
    yield "rsa-even", "an even modulus", rsa_request([2, p, q])
    yield "rsa-small-factor", "a modulus with the factor 1999", rsa_request([1999, p, q])
    close = next_prime(p + 2)
    yield (
        "rsa-close-primes",
        "primes next to each other (Fermat, CVE-2022-26320)",
        rsa_request([p, close]),
    )
    yield (
        "rsa-square",
        "a modulus that is a square",
        rsa_request([p], n=p * p, signature=b"\1" * 256),
    )
    yield (
        "rsa-roca",
        "made by the published construction of ROCA (CVE-2017-15361)",
        rsa_request([roca_prime(1), roca_prime(2)]),
    )
    yield "rsa-1024", "1024 bits", rsa_request(primes(2, 512, 3))
    yield "rsa-16384", "16384 bits, of sixteen primes", rsa_request(primes(16, 1024, 4))
    yield (
        "rsa-16384-e-huge",
        "16384 bits and an exponent of 16000",
        rsa_request([p, r], n=(1 << 16383) + 1, exponent=(1 << 16000) + 1, signature=b"\1" * 2048),
    )
    yield (
        "rsa-300000",
        "a modulus of 300000 bits",
        rsa_request([p, q], n=(1 << 299999) + 1, signature=b"\1" * 2048),
    )
    yield (
        "rsa-pss-key",
        "a key that is bound to PSS",
        rsa_request([p, q], algorithm="1.2.840.113549.1.1.10", parameters=b""),
    )
    yield "rsa-without-null", "rsaEncryption without its NULL", rsa_request([p, q], parameters=b"")


def ec_keys():
    for curve in (ec.SECP192R1(), ec.SECP256K1(), ec.BrainpoolP256R1()):
        yield f"ec-{curve.name}", f"a key on {curve.name}", request(ec_key(curve))
    key = ec_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
    p256 = sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7"))

    def point(octets_, algorithm=p256):
        return request(key, public_key=sequence(algorithm, der.bits(octets_)))

    yield "ec-off-curve", "a point beside P-256", point(b"\4" + x + y[:-1] + bytes([y[-1] ^ 1]))
    yield "ec-infinity", "the point at infinity", point(b"\0")
    yield "ec-compressed", "a compressed point", point(bytes([2 + (y[-1] & 1)]) + x)
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    explicit = sequence(
        integer(1),
        sequence(oid("1.2.840.10045.1.1"), integer(prime)),
        sequence(
            octets((prime - 3).to_bytes(32, "big")),
            octets(
                bytes.fromhex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b")
            ),
        ),
        octets(b"\4" + x + y),
        integer(0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
        integer(1),
    )
    yield (
        "ec-explicit-parameters",
        "explicit parameters with the key as base point",
        point(b"\4" + x + y, sequence(oid("1.2.840.10045.2.1"), explicit)),
    )
    identity = b"\1" + bytes(31)
    spki = sequence(der.ED25519, der.bits(identity))
    body = der.info(name("www.example.com"), spki)
    yield (
        "ed25519-identity",
        "a point of order 1, for which anyone signs",
        signed(body, der.ED25519, identity + bytes(32)),
    )
    yield (
        "ed25519-short",
        "an Ed25519 key of 31 octets",
        request(ED, public_key=sequence(der.ED25519, der.bits(bytes(31)))),
    )
    yield (
        "x25519-key",
        "a key that cannot sign",
        request(
            ED, public_key=sequence(sequence(oid("1.3.101.110")), der.bits(b"\x09" + bytes(31)))
        ),
    )


def encodings():
    good = request(ED)
    parts = good[2:] if good[1] < 0x80 else good[3:]
    yield (
        "ber-indefinite-length",
        "an outer SEQUENCE of indefinite length",
        (b"\x30\x80" + parts + b"\0\0"),
    )
    yield (
        "ber-long-length",
        "a length in more octets than it needs",
        (b"\x30\x82" + len(parts).to_bytes(2, "big") + parts),
    )
    yield "trailing-octets", "an octet after the request", good + b"\0"
    yield "twice", "the request twice in a row", good + good
    yield "truncated", "the last octet is missing", good[:-1]
    yield "version-1", "version 1, which is encoded as 1", request(ED, version=1)
    yield "version-2", "version 2, as of a certificate; certbot before 1.29", request(ED, version=2)
    yield "version-negative", "version -1", request(ED, version=-1)
    nested = b""
    for _ in range(8000):
        nested = tlv(0x30, nested)
    yield (
        "nested-8000-deep",
        "8000 SEQUENCEs in one another, as an attribute",
        request(ED, None, attribute("1.2.3.4", nested)),
    )
    yield "nested-8000-deep-alone", "8000 SEQUENCEs in one another, and nothing else", nested
    yield (
        "attributes-65",
        "65 attributes",
        request(ED, None, *(attribute(f"1.2.3.{number}", der.NULL) for number in range(65))),
    )
    yield (
        "extensions-65",
        "65 extensions",
        with_extensions(*(extension(f"1.2.3.{number}", b"\x05\x00") for number in range(65))),
    )
    yield (
        "names-1001",
        "1001 alternative names",
        with_names(*(dns(f"n{number}.example") for number in range(1001))),
    )
    challenge = attribute("1.2.840.113549.1.9.7", tlv(UTF8, b"a challenge"))
    wanted = extension_request(alternative_names(dns("www.example.com")))
    key = der.public_key_info(ED)
    for file, oddity, body in (
        (
            "attributes-unsorted",
            "attributes in another order than DER's, as Go libraries for SCEP write them",
            der.unsorted_info(name("www.example.com"), key, wanted, challenge),
        ),
        (
            "attributes-missing",
            "no attributes, where DER has an empty set of them",
            sequence(integer(0), name("www.example.com"), key),
        ),
        (
            "attributes-unsorted-with-two-requests",
            "an extensionRequest, a password, and an extensionRequest with CA:TRUE",
            der.unsorted_info(
                name("www.example.com"),
                key,
                wanted,
                challenge,
                extension_request(extension(BASIC_CONSTRAINTS, ca_true(), True)),
            ),
        ),
    ):
        yield file, oddity, signed(body, *der.sign(ED, body))
    yield "extensions-empty", "an extensionRequest without extensions", with_extensions()
    yield (
        "challenge-password",
        "an attribute that Anchor does not look at",
        request(ED, None, attribute("1.2.840.113549.1.9.7", tlv(UTF8, b"a challenge"))),
    )


def _utf(text, encoding):
    return text.decode().encode(encoding)


def armours():
    good = request(ED)
    text = pem(good)
    yield "crlf.pem", "lines that end in CRLF", pem(good, newline=b"\r\n")
    yield "new-label.pem", "the label NEW CERTIFICATE REQUEST", pem(good, "NEW CERTIFICATE REQUEST")
    yield "two-blocks.pem", "two PEM blocks", text + text
    private = ED.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    yield "private-key-before.pem", "a private key before the request", private + text
    yield (
        "private-key-in-utf-16.pem",
        "the same in UTF-16",
        (private + text).decode().encode("utf-16-le"),
    )
    yield (
        "certificate-after.pem",
        "a certificate's label after the request",
        text + pem(good, "CERTIFICATE"),
    )
    lines = text.splitlines()
    yield from (
        ("text-after.pem", "text after the block", text + b"\nSigned-off-by: \xc4nne\n"),
        (
            "certutil.pem",
            "text before the block and another label, as `certutil -R -a` writes it",
            b"\nCertificate request generated by Netscape certutil\nPhone: (not specified)\n\n"
            b"Common Name: www.example.com\nEmail: (not specified)\n\n"
            + pem(good, "NEW CERTIFICATE REQUEST"),
        ),
        (
            "text-that-begins-with-a-zero.pem",
            "text before the block that begins like DER, with the figure 0",
            b"0 requests before this one\n" + text,
        ),
        ("cr.pem", "lines that end in CR alone", b"\r".join(lines) + b"\r"),
        (
            "blanks.pem",
            "blanks and tabs around each line, and blank lines",
            b"\n\n" + b"".join(b"\t  %b \t\n\n" % line for line in lines),
        ),
        ("no-final-newline.pem", "no newline at the end", text.rstrip()),
        (
            "unwrapped.pem",
            "all base64 in one line",
            b"\n".join([lines[0], b"".join(lines[1:-1]), lines[-1]]),
        ),
        ("one-line.pem", "blanks in place of all newlines", b" ".join(lines)),
        ("utf-16-le.pem", "UTF-16, little endian, no byte order mark", _utf(text, "utf-16-le")),
        ("utf-16-be.pem", "UTF-16, big endian, no byte order mark", _utf(text, "utf-16-be")),
        (
            "utf-16-be-mark.pem",
            "UTF-16, big endian, CRLF, with a byte order mark",
            _utf(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"), "utf-16-be"),
        ),
    )
    yield "utf-16-cut.pem", "UTF-16 with half a character at its end", _utf(text, "utf-16")[:-1]
    yield (
        "text-before.pem",
        "text before the block, as `openssl req -text` writes it",
        (b"Certificate Request:\n" + text),
    )
    yield (
        "headers-inside.pem",
        "headers inside the block",
        text.replace(b"REQUEST-----\n", b"REQUEST-----\nProc-Type: 4,CLEAR\n\n", 1),
    )
    lines = text.splitlines(keepends=True)
    yield (
        "base64-not-ascii.pem",
        "a letter of the base64 is not ASCII",
        b"".join([lines[0], "\u0410".encode() + lines[1][1:], *lines[2:]]),
    )
    yield "base64-with-nul.pem", "a NUL in the base64", b"".join([lines[0], b"\0", *lines[1:]])
    yield (
        "base64-padding-inside.pem",
        "padding in the middle",
        b"".join([lines[0], b"TUlJ====", *lines[1:]]),
    )
    yield (
        "labels-differ.pem",
        "BEGIN and END disagree",
        text.replace(b"END CERTIFICATE REQUEST", b"END CERTIFICATE"),
    )
    yield "empty-block.pem", "a block of nothing", pem(b"")
    yield "utf-16.pem", "the text in UTF-16", text.decode().encode("utf-16")
    yield "byte-order-mark.pem", "a byte order mark before the block", b"\xef\xbb\xbf" + text
    yield "private-key.pem", "a private key in place of a request", private
    yield "certificate.pem", "the label of a certificate around a request", pem(good, "CERTIFICATE")
    certificate_like = sequence(
        sequence(
            context(0, integer(2)),
            integer(1),
            der.ED25519,
            name("CA"),
            sequence(tlv(0x17, b"260101000000Z"), tlv(0x17, b"270101000000Z")),
            name("www.example.com"),
            der.public_key_info(ED),
        ),
        der.ED25519,
        der.bits(bytes(64)),
    )
    yield (
        "certificate-as-a-request.pem",
        "a certificate under the label of a request",
        pem(certificate_like),
    )


def messages():
    good = request(ED)
    yield "cmc", "a CMC full request around a sound request", der.cmc(good)
    yield (
        "cmc.pem",
        "the same in PEM under a request's label, as Windows' certreq writes it",
        pem(der.cmc(good), "NEW CERTIFICATE REQUEST"),
    )
    yield (
        "cmc-with-foreign-self-signature",
        "a request signed with another key inside",
        der.cmc(request(ED, signer=OTHER)),
    )
    yield (
        "cmc-two-requests",
        "two requests inside",
        der.signed_data(der.pki_data(der.tagged(good), der.tagged(request(OTHER)))),
    )
    yield "cmc-no-request", "no request inside", der.signed_data(der.pki_data())
    yield (
        "cmc-crmf",
        "a CRMF request inside",
        der.signed_data(der.pki_data(context(1, sequence(integer(1), sequence())))),
    )
    yield (
        "cmc-other-request",
        "a request of another kind inside",
        der.signed_data(der.pki_data(context(2, integer(1), oid("1.2.3.4"), der.NULL))),
    )
    yield (
        "cmc-with-contents",
        "a CMS message beside the request",
        der.signed_data(
            der.pki_data(der.tagged(good), contents=[sequence(integer(3), der.cmc(good))])
        ),
    )
    yield (
        "cmc-with-other-message",
        "a message of another kind beside the request",
        (
            der.signed_data(
                der.pki_data(
                    der.tagged(good), others=[sequence(integer(3), oid("1.2.3.4"), der.NULL)]
                )
            )
        ),
    )
    add = extension_request(extension(BASIC_CONSTRAINTS, ca_true(), True))
    yield (
        "cmc-add-extensions",
        "the control addExtensions, with CA:TRUE",
        der.signed_data(
            der.pki_data(
                der.tagged(good),
                controls=[
                    der.control(
                        "1.3.6.1.5.5.7.7.8",
                        sequence(
                            integer(0),
                            sequence(integer(1)),
                            sequence(extension(BASIC_CONSTRAINTS, ca_true())),
                        ),
                    )
                ],
            )
        ),
    )
    yield (
        "cmc-microsoft-add-extensions",
        "Microsoft's control that adds CA:TRUE",
        der.signed_data(
            der.pki_data(
                der.tagged(good),
                controls=[
                    der.control(
                        "1.3.6.1.4.1.311.10.10.1",
                        sequence(integer(0), sequence(integer(1)), set_of(add)),
                    )
                ],
            )
        ),
    )
    client = attribute("1.3.6.1.4.1.311.21.20", sequence(integer(9), tlv(UTF8, b"host")))
    yield (
        "cmc-windows-controls",
        "the controls that Windows sends",
        der.signed_data(
            der.pki_data(
                der.tagged(good),
                controls=[
                    der.control(
                        "1.3.6.1.4.1.311.10.10.1",
                        sequence(integer(0), sequence(integer(1)), set_of(client)),
                    ),
                    der.control("1.3.6.1.5.5.7.7.18", octets(b"CertificateTemplate=Machine&")),
                ],
            )
        ),
    )
    yield "cmc-without-contents", "a detached CMS message", der.signed_data(None)
    yield (
        "cmc-of-plain-data",
        "a CMS message that is no CMC",
        der.signed_data(b"hello", kind="1.2.840.113549.1.7.1"),
    )
    yield (
        "cmc-enveloped",
        "an EnvelopedData",
        der.signed_data(der.pki_data(der.tagged(good)), outer="1.2.840.113549.1.7.3"),
    )
    yield "cmc-in-cmc", "a CMC request in place of the PKCS#10", der.cmc(der.cmc(good))
    body = der.unsorted_info(
        name((der.COMMON_NAME, b"www.example.com", IA5)),
        der.public_key_info(ED),
        extension_request(alternative_names(dns("www.example.com"))),
        client,
    )
    yield (
        "cmc-with-cn-ia5",
        "a request inside with an IA5String and its attributes not in DER's order",
        der.cmc(signed(body, *der.sign(ED, body))),
    )
    yield "cmc-trailing-octets", "an octet after the message", der.cmc(good) + b"\0"


GROUPS = (
    signatures,
    authorities,
    subjects,
    alternatives,
    rsa_keys,
    ec_keys,
    encodings,
    armours,
    messages,
)


def vectors():
    """All vectors."""
    for group in GROUPS:
        for file, oddity, contents in group():
            yield Vector(file if "." in file else f"{file}.der", oddity, contents)


def ten_thousand_names():
    """A request with 10,000 names, which is too large to store as a file."""
    return with_names(*(dns(f"{number:x}") for number in range(10_000)))


def main():
    """Write the files and the table."""
    made = list(vectors())
    for vector in made:
        (HERE / vector.file).write_bytes(vector.contents)
    known = {vector.file for vector in made} | {"make.py", "__init__.py", "README.rst"}
    for path in HERE.iterdir():
        if path.is_file() and path.name not in known:
            path.unlink()
    width = max(len(vector.file) for vector in made) + 4
    odd = max(len(vector.oddity) for vector in made)
    rule = f"{'=' * width} {'=' * odd}\n"
    rows = "".join(f"{f'``{v.file}``':{width}} {v.oddity}\n" for v in made)
    (HERE / "README.rst").write_text(
        "================\nHostile requests\n================\n\n"
        "Every file was made by ``python -m tests.vectors.make``, which writes DER\n"
        "(``tests/support/der.py``) with keys from fixed seeds; no other source was used.\n"
        "``tests/unit/X509/test_hostile_requests.py`` has the\n"
        "expected results and larger requests.\n"
        f"\n{rule}{'File':{width}} What is odd about it\n{rule}{rows}{rule}"
    )


if __name__ == "__main__":
    main()
