"""A proof renews if the key of the certificate signed it for this request, and never else."""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import hmac
import json
import string

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.auth.presented import Origin, RenewalProof
from anchor.errors import NotAuthenticated
from anchor.renewal.proof import MAX_PROOF, parse_proof
from tests.support import jwt
from tests.support.pki import hash_for, make_csr, make_key, shared_key, subject
from tests.support.properties import examples
from tests.support.renewal import URL, der, jose_key, make_proof

ORIGIN = Origin(address="192.0.2.7", request_id="1")
NOW = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
SECONDS = int(NOW.timestamp())
TYPE = "anchor-renewal+jws"

ALGORITHMS = {
    "rsa-2048": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    "ec-p256": ["ES256"],
    "ec-p384": ["ES384"],
    "ec-p521": ["ES512"],
    "ed25519": ["EdDSA", "Ed25519"],
}
EVERY = [(kind, algorithm) for kind, those in ALGORITHMS.items() for algorithm in those]


@functools.cache
def certificate(kind="ec-p256", names=0):
    """A certificate of a shared key; who issued it is not the proof's business."""
    key = shared_key(kind)
    hosts = [x509.DNSName(f"host-{number}.example.com") for number in range(names)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject("www.example.com"))
        .issuer_name(subject("www.example.com"))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(1))
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), False)
    return builder.sign(key, hash_for(key))


@functools.cache
def csr():
    return make_csr()


def proof(kind="ec-p256", *, header=None, **changes):
    times = {"iat": SECONDS, "exp": SECONDS + 300}
    return make_proof(
        certificate(kind), shared_key(kind), csr(), header=header, **{**times, **changes}
    )


def raw(header, payload, kind="ec-p256"):
    """A proof of these texts, signed as it should be."""
    return jwt.sign_raw(header.encode(), payload.encode(), *jose_key(shared_key(kind)))


def header(**changes):
    made = {"alg": "ES256", "typ": TYPE, "x5c": [encoded()], **changes}
    return json.dumps({name: value for name, value in made.items() if value is not None})


def payload(**changes):
    digest = jwt.b64(hashlib.sha256(der(csr())).digest())
    made = {"aud": URL, "csr": digest, "iat": SECONDS, "exp": SECONDS + 300, "jti": "1"}
    return json.dumps({**made, **changes})


def encoded(kind="ec-p256"):
    return base64.b64encode(certificate(kind).public_bytes(Encoding.DER)).decode()


def verify(text, *, urls=frozenset({URL}), at=NOW, request=None):
    """Verify a proof as the authority does; return what makes it good once."""
    octets = request or der(csr())
    presented = RenewalProof(text=text, read_csr=lambda: octets, urls=urls, origin=ORIGIN)
    return parse_proof(text).verify(presented, at)


def refusal(text, **kwargs):
    """The sentence of the refusal of a proof."""
    with pytest.raises(NotAuthenticated) as raised:
        verify(text, **kwargs)
    return str(raised.value).removeprefix("the proof is not accepted: ")


@pytest.mark.parametrize(("kind", "algorithm"), EVERY)
def test_every_key_of_jose_signs_a_proof(kind, algorithm):
    made = verify(proof(kind, header={"alg": algorithm}))

    assert len(made.key) == 64
    assert made.expires == NOW + datetime.timedelta(seconds=300)


OTHERS = [
    (kind, algorithm)
    for kind in ALGORITHMS
    for _, algorithm in EVERY
    if algorithm not in ALGORITHMS[kind]
]


@pytest.mark.parametrize(("kind", "algorithm"), OTHERS)
def test_an_algorithm_for_another_kind_of_key_is_refused(kind, algorithm):
    signed = next(each for each, those in ALGORITHMS.items() if algorithm in those)
    key, _ = jose_key(shared_key(signed))
    text = jwt.sign_raw(
        header(alg=algorithm, x5c=[encoded(kind)]).encode(), payload().encode(), key, algorithm
    )

    assert refusal(text) == "its 'alg' does not fit the key of its certificate"


@pytest.mark.parametrize("kind", ["ed448", "ec-p256"])
def test_a_key_without_an_algorithm_in_jose_signs_no_proof(kind):
    ed448 = header(x5c=[encoded("ed448")], alg="EdDSA" if kind == "ed448" else "ES256")

    assert "does not fit the key" in refusal(raw(ed448, payload()))


@pytest.mark.parametrize(
    "algorithm", ["none", "NONE", "HS256", "HS512", "ES256K", "es256", "", 1, None, ["ES256"]]
)
def test_other_algorithms_are_refused(algorithm):
    text = raw(json.dumps({**json.loads(header()), "alg": algorithm}), payload())

    assert "its 'alg' should be one of RS256" in refusal(text)


