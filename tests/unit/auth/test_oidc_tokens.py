"""Which JSON Web Tokens are accepted: the rules of RFC 7515, 7519 and 8725, and known attacks."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.auth.oidc.keys import parse_keys
from anchor.auth.oidc.tokens import MAX_TOKEN, TokenRefused, UnverifiedToken, parse_token
from anchor.auth.results import CredentialKind
from anchor.errors import NotAuthenticated
from anchor.jose.compact import CompactJws
from anchor.jose.strict_json import parse_object
from tests.support import jwt
from tests.support.oidc import ask, backend, reason
from tests.support.properties import examples

__all__ = ["backend"]

ALL = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
ALL += ["EdDSA", "Ed25519"]
KEYS = {
    "RS": jwt.make_key("RSA", 2048),
    "PS": jwt.make_key("RSA", 2048),
    "ES256": jwt.make_key("EC", "P-256"),
    "ES384": jwt.make_key("EC", "P-384"),
    "ES512": jwt.make_key("EC", "P-521"),
    "Ed": jwt.make_key("OKP", "Ed25519"),
}


def key_for(algorithm):
    return next(key for prefix, key in KEYS.items() if algorithm.startswith(prefix))


@pytest.fixture(scope="module")
def usual(backend):
    return backend()


@pytest.mark.parametrize("algorithm", ALL)
def test_a_token_of_each_algorithm_authenticates(backend, algorithm):
    key = key_for(algorithm)
    authenticator = backend(jwt.public(key), algorithms=[algorithm])

    identity = ask(authenticator, jwt.make_token(key, algorithm))

    assert ("web1", (), "web1", None) == (
        identity.username,
        identity.groups,
        identity.user_id,
        identity.single_use,
    )
    assert authenticator.credential is CredentialKind.JWT


# The examples of the standards: a key, a token, and where it is from.
STANDARD = {
    "RFC 7515, A.3": (
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        "eyJhbGciOiJFUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cn"
        "VlfQ"
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
    "RFC 8037, A.4": (
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
        ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
}


@pytest.mark.parametrize("where", STANDARD)
def test_the_signature_of_a_standards_example_is_valid(where):
    key, text = STANDARD[where]
    header = json.loads(jwt.unb64(text.partition(".")[0]))
    algorithm = header["alg"]
    keys = parse_keys(jwt.key_set(key))

    # The second one has a payload that is no JSON.
    keys.verify(UnverifiedToken(CompactJws(text, header, {}), algorithm, None))
    head, _, signature = text.rpartition(".")
    wrong = f"{head}.{jwt.b64(flipped(jwt.unb64(signature), 5, 0))}"
    with pytest.raises(TokenRefused, match="signature"):
        keys.verify(UnverifiedToken(CompactJws(wrong, header, {}), algorithm, None))


def raw(header, payload=None, algorithm="ES256", key=None):
    """A signed token whose header, and perhaps payload, are given as text."""
    payload = json.dumps(jwt.claims()) if payload is None else payload
    octets = [part.encode("utf-8", "surrogatepass") for part in (header, payload)]
    return jwt.sign_raw(*octets, key or jwt.make_key(), algorithm)


HEADER = '{"alg":"ES256","kid":"1"'
GOOD = json.dumps(jwt.claims())[:-1]
PUBLIC = jwt.public(jwt.make_key())


def with_header(**members):
    return jwt.make_token(header=members)


def nested(depth):
    return "[" * depth + "]" * depth


def padded(token):
    header, payload, signature = token.split(".")
    return f"{header}.{payload}.{signature}=="


def loose_last_character(token):
    """The same bytes with another last character, which has unused bits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    head, last = token[:-1], alphabet.index(token[-1])
    assert jwt.unb64(token.rpartition(".")[2]) == jwt.unb64(
        (head + alphabet[last ^ 1]).rpartition(".")[2]
    )
    return head + alphabet[last ^ 1]


def unsigned(algorithm, signature=""):
    header = jwt.b64(json.dumps({"alg": algorithm, "kid": "1"}).encode())
    return f"{header}.{jwt.b64(json.dumps(jwt.claims()).encode())}.{signature}"


def with_payload_of(token, other):
    header, _, signature = token.split(".")
    return f"{header}.{other.split('.')[1]}.{signature}"


def signature_of(octets):
    token = jwt.make_token()
    return f"{token.rpartition('.')[0]}.{jwt.b64(octets)}"


def der_signature():
    """ECDSA's signature in DER, as in X.509, where JWS has two numbers of fixed size."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    head, _, signature = jwt.make_token().rpartition(".")
    octets = jwt.unb64(signature)
    der = encode_dss_signature(int.from_bytes(octets[:32], "big"), int.from_bytes(octets[32:]))
    return f"{head}.{jwt.b64(der)}"


def hmac_with_public_key(form):
    """HS256 with the issuer's public key as the secret (CVE-2015-9235)."""
    from joserfc.jwk import OctKey

    secret = {
        "pem": jwt.make_key().as_pem(private=False),
        "der": jwt.make_key().as_der(private=False),
        "jwk": json.dumps(PUBLIC).encode(),
    }[form]
    return jwt.make_token(OctKey.import_key(base64.b64encode(secret).decode()), "HS256")


def truncated(parts):
    return ".".join(jwt.make_token().split(".")[:parts])


# A token, and a part of the reason in the log.
def refused_tokens():
    """Tokens that are refused, with the reasons; new ones each time, because they expire."""
    return {
        "a password": ("correct-horse", "three parts"),
        "two parts": (truncated(2), "three parts"),
        "four parts": (jwt.make_token() + ".e30", "three parts"),
        "an encrypted token": (f"{jwt.b64(b'{}')}.a.b.c.d", "encrypted"),
        "an empty signature": (
            jwt.make_token().rpartition(".")[0] + ".",
            "signature is not base64url",
        ),
        "an empty payload": ("{0}..{2}".format(*jwt.make_token().split(".")), "the payload is not"),
        "an empty header": (
            "." + jwt.make_token().partition(".")[2],
            "the header is not base64url",
        ),
        "padding": (padded(jwt.make_token()), "without padding"),
        "base64 of the other alphabet": (
            signature_of(b"\xff" * 64).replace("_", "/"),
            "not base64url",
        ),
        "a loose last character": (loose_last_character(jwt.make_token()), "canonical"),
        "a line break at the end": (jwt.make_token() + "\n", "signature is not base64url"),
        "a space in front": (" " + jwt.make_token(), "header is not base64url"),
        "JSON serialization": ('{"protected":"","payload":"","signature":""}', "three parts"),
        "more than the limit": (jwt.make_token(junk="a" * MAX_TOKEN), "more than 16384 characters"),
        "a header that is no JSON": (raw("nonsense"), "the header is not accepted: it is not JSON"),
        "a header that is a list": (raw("[]"), "not an object"),
        "a header in UTF-16": (
            jwt.sign_raw(f"{HEADER}}}".encode("utf-16"), GOOD.encode(), jwt.make_key(), "ES256"),
            "not UTF-8",
        ),
        "a byte order mark": (raw("\ufeff" + HEADER + "}"), "the header is not accepted"),
        "two algorithms": (raw('{"alg":"none","alg":"ES256","kid":"1"}'), "twice"),
        "a claim twice": (raw(HEADER + "}", GOOD + ',"sub":"root"}'), "twice"),
        "an escaped claim twice": (raw(HEADER + "}", GOOD + ',"s\\u0075b":"root"}'), "twice"),
        "a nested member twice": (raw(HEADER + "}", GOOD + ',"a":[{"b":1,"b":2}]}'), "twice"),
        "NaN": (raw(HEADER + "}", GOOD + ',"a":NaN}'), "not finite"),
        "Infinity": (raw(HEADER + "}", GOOD + ',"a":-Infinity}'), "not finite"),
        "a number without end": (raw(HEADER + "}", GOOD + ',"a":1e999}'), "not finite"),
        "a number of 5000 digits": (
            raw(HEADER + "}", GOOD + f',"a":{"9" * 5000}}}'),
            "the payload",
        ),
        "deep nesting": (raw(HEADER + "}", GOOD + f',"a":{nested(17)}}}'), "too deeply"),
        "the deepest nesting": (raw(HEADER + "}", GOOD + f',"a":{nested(5000)}}}'), "too deeply"),
        "text after the payload": (raw(HEADER + "}", GOOD + "} {}"), "not JSON"),
        "no algorithm": (raw('{"kid":"1"}'), "no 'alg'"),
        "an algorithm that is a list": (raw('{"alg":["ES256"],"kid":"1"}'), "no 'alg'"),
        "none": (unsigned("none", "e30"), "'none' is not in 'algorithms'"),
        "None": (unsigned("None", "e30"), "not in 'algorithms'"),
        "nOnE without a signature": (unsigned("nOnE"), "signature"),
        "an algorithm in lower case": (unsigned("es256", "e30"), "not in 'algorithms'"),
        "HS256 with the PEM": (hmac_with_public_key("pem"), "'HS256' is not in 'algorithms'"),
        "HS256 with the DER": (hmac_with_public_key("der"), "'HS256' is not in 'algorithms'"),
        "HS256 with the JWK": (hmac_with_public_key("jwk"), "'HS256' is not in 'algorithms'"),
        "an algorithm of another key": (
            jwt.make_token(KEYS["RS"], "RS256"),
            "no key '1' for its algorithm",
        ),
        "an algorithm of another curve": (
            jwt.make_token(KEYS["ES384"], "ES384"),
            "no key '1' for its algorithm",
        ),
        "an algorithm that is not enabled": (
            jwt.make_token(KEYS["RS"], "RS512"),
            "not in 'algorithms'",
        ),
        "crit": (with_header(crit=["exp"]), "'crit'"),
        "an empty crit": (with_header(crit=[]), "'crit'"),
        "b64": (with_header(b64=False, crit=["b64"]), "'b64'"),
        "zip": (with_header(zip="DEF"), "'zip'"),
        "a URL of another key": (
            jwt.make_token(jwt.make_key(name="other"), header={"jku": "https://evil.example.com/"}),
            "its signature is wrong",
        ),
        "a URL of another chain": (
            jwt.make_token(jwt.make_key(name="other"), header={"x5u": "https://evil.example.com/"}),
            "its signature is wrong",
        ),
        "a key in the header": (with_header(jwk=PUBLIC), "'jwk'"),
        "a chain in the header": (with_header(x5c=["MII"]), "'x5c'"),
        "enc": (with_header(enc="A128GCM"), "'enc'"),
        "a nested token": (with_header(cty="JWT"), "'cty'"),
        "a typ of another kind": (with_header(typ="at+jwt"), "'at+jwt' and not 'JWT'"),
        "a typ that is a number": (with_header(typ=7), "not 'JWT'"),
        "a kid that is a number": (with_header(kid=1), "'kid'"),
        "an empty kid": (with_header(kid=""), "'kid'"),
        "a long kid": (with_header(kid="k" * 257), "'kid'"),
        "a kid that is a path": (with_header(kid="../../dev/null"), "no key '../../dev/null'"),
        "a kid that is SQL": (with_header(kid="1' OR '1'='1"), "no key"),
        "a kid with control characters": (with_header(kid="\x00\n1"), "no key '\\x00\\n1'"),
        "the signature of another key": (
            jwt.make_token(jwt.make_key(name="other")),
            "its signature is wrong",
        ),
        "a signature in DER": (der_signature(), "its signature is wrong"),
        "a signature of zeros": (signature_of(bytes(64)), "its signature is wrong"),
        "a short signature": (signature_of(b"\1" * 63), "its signature is wrong"),
        "a long signature": (signature_of(b"\1" * 65), "its signature is wrong"),
        "a signature beyond the order": (signature_of(b"\xff" * 64), "its signature is wrong"),
        "another payload": (
            with_payload_of(jwt.make_token(), jwt.make_token(sub="root")),
            "its signature is wrong",
        ),
    }