def test_an_unsigned_proof_is_refused():
    unsigned = f"{jwt.b64(header(alg='none').encode())}.{jwt.b64(payload().encode())}."

    assert refusal(unsigned) == "the signature is not base64url without padding"


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "RS256"])
def test_the_public_key_is_no_secret_for_a_mac(algorithm):
    public = shared_key("ec-p256").public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        certificate().public_bytes(Encoding.PEM),
    ):
        signed = f"{jwt.b64(header(alg=algorithm).encode())}.{jwt.b64(payload().encode())}"
        mac = hmac.digest(secret, signed.encode(), "sha256")
        assert refusal(f"{signed}.{jwt.b64(mac)}")


def test_the_signature_of_another_key_is_refused():
    text = make_proof(certificate(), make_key(), csr(), iat=SECONDS, exp=SECONDS + 300)

    assert refusal(text) == "its signature is wrong"


def test_an_ecdsa_signature_in_der_is_refused():
    first, second, _ = proof().split(".")
    in_der = shared_key("ec-p256").sign(f"{first}.{second}".encode(), ec.ECDSA(hashes.SHA256()))

    assert refusal(f"{first}.{second}.{jwt.b64(in_der)}") == "its signature is wrong"


def test_the_name_of_another_algorithm_of_the_same_key_is_refused():
    made = raw(header(alg="RS512", x5c=[encoded("rsa-2048")]), payload(), "rsa-2048")

    assert refusal(made) == "its signature is wrong"


@functools.cache
def signed_with(kind):
    return proof(kind, jti="1")


# The keys are made when they are first used, which takes long.
@settings(deadline=None)
@given(kind=st.sampled_from(["ed25519", "rsa-2048"]), place=st.integers(0), bit=st.integers(0, 7))
def test_one_changed_bit_anywhere_never_renews(kind, place, bit):
    text = signed_with(kind)
    place %= len(text)
    changed = chr(ord(text[place]) ^ 1 << bit)

    with pytest.raises(NotAuthenticated):
        verify(text[:place] + changed + text[place + 1 :])


@settings(deadline=None)
@given(place=st.integers(0, 10_000), character=st.sampled_from(string.printable + "é\udcff"))
def test_one_more_or_one_less_character_never_renews(place, character):
    text = signed_with("ed25519")
    place %= len(text)

    for changed in (text[:place] + character + text[place:], text[:place] + text[place + 1 :]):
        with pytest.raises(NotAuthenticated):
            verify(changed)


MEMBERS = json.loads(header()) | json.loads(payload())


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_a_missing_member_is_named(name):
    made = [json.loads(part) for part in (header(), payload())]
    for part in made:
        part.pop(name, None)
    where = "header" if name in json.loads(header()) else "payload"

    assert refusal(raw(*map(json.dumps, made))) == f"its {where} has no {name!r}"


@pytest.mark.parametrize(
    "more",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"b64": True},
        {"jwk": {"kty": "oct", "k": "AA"}},
        {"jku": "https://192.0.2.1/"},
        {"x5u": "https://192.0.2.1/"},
        {"kid": "1"},
        {"x5t#S256": "AA"},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"": 1},
    ],
)
def test_another_member_of_the_header_is_refused(more):
    assert "its header has members besides" in refusal(raw(header(**more), payload()))


def test_another_member_of_the_payload_is_refused():
    assert "its payload has members besides" in refusal(raw(header(), payload(nbf=SECONDS)))


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_a_member_twice_is_refused(name):
    def twice(text):
        value = json.loads(text)
        return f'{text[:-1]}, "{name}": {json.dumps(value[name])}}}' if name in value else text

    assert "a member twice" in refusal(raw(twice(header()), twice(payload())))


@pytest.mark.parametrize("kind", [TYPE.upper(), "JWT", f"application/{TYPE}", "", None, 1, [TYPE]])
def test_another_type_is_refused(kind):
    text = raw(json.dumps({**json.loads(header()), "typ": kind}), payload())

    assert refusal(text) == f"its 'typ' should be {TYPE!r}"


BYTES = base64.b64decode(encoded())


@pytest.mark.parametrize(
    "chain",
    [
        [],
        None,
        encoded(),
        {"0": encoded()},
        [encoded()] * 11,
        [1],
        [None],
        [encoded(), 1],
        [[encoded()]],
        [""],
        [f" {encoded()}"],
        ["\n".join((encoded()[:64], encoded()[64:]))],
        [encoded().rstrip("=") + "\n"],
        [jwt.b64(b"\xfb\xef\xff" * 9)],
        ["é" * 40],
        ["\udcff" * 40],
        ["no certificate"],
        [base64.b64encode(b"no certificate").decode()],
        [base64.b64encode(BYTES + b"\0").decode()],
        [base64.b64encode(BYTES[:-1]).decode()],
        [base64.b64encode(BYTES * 2).decode()],
        [base64.b64encode(certificate().public_bytes(Encoding.PEM)).decode()],
        [base64.b64encode(der(make_csr())).decode()],
    ],
)
def test_anything_but_a_certificate_in_x5c_is_refused(chain):
    made = json.dumps({**json.loads(header()), "x5c": chain})

    sentence = refusal(raw(made, payload()))

    assert "'x5c'" in sentence or "its certificate cannot be read" in sentence