@pytest.mark.parametrize("what", refused_tokens())
def test_the_token_is_refused_for_its_reason(usual, caplog, what):
    token, expected = refused_tokens()[what]

    assert expected in reason(usual, token, caplog)


@pytest.mark.parametrize("header", [{"typ": None}, {"typ": "jwt"}, {"typ": "application/JWT"}])
def test_the_usual_spellings_of_the_type_are_accepted(usual, header):
    assert ask(usual, jwt.make_token(header=header)).username == "web1"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JOSE"},
        {"x5t": "abc"},
        {"x5t#S256": "abc"},
        # The UAA of Cloud Foundry and of SAP.
        {"jku": "https://uaa.example.com/token_keys", "typ": "JWT"},
        # FusionAuth.
        {"gty": ["client_credentials"]},
        {"x5u": "https://issuer.example.com/chain"},
        # Parameters of joserfc, with values that it would refuse.
        {"jku": 1, "x5u": [], "x5t": None, "url": {}, "nonce": 0},
        {"x" * 300: 1},
    ],
)
def test_headers_that_issuers_send_are_accepted(usual, header):
    assert ask(usual, jwt.make_token(header=header)).username == "web1"


def test_a_required_type_is_the_only_one(backend, caplog):
    authenticator = backend(typ="at+jwt")

    assert ask(authenticator, jwt.make_token(header={"typ": "application/AT+jwt"})).username
    for typ in ("JWT", None):
        assert "and not 'at+jwt'" in reason(
            authenticator, jwt.make_token(header={"typ": typ}), caplog
        )


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS512", "RSA-OAEP", "dir", ""])
def test_no_other_algorithm_can_be_configured(backend, algorithm):
    from anchor.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="algorithms"):
        backend(algorithms=[algorithm])


@pytest.fixture(scope="module")
def good_token():
    return jwt.make_token()


def flipped(octets, position, bit):
    changed = bytearray(octets)
    changed[position % len(octets)] ^= 1 << bit
    return bytes(changed)


@settings(max_examples=examples(300), deadline=None)
@given(part=st.integers(0, 2), position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_token_with_one_changed_bit_never_authenticates(usual, good_token, part, position, bit):
    parts = good_token.split(".")
    parts[part] = jwt.b64(flipped(jwt.unb64(parts[part]), position, bit))

    with pytest.raises(NotAuthenticated):
        ask(usual, ".".join(parts))


@settings(max_examples=examples(300), deadline=None)
@given(position=st.integers(0, 10**6), character=st.characters())
def test_a_token_with_one_changed_character_never_authenticates(
    usual, good_token, position, character
):
    position %= len(good_token)
    changed = good_token[:position] + character + good_token[position + 1 :]

    if changed != good_token:
        with pytest.raises(NotAuthenticated):
            ask(usual, changed)


@settings(max_examples=examples(200), deadline=None)
@given(st.text() | st.binary().map(lambda octets: ".".join(map(jwt.b64, (octets,) * 3))))
def test_any_text_is_refused_and_never_crashes(usual, text):
    if text:
        with pytest.raises(NotAuthenticated):
            ask(usual, text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
CLAIMS = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "groups", "_claim_names"]
HEADERS = ["alg", "kid", "typ", "crit", "b64", "jwk", "zip", "x5t", "jku", "other"]


@settings(max_examples=examples(300), deadline=None)
@given(st.dictionaries(st.sampled_from(CLAIMS), JSON, min_size=1))
def test_any_signed_claims_give_an_identity_of_text_or_a_refusal(usual, changes):
    payload = json.dumps(jwt.claims() | changes).encode()
    token = jwt.sign_raw(b'{"alg":"ES256","kid":"1"}', payload, jwt.make_key(), "ES256")
    try:
        identity = ask(usual, token)
    except NotAuthenticated:
        return
    assert identity.username.isprintable() and 0 < len(identity.username) <= 512
    assert identity.username == changes.get("sub", "web1")
    assert "iss" not in changes or changes["iss"] == jwt.ISSUER
    assert "exp" not in changes or not isinstance(changes["exp"], bool | str)


@settings(max_examples=examples(300), deadline=None)
@given(st.dictionaries(st.sampled_from(HEADERS), JSON, min_size=1))
def test_any_signed_header_is_refused_or_understood(usual, changes):
    header = json.dumps({"alg": "ES256", "kid": "1"} | changes).encode()
    token = jwt.sign_raw(header, json.dumps(jwt.claims()).encode(), jwt.make_key(), "ES256")
    try:
        ask(usual, token)
    except NotAuthenticated:
        return
    assert changes.keys() <= {"kid", "typ", "x5t", "jku", "other"}


@settings(max_examples=examples(200), deadline=None)
@given(st.dictionaries(st.text(), JSON))
def test_strict_json_reads_what_the_library_reads_or_refuses(value):
    encoded = json.dumps(value).encode()
    try:
        read = parse_object(encoded)
    except ValueError:
        return
    assert read == json.loads(encoded)


def test_the_parsed_token_does_not_show_itself_or_its_claims(good_token):
    shown = repr(parse_token(good_token))

    assert good_token not in shown
    assert "web1" not in shown
    with pytest.raises(TokenRefused):
        parse_token(good_token[:-1])