def test_only_the_first_certificate_of_x5c_counts():
    both = [encoded(), encoded("rsa-2048")]

    assert verify(raw(header(x5c=both), payload()))
    assert "does not fit" in refusal(raw(header(x5c=both[::-1]), payload()))


def test_a_certificate_with_many_names_fits_into_a_proof():
    large = certificate(names=700)
    text = make_proof(large, shared_key("ec-p256"), csr(), iat=SECONDS, exp=SECONDS + 300)

    assert 25_000 < len(text) <= MAX_PROOF
    assert verify(text)


def test_a_longer_proof_is_refused():
    assert refusal("a" * (MAX_PROOF + 1)) == f"it has more than {MAX_PROOF} characters"


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "...", "a.b", "a.b.c.d", "a.b.c.d.e", "{}", "a b.c.d", "é.é.é", "\udcff.a.a"],
)
def test_anything_but_a_compact_jws_is_refused(text):
    assert refusal(text)


@pytest.mark.parametrize("part", range(3))
def test_padded_and_non_canonical_base64url_is_refused(part):
    parts = proof("ed25519").split(".")
    spellings = [parts[part] + "=", parts[part] + "==", f" {parts[part]}", f"{parts[part]}\n"]
    spellings += [parts[part] + "A", parts[part].replace("-", "+") + "+"]

    for spelling in spellings:
        assert refusal(".".join([*parts[:part], spelling, *parts[part + 1 :]]))


def test_a_text_with_other_unused_bits_is_refused():
    head, body, signature = proof("ed25519").split(".")
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    last = alphabet[alphabet.index(signature[-1]) ^ 1]

    assert "canonical" in refusal(f"{head}.{body}.{signature[:-1]}{last}")


@pytest.mark.parametrize(
    "text", ["null", "1", '"a"', "[]", "", "{", "{}{}", "[" * 20_00, "\ufeff{}"]
)
def test_a_header_or_payload_that_is_no_object_is_refused(text):
    assert refusal(raw(text, payload()))
    assert refusal(raw(header(), text))


HTTPS = "https://anchor.example.com/v1/renew/default"


@pytest.mark.parametrize(
    ("audience", "urls"),
    [
        (HTTPS, {HTTPS}),
        ("HTTPS://Anchor.Example.COM:443/v1/renew/default", {HTTPS}),
        ("http://localhost:80/v1/renew/default", {URL}),
        (HTTPS, {HTTPS, HTTPS.replace("https", "http")}),
        (HTTPS.replace("https", "http"), {HTTPS, HTTPS.replace("https", "http")}),
        ("https://[2001:DB8::1]:8443/v1/renew/a", {"https://[2001:db8::1]:8443/v1/renew/a"}),
        ("https://a.example.com/%76%31/renew/a", {"https://a.example.com/v1/renew/a"}),
    ],
)
def test_the_audience_is_the_url_of_the_door_in_any_spelling(audience, urls):
    assert verify(proof(aud=audience), urls=frozenset(urls))


@pytest.mark.parametrize(
    "audience",
    [
        "https://other.example.com/v1/renew/default",
        "https://anchor.example.com./v1/renew/default",
        "https://anchor.example.com.evil.org/v1/renew/default",
        "https://anchor.example.com@evil.org/v1/renew/default",
        "https://evil.org@anchor.example.com/v1/renew/default",
        "https://@anchor.example.com/v1/renew/default",
        "https://anchor.example.com/v1/renew/other",
        "https://anchor.example.com/v1/renew/Default",
        "https://anchor.example.com/v1/sign/default",
        "https://anchor.example.com/v1/renew/default/",
        "https://anchor.example.com//v1/renew/default",
        "https://anchor.example.com/v1/renew/../renew/default",
        "https://anchor.example.com/pki/v1/renew/default",
        "https://anchor.example.com/v1/renew/default?",
        "https://anchor.example.com/v1/renew/default?a=b",
        "https://anchor.example.com/v1/renew/default#a",
        "https://anchor.example.com:8443/v1/renew/default",
        "https://anchor.example.com:80/v1/renew/default",
        "https://anchor.example.com:99999/v1/renew/default",
        "https://anchor.example.com:x/v1/renew/default",
        "https://[anchor.example.com]/v1/renew/default",
        "http://anchor.example.com/v1/renew/default",
        "ftp://anchor.example.com/v1/renew/default",
        "//anchor.example.com/v1/renew/default",
        "anchor.example.com",
        " https://anchor.example.com/v1/renew/default",
        "https://anchor.example.com/v1/renew/default\n",
        "https://\u0430nchor.example.com/v1/renew/default",
        HTTPS + "a" * 2048,
        "",
        None,
        1,
        [HTTPS],
        {"url": HTTPS},
    ],
)
def test_another_audience_is_refused(audience):
    text = raw(header(), payload(aud=audience))

    assert refusal(text, urls=frozenset({HTTPS})) == f"its 'aud' should be {HTTPS}"


def test_a_proof_for_another_request_is_refused():
    other = der(make_csr("www.example.com", key=shared_key("ec-p384")))

    assert "its 'csr' should be" in refusal(proof(), request=other)


@pytest.mark.parametrize("digest", ["", None, 1, [], "a" * 43, hashlib.sha256(b"").hexdigest()])
def test_anything_but_the_hash_of_the_request_is_refused(digest):
    assert "its 'csr' should be" in refusal(raw(header(), payload(csr=digest)))


def test_the_hash_is_in_base64url_without_padding():
    digest = json.loads(payload())["csr"]

    assert "its 'csr' should be" in refusal(raw(header(), payload(csr=f"{digest}=")))


@pytest.mark.parametrize(
    ("issued", "expires"),
    [(0, 300), (0, 1), (60, 360), (60, 61), (-299, 1), (0.5, 0.75), (-100.5, 199.5)],
)
def test_a_proof_within_its_times_is_accepted(issued, expires):
    assert verify(proof(iat=SECONDS + issued, exp=SECONDS + expires))


@pytest.mark.parametrize(
    ("issued", "expires", "sentence"),
    [
        (0, 301, "its 'exp' should be at most 300 seconds after its 'iat'"),
        (0, 300.5, "its 'exp' should be at most 300 seconds after its 'iat'"),
        (0, 0, "its 'exp' should be at most 300 seconds after its 'iat'"),
        (0, -1, "its 'exp' should be at most 300 seconds after its 'iat'"),
        (61, 100, "its 'iat' is in the future: one of the clocks is wrong"),
        (-300, 0, "it has expired"),
        (-300, -1, "it has expired"),
        (-86400, -86100, "it has expired"),
    ],
)
def test_a_proof_outside_its_times_is_refused(issued, expires, sentence):
    assert refusal(proof(iat=SECONDS + issued, exp=SECONDS + expires)) == sentence


ODD_TIMES = [True, False, "1", str(SECONDS), [], {}, [SECONDS], -1, 10**12, 10**300, 1e15]


@pytest.mark.parametrize("time", ODD_TIMES)
@pytest.mark.parametrize("name", ["iat", "exp"])
def test_a_time_that_is_no_time_is_refused(name, time):
    sentence = refusal(raw(header(), payload(**{name: time})))

    assert sentence == "its 'iat' and 'exp' should be seconds since 1970"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_a_number_that_no_computer_has_is_refused(number):
    text = payload().replace(f'"exp": {SECONDS + 300}', f'"exp": {number}')

    assert "its JSON has a number that is" in refusal(raw(header(), text))


@pytest.mark.parametrize("identifier", ["", "a" * 257, None, 1, True, [], ["a"], {"a": "b"}])
def test_anything_but_a_short_text_as_identifier_is_refused(identifier):
    sentence = refusal(raw(header(), payload(jti=identifier)))

    assert sentence == "its 'jti' should be a string of 1 to 256 characters"


def test_every_identifier_of_text_makes_another_proof():
    texts = ["a", "A", "a ", "é", "e\u0301", "\0", "\udcff", "\ud800", "a" * 256]

    keys = {verify(proof(jti=text)).key for text in texts}

    assert len(keys) == len(texts)


def test_nobody_else_can_use_an_identifier_up():
    assert verify(proof(jti="1")).key != verify(proof("ed25519", jti="1")).key
    # The same proof in another spelling, or for another request, is the same.
    assert verify(raw(header(), payload())).key == verify(proof(jti="1", exp=SECONDS + 9)).key


@settings(deadline=None, max_examples=examples(40))
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
    name=st.sampled_from(sorted(MEMBERS)),
)
def test_any_value_of_a_member_is_accepted_or_refused_with_a_sentence(value, name):
    parts = [json.loads(part) for part in (header(), payload())]
    part = next(part for part in parts if name in part)
    part[name] = value

    try:
        verify(raw(*map(json.dumps, parts)))
    except NotAuthenticated as error:
        assert str(error).startswith("the proof is not accepted: ")  # noqa: PT017
