"""RFC 8555 section 6: which requests are accepted, and the answer to each of the others."""

from __future__ import annotations

import datetime
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import RSAKey

from anchor.acme.account_keys import ALGORITHMS
from anchor.errors import MAX_SHOWN, DatabaseUnavailable
from anchor.jose.compact import encode_base64url
from anchor.store.bans import Ban
from anchor.store.database.bans import Bans
from anchor.store.database.engine import Database
from anchor.timestamps import utc_now
from tests.support import jwt
from tests.support.acme import (
    BASE_URL,
    DAY,
    URL,
    Client,
    acme_configuration,
    make_key,
    public_jwk,
    signed,
)
from tests.support.acme_drafts import (
    JOSE_JSON,
    PROBLEM,
    assert_problem,
    lazy_world,
    world,
)
from tests.support.clock import FixedClock
from tests.support.service import Service

__all__ = ["lazy_world", "world"]

KEYS = {
    "ES256": jwt.make_key("EC", "P-256"),
    "ES384": jwt.make_key("EC", "P-384"),
    "ES512": jwt.make_key("EC", "P-521"),
    "EdDSA": jwt.make_key("OKP", "Ed25519"),
    "RS256": jwt.make_key("RSA", 2048),
}


def test_a_request_of_each_algorithm_is_accepted(world):
    assert KEYS.keys() == set(ALGORITHMS)
    for algorithm, key in KEYS.items():
        client = Client(world.service.http, key)
        draft = world.new_account(key, alg=algorithm)
        draft.algorithm = algorithm
        created = world.send(draft)
        assert created.status_int == 201, created.text
        client.account = created.headers["Location"]

        draft = world.draft(client.account, alg=algorithm, kid=client.account)
        draft.key, draft.algorithm = key, algorithm
        assert world.send(draft).json["status"] == "valid"


@pytest.mark.parametrize(
    "content_type", [JOSE_JSON, "Application/JOSE+json", f"{JOSE_JSON}; charset=utf-8"]
)
def test_the_media_type_may_have_parameters_and_any_case(world, content_type):
    draft = world.draft()
    draft.content_type = content_type

    assert world.send(draft).status_int == 200


def test_blanks_and_the_sequence_of_members_mean_nothing(world):
    draft = world.draft()
    members = dict(reversed(draft.sign().items()))

    assert world.send(draft, json.dumps(members, indent=3)).status_int == 200


def header(**changes):
    """A change of the header; None leaves a member out."""
    return lambda draft, _world: draft.header.update(changes)


def members(**changes):
    """A change of the JWS after it was signed; None leaves a member out."""
    return lambda draft, _world: draft.members.update(changes)


def changed(function, *names):
    """A change of signed members by a function of their text."""

    def change(draft, _world):
        signed = draft.sign()
        draft.members.update({name: function(signed[name]) for name in names})

    return change


def text_of_body(function):
    """A change of the text of the body."""

    def change(draft, _world):
        return function(draft.body)

    return change


def content_type(value):
    def change(draft, _world):
        draft.content_type = value

    return change


def raw_header(function):
    """A header that is text made from the members."""

    def change(draft, _world):
        draft.raw_header = function(json.dumps(draft.header)).encode("utf-8", "surrogatepass")

    return change


def payload(octets):
    def change(draft, _world):
        draft.payload = octets

    return change


def signed_with_the_public_key(draft, world):
    """The key confusion of old libraries: the public key as the secret of an HMAC."""
    draft.header["alg"] = "HS256"
    signed = draft.sign()
    message = f"{signed['protected']}.{signed['payload']}".encode()
    secret = world.client.key.as_pem(private=False)
    draft.members["signature"] = jwt.b64(hmac.digest(secret, message, "sha256"))


def unsigned(draft, _world):
    draft.header["alg"] = "none"
    draft.members["signature"] = ""


def used_nonce(draft, world):
    other = world.draft(nonce=draft.header["nonce"])
    assert world.send(other).status_int == 200


def forged_nonce(draft, _world):
    octets = bytearray(jwt.unb64(draft.header["nonce"]))
    octets[10] ^= 1
    draft.header["nonce"] = jwt.b64(octets)


def as_der(signature):
    r, s = jwt.unb64(signature)[:32], jwt.unb64(signature)[32:]
    parts = [b"\2" + bytes([len(each) + 1]) + b"\0" + each for each in (r, s)]
    return jwt.b64(b"\x30" + bytes([len(b"".join(parts))]) + b"".join(parts))


def of_another_key(draft, _world):
    draft.key = jwt.make_key(name="2")


def from_account(change):
    return lambda world: (world.draft(), change)


UNSUPPORTED, MALFORMED = (415, "malformed"), (400, "malformed")
ALGORITHM, BAD_NONCE = (400, "badSignatureAlgorithm"), (400, "badNonce")
UNKNOWN, FORBIDDEN = (400, "accountDoesNotExist"), (403, "unauthorized")

# What is changed in a good request of an account to its own URL, and the answer.
REFUSED = {
    # Section 6.2: the body.
    "JSON": (content_type("application/json"), UNSUPPORTED, "application/jose+json"),
    "JOSE": (content_type("application/jose"), UNSUPPORTED, "application/jose+json"),
    "a form": (content_type("application/x-www-form-urlencoded"), UNSUPPORTED, ""),
    "no media type": (content_type(""), UNSUPPORTED, ""),
    "another suffix": (content_type("application/jose+json2"), UNSUPPORTED, ""),
    "no body": (text_of_body(lambda _: ""), MALFORMED, "not JSON"),
    "no JSON": (text_of_body(lambda _: "jose"), MALFORMED, "not JSON"),
    "a list": (text_of_body(lambda text: f"[{text}]"), MALFORMED, "not an object"),
    "two objects": (text_of_body(lambda text: text + text), MALFORMED, "not JSON"),
    "a byte order mark": (text_of_body(lambda text: "\ufeff" + text), MALFORMED, "not JSON"),
    "UTF-16": (text_of_body(lambda text: text.encode("utf-16")), MALFORMED, "not UTF-8"),
    "a member twice": (
        text_of_body(lambda text: text[:-1] + ', "payload": ""}'),
        MALFORMED,
        "a member twice",
    ),
    "deep nesting": (text_of_body(lambda _: '{"a":' * 10_000), MALFORMED, "nested too deeply"),
    "the compact form": (
        text_of_body(lambda text: ".".join(json.loads(text).values())),
        MALFORMED,
        "not JSON",
    ),
    "the general form": (
        text_of_body(lambda text: json.dumps({"payload": "", "signatures": [json.loads(text)]})),
        MALFORMED,
        "exactly the members",
    ),
    "an unprotected header": (members(header={"kid": "1"}), MALFORMED, "exactly the members"),
    "an empty unprotected header": (members(header={}), MALFORMED, "exactly the members"),
    "signatures too": (members(signatures=[]), MALFORMED, "exactly the members"),
    "another member": (members(extra=1), MALFORMED, "exactly the members"),
    "no protected header": (members(protected=None), MALFORMED, "exactly the members"),
    "a detached payload": (members(payload=None), MALFORMED, "exactly the members"),
    "no signature": (members(signature=None), MALFORMED, "exactly the members"),
    "a payload that is an object": (members(payload={}), MALFORMED, "should be strings"),
    "a signature that is a number": (members(signature=7), MALFORMED, "should be strings"),
    "an empty header": (members(protected=""), MALFORMED, "base64url"),
    "padding of the header": (changed(lambda t: t + "=", "protected"), MALFORMED, "base64url"),
    "padding of the payload": (members(payload="e30="), MALFORMED, "base64url without padding"),
    "padding of the signature": (changed(lambda t: t + "==", "signature"), MALFORMED, "padding"),
    "a line break in the signature": (changed(lambda t: t + "\n", "signature"), MALFORMED, ""),
    "a blank in the header": (changed(lambda t: " " + t, "protected"), MALFORMED, "base64url"),
    "the alphabet of base64": (
        changed(lambda t: t[:-6] + "+/+/+/", "signature"),
        MALFORMED,
        "base64url",
    ),
    "letters that are not ASCII": (members(signature="é" * 86), MALFORMED, "base64url"),
    "bits after the last byte": (
        changed(lambda t: t[:-1] + chr(ord(t[-1]) + 1) if t[-1] in "AQgw" else t, "signature"),
        MALFORMED,
        "canonical",
    ),
    "a dot in the payload": (members(payload="e30.e30"), MALFORMED, "base64url"),
    # The protected header.
    "a header that is a list": (raw_header(lambda text: f"[{text}]"), MALFORMED, "not an object"),
    "a header that is no JSON": (raw_header(lambda _: "alg"), MALFORMED, "not JSON"),
    "a header with a member twice": (
        raw_header(lambda text: text[:-1] + ', "alg": "ES256"}'),
        MALFORMED,
        "a member twice",
    ),
    "a critical extension": (header(crit=["exp"], exp=1), MALFORMED, "it has 'crit'"),
    "an unencoded payload": (header(crit=["b64"], b64=False), MALFORMED, "it has 'crit'"),
    "an unencoded payload without crit": (header(b64=False), MALFORMED, "it has 'b64'"),
    # Section 6.2: the algorithm.
    "no algorithm": (header(alg=None), ALGORITHM, "should be one of ES256"),
    "an unsigned request": (unsigned, (400, "malformed"), "base64url"),
    "the algorithm none": (header(alg="none"), ALGORITHM, "should be one of ES256"),
    "the algorithm None": (header(alg="None"), ALGORITHM, "should be one of ES256"),
    "an HMAC": (header(alg="HS256"), ALGORITHM, "should be one of ES256"),
    "an HMAC of the public key": (signed_with_the_public_key, ALGORITHM, "should be one of"),
    "RSA-PSS": (header(alg="PS256"), ALGORITHM, "should be one of ES256"),
    "another curve": (header(alg="ES256K"), ALGORITHM, "should be one of ES256"),
    "an unknown algorithm": (header(alg="XX256"), ALGORITHM, "should be one of ES256"),
    "small letters": (header(alg="es256"), ALGORITHM, "should be one of ES256"),
    "a list of algorithms": (header(alg=["ES256"]), ALGORITHM, "should be one of ES256"),
    "an algorithm of RSA": (header(alg="RS256"), ALGORITHM, "does not fit the key"),
    "an algorithm of another curve": (header(alg="ES384"), ALGORITHM, "does not fit the key"),
    # Section 6.2: the key.
    "a key and an account": (header(jwk={"kty": "EC"}), MALFORMED, "'jwk' or 'kid', and not both"),
    "no key and no account": (header(kid=None), MALFORMED, "name the key in 'kid'"),
    "a key instead of the account": (
        lambda draft, world: draft.header.update(
            kid=None, jwk=world.client.key.as_dict(private=False)
        ),
        MALFORMED,
        "name the key in 'kid'",
    ),
    "an account that is a number": (header(kid=7), UNKNOWN, "an account of this directory"),
    "an unknown account": (header(kid=f"{URL}/account/" + "a" * 25), UNKNOWN, ""),
    "an account without its URL": (
        lambda draft, _: draft.header.update(kid=draft.url.rpartition("/")[2]),
        UNKNOWN,
        f"{URL}/account/...",
    ),
    "the account at another directory": (
        lambda draft, world: draft.header.update(kid=world.foreign),
        UNKNOWN,
        "an account of this directory",
    ),
    "the other directory's account here": (
        lambda draft, world: draft.header.update(
            kid=f"{URL}/account/" + world.foreign.rpartition("/")[2]
        ),
        UNKNOWN,
        "an account of this directory",
    ),
    "the account at another host": (
        lambda draft, _: draft.header.update(kid=draft.url.replace("anchor.", "other.")),
        UNKNOWN,
        "",
    ),
    "the account over HTTP": (
        lambda draft, _: draft.header.update(kid=draft.url.replace("https", "http")),
        UNKNOWN,
        "",
    ),
    "a slash after the account": (
        lambda draft, _: draft.header.update(kid=draft.url + "/"),
        UNKNOWN,
        "",
    ),
    "an account with NUL": (header(kid=f"{URL}/account/a\0"), UNKNOWN, ""),
    "an account that is no Unicode": (header(kid=f"{URL}/account/\ud800"), UNKNOWN, ""),
    # Section 6.4: the URL.
    "no URL": (header(url=None), MALFORMED, "no 'url'"),
    "a URL that is a number": (header(url=7), MALFORMED, "should be strings"),
    "the URL of another resource": (header(url=f"{URL}/new-order"), FORBIDDEN, f"{URL}/account/"),
    "a query in the URL": (
        lambda draft, _: draft.header.update(url=draft.url + "?"),
        FORBIDDEN,
        "should be the URL",
    ),
    "the URL over HTTP": (
        lambda draft, _: draft.header.update(url=draft.url.replace("https", "http")),
        FORBIDDEN,
        "should be the URL",
    ),
    "a port in the URL": (
        lambda draft, _: draft.header.update(url=draft.url.replace(".com", ".com:443")),
        FORBIDDEN,
        "should be the URL",
    ),
    "the URL's host in capitals": (
        lambda draft, _: draft.header.update(url=draft.url.replace("anchor", "ANCHOR")),
        FORBIDDEN,
        "should be the URL",
    ),
    # Section 6.5: the nonce.
    "no nonce": (header(nonce=None), BAD_NONCE, "no 'nonce'"),
    "a nonce that was used": (used_nonce, BAD_NONCE, "used before"),
    "an empty nonce": (header(nonce=""), BAD_NONCE, "not from this service"),
    "a nonce that is a number": (header(nonce=7), MALFORMED, "should be strings"),
    "a nonce that is no base64url": (header(nonce="a+b="), MALFORMED, "not base64url"),
    "another service's nonce": (header(nonce=jwt.b64(b"\1" * 38)), BAD_NONCE, "not from this"),
    "a forged nonce": (forged_nonce, BAD_NONCE, "not from this service"),
    "a long nonce": (header(nonce="A" * 5000), BAD_NONCE, "not from this service"),
    # The signature.
    "another key's signature": (of_another_key, MALFORMED, "its signature is wrong"),
    "an empty signature": (members(signature=""), MALFORMED, "base64url"),
    "another header": (
        changed(lambda t: jwt.b64(jwt.unb64(t) + b" "), "protected"),
        MALFORMED,
        "its signature is wrong",
    ),
    "another payload": (members(payload="e30"), MALFORMED, "its signature is wrong"),
    "a signature of zeros": (
        members(signature=jwt.b64(bytes(64))),
        MALFORMED,
        "signature is wrong",
    ),
    "a signature in DER": (changed(as_der, "signature"), MALFORMED, "its signature is wrong"),
    "a longer signature": (
        changed(lambda t: jwt.b64(jwt.unb64(t) + b"\0"), "signature"),
        MALFORMED,
        "its signature is wrong",
    ),
    "half a signature": (
        changed(lambda t: jwt.b64(jwt.unb64(t)[:32]), "signature"),
        MALFORMED,
        "its signature is wrong",
    ),
    # The payload.
    "a payload that is no JSON": (payload(b"{"), MALFORMED, "the payload is not accepted"),
    "a payload that is a list": (payload(b"[]"), MALFORMED, "the payload is not accepted"),
    "a payload that is null": (payload(b"null"), MALFORMED, "the payload is not accepted"),
    "a payload of a blank": (payload(b" "), MALFORMED, "the payload is not accepted"),
    "a payload with a member twice": (
        payload(b'{"status": "deactivated", "status": "valid"}'),
        MALFORMED,
        "a member twice",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_changed_request_is_refused_with_its_problem(world, what):
    change, (status, kind), detail = REFUSED[what]
    draft = world.draft()
    body = change(draft, world)

    answer = world.send(draft, body)

    document = assert_problem(answer, status, kind, detail)
    if kind == "badSignatureAlgorithm":
        fitting = ["ES256"] if "fit" in document["detail"] else list(ALGORITHMS)
        assert document["algorithms"] == fitting
    # The account is as it was, and the nonce of the answer is good.
    assert world.client.post(world.client.account, None).json["status"] == "valid"


def key_of(member):
    """A change of the key in the header."""
    return lambda draft, _world: draft.header.update(jwk=member)


EC = jwt.public(KEYS["ES256"], None)
RSA = jwt.public(KEYS["RS256"], None)
BAD_KEY = (400, "badPublicKey")

# What is changed in a good request for an account, which names its key.
REFUSED_KEYS = {
    "an account instead of the key": (
        lambda draft, world: draft.header.update(jwk=None, kid=world.client.account),
        MALFORMED,
        "name the key in 'jwk'",
    ),
    "a key and an account": (
        lambda draft, world: draft.header.update(kid=world.client.account),
        MALFORMED,
        "'jwk' or 'kid', and not both",
    ),
    "no key": (key_of(None), MALFORMED, "name the key in 'jwk'"),
    "a key that is a text": (key_of("EC"), BAD_KEY, "not an object"),
    "an empty key": (key_of({}), BAD_KEY, "'kty'"),
    "a shared secret": (key_of({"kty": "oct", "k": "AAAA"}), BAD_KEY, "'kty'"),
    "a private key": (key_of(KEYS["ES256"].as_dict(private=True)), BAD_KEY, "private key"),
    "a curve that is not accepted": (key_of(EC | {"crv": "secp256k1"}), BAD_KEY, "'crv'"),
    "a point off the curve": (key_of(EC | {"y": jwt.b64(b"\1" * 32)}), BAD_KEY, "not a valid EC"),
    "half a point": (key_of({"kty": "EC", "crv": "P-256", "x": EC["x"]}), BAD_KEY, "'y'"),
    "an RSA key of 1024 bits": (
        key_of({"kty": "RSA", "e": "AQAB", "n": jwt.b64(b"\xf1" * 128)}),
        BAD_KEY,
        "too small",
    ),
    "an RSA key of 8192 bits": (
        key_of({"kty": "RSA", "e": "AQAB", "n": jwt.b64(b"\xf1" * 1024)}),
        BAD_KEY,
        "more than 4096 bits",
    ),
    "the exponent 1": (key_of(RSA | {"e": "AQ"}), BAD_KEY, "not a valid RSA key"),
    "a key for key agreement": (key_of({"kty": "OKP", "crv": "X25519", "x": "AA"}), BAD_KEY, "crv"),
    "an empty payload": (payload(b""), MALFORMED, "the payload is empty"),
}


@pytest.mark.parametrize("what", REFUSED_KEYS)
def test_a_changed_request_with_a_key_is_refused_with_its_problem(world, what):
    change, (status, kind), detail = REFUSED_KEYS[what]
    draft = world.new_account()
    change(draft, world)

    assert_problem(world.send(draft), status, kind, detail)


# Ruby's acme-client sends "typ"; RFC 7515 section 4: the others have no meaning here.
WITHOUT_MEANING = {
    "typ": "JWT",
    "jku": "https://evil.example/keys",
    "x5u": 1,
    "x5c": ["AA"],
    "é": None,
}


def test_members_of_a_header_without_meaning_are_ignored(world):
    draft = world.new_account(make_key())
    draft.header |= WITHOUT_MEANING
    assert world.send(draft).status_int == 201

    draft = world.draft()
    draft.header |= WITHOUT_MEANING
    assert world.send(draft).status_int == 200


def weak_rsa_key():
    """A key whose primes are close: everybody can compute them."""
    first, second = (3 << 1022) + 1037, (3 << 1022) + 1697
    private = rsa.RSAPrivateNumbers(
        p=first,
        q=second,
        d=pow(65537, -1, (first - 1) * (second - 1)),
        dmp1=pow(65537, -1, first - 1),
        dmq1=pow(65537, -1, second - 1),
        iqmp=pow(second, -1, first),
        public_numbers=rsa.RSAPublicNumbers(65537, first * second),
    ).private_key()
    return RSAKey.import_key(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def test_a_key_that_others_can_compute_gets_no_account(world):
    key = weak_rsa_key()
    draft = world.new_account(key, alg="RS256")
    draft.algorithm = "RS256"

    assert_problem(world.send(draft), 400, "badPublicKey", "primes")

    url = f"{URL}/key-change"
    statement = {
        "account": world.client.account,
        "oldKey": world.client.key.as_dict(private=False),
    }
    inner = json.loads(signed(key, url, statement, alg="RS256"))
    assert_problem(world.client.post(url, inner), 400, "badPublicKey", "primes")
    assert world.client.post(world.client.account, None).json["status"] == "valid"


def test_a_banned_key_gets_no_account_until_its_ban_ends(world):
    key = make_key()
    bans = Bans(world.service.settings.database)
    now = utc_now()
    ban = Ban(kind="key", value=public_jwk(key).fingerprint, since=now - DAY)
    statement = {
        "account": world.client.account,
        "oldKey": world.client.key.as_dict(private=False),
    }
    inner = json.loads(signed(key, f"{URL}/key-change", statement))

    bans.add(ban)
    for answer in (
        Client(world.service.http, key).register(status=400),
        world.client.post("/key-change", inner),
    ):
        assert_problem(answer, 400, "badPublicKey", "it is banned; use another one")
    # The account of the old key is as before.
    assert world.client.post(world.client.account, None).json["status"] == "valid"

    bans.add(ban.model_copy(update={"until": now - DAY / 2}))
    Client(world.service.http, key).register()


def test_the_account_of_a_key_that_gets_banned_is_still_found(world):
    client = Client(world.service.http)
    client.register()
    ban = Ban(kind="key", value=public_jwk(client.key).fingerprint, since=utc_now())
    Bans(world.service.settings.database).add(ban)

    client.register(status=200)


def test_a_key_is_not_examined_for_a_request_that_is_not_signed_with_it(world, monkeypatch):
    """The examination of an RSA key takes long, and nobody may cause it for nothing."""
    monkeypatch.setattr("anchor.acme.accounts.require_acceptable", None)
    draft = world.new_account(KEYS["RS256"], alg="RS256")
    draft.algorithm = "RS256"
    draft.members["signature"] = jwt.b64(bytes(256))

    assert_problem(world.send(draft), 400, "malformed", "its signature is wrong")


def test_a_request_over_the_limit_is_refused_with_its_problem(world):
    draft = world.draft()
    draft.payload = b'{"a": "' + b"a" * 60_000 + b'"}'

    assert_problem(world.send(draft), 413, "malformed", "larger than 65536")


def test_a_signature_that_is_wrong_costs_no_nonce(world):
    draft = world.draft()
    nonce = draft.header["nonce"]

    assert_problem(
        world.send(draft, json.dumps(draft.sign() | {"payload": "e30"})), 400, "malformed"
    )

    assert world.send(world.draft(nonce=nonce)).status_int == 200


def test_a_refused_request_with_a_right_signature_costs_its_nonce(world):
    draft = world.draft()
    draft.header["url"] = f"{URL}/other"
    assert_problem(world.send(draft), 403, "unauthorized")

    assert_problem(world.send(world.draft(nonce=draft.header["nonce"])), 400, "badNonce")


def test_an_empty_payload_and_an_empty_object_are_not_the_same(world):
    draft = world.new_account()

    assert world.send(draft).status_int == 200
    draft = world.new_account()
    draft.payload = b""
    assert_problem(world.send(draft), 400, "malformed", "the payload is empty")


POST_ONLY = [
    "/new-account",
    "/account/{id}",
    "/account/{id}/orders",
    "/key-change",
    "/new-order",
    "/order/{id}",
    "/order/{id}/finalize",
    "/authorization/{id}",
    "/challenge/{id}/http-01",
    "/certificate/{id}",
    "/revoke-cert",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", POST_ONLY)
def test_other_methods_than_post_are_refused(world, method, path):
    path = "/acme/default" + path.format(id="a" * 25)

    answer = world.service.http.request(path, method=method, expect_errors=True)

    assert (answer.status_int, answer.headers["Allow"]) == (405, "POST")
    assert answer.content_type == PROBLEM
    if method != "HEAD":
        assert_problem(answer, 405, "malformed", "accepts only POST")


@pytest.mark.parametrize("path", ["/directory", "/new-nonce"])
def test_the_directory_and_nonces_are_read_only(world, path):
    answer = world.service.http.post("/acme/default" + path, "{}", expect_errors=True)

    assert answer.headers["Allow"] == "GET, HEAD"
    assert_problem(answer, 405, "malformed", "accepts only GET and HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/acme/default",
        "/acme/default/",
        "/acme/default/nothing",
        "/acme/default/directory/",
        "/acme/default/directory/more",
        "/acme/default/account",
        "/acme/default/account/",
        "/acme/default/account/%00",
        "/acme/default/account/" + "A" * 25,
        "/acme/default/account/" + "a" * 25 + "/more",
        "/acme/default/order/" + "a" * 24,
        "/acme/default/new-account/orders",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_path_is_not_there(world, method, path):
    answer = world.service.http.request(path, method=method, expect_errors=True)

    assert_problem(answer, 404, "malformed", f"no such resource: the directory {URL}/directory ")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/acme", "''"),
        ("/acme/", "''"),
        ("/acme/other/directory", "'other'"),
        ("/acme/DEFAULT/directory", "'DEFAULT'"),
        ("/acme/%C3%A9%0A/directory", r"'\xc3\xa9\n'"),
        (f"/acme/{'a' * 9000}/directory", f"'{'a' * MAX_SHOWN}'"),
    ],
)
def test_another_directory_is_not_there(world, path, name):
    answer = world.service.http.get(path, expect_errors=True)

    # Clients show the detail of a problem document; lego and certbot show nothing useful without.
    assert (answer.status_int, answer.content_type) == (404, "application/problem+json")
    assert answer.json["type"] == "urn:ietf:params:acme:error:malformed"
    assert answer.json["detail"] == f"there is no registration authority {name} with ACME"


def test_new_nonces_differ_and_are_not_cached(world):
    http = world.service.http
    head, get = http.head("/acme/default/new-nonce"), http.get("/acme/default/new-nonce")

    assert (head.status_int, get.status_int, get.body) == (200, 204, b"")
    assert head.headers["Replay-Nonce"] != get.headers["Replay-Nonce"]
    for answer in (head, get):
        assert answer.headers["Cache-Control"] == "no-store"
        assert '/directory>;rel="index"' in answer.headers["Link"]
    assert "Content-Length" not in get.headers


def test_headers_of_a_client_change_no_url(world):
    http, client = world.service.http, world.client
    headers = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Port": "8080",
        "X-Forwarded-Prefix": "/evil",
        "X-Original-URL": "/evil",
        "Forwarded": "host=evil.example;proto=http",
    }
    directory = http.get("/acme/default/directory", headers=headers)
    assert directory.json == http.get("/acme/default/directory").json
    assert directory.json["newAccount"] == f"{URL}/new-account"

    draft = world.new_account()
    path = draft.url.removeprefix(BASE_URL)
    answer = http.post(path, draft.body, headers=headers | {"Content-Type": JOSE_JSON})

    assert answer.status_int == 200
    assert answer.headers["Location"] == client.account
    assert "evil" not in answer.text + str(answer.headers)
    draft = world.draft(url=draft.url.replace("anchor.example.com", "evil.example"))
    answer = http.post(
        client.account.removeprefix(BASE_URL),
        draft.body,
        headers=headers | {"Content-Type": JOSE_JSON},
        expect_errors=True,
    )
    assert_problem(answer, 403, "unauthorized")


@pytest.fixture
def nodes(tmp_path, document):
    """Two services with one database and one clock, as on two nodes."""
    acme_configuration(document, open=True)
    clock = FixedClock()
    pair = [Service(tmp_path, document, clock=clock, base_url=BASE_URL) for _ in range(2)]
    yield (*pair, clock)
    for node in pair:
        node.settings.database.close()


def test_a_nonce_of_one_node_is_good_at_another_and_only_once(nodes):
    first, second, _ = nodes
    client = Client(first.http)
    client.register()
    nonce = client.nonce()

    client.http = second.http
    assert client.post(client.account, None, nonce=nonce).status_int == 200
    for node in nodes[:2]:
        client.http = node.http
        assert_problem(
            client.post(client.account, None, nonce=nonce), 400, "badNonce", "used before"
        )


def test_an_account_of_one_node_is_that_of_its_key_at_another(nodes):
    first, second, _ = nodes
    client = Client(first.http)
    client.register()

    client.http = second.http

    assert client.register(status=200).headers["Location"] == client.account


def test_only_the_use_of_a_nonce_is_committed_without_the_disk(world, monkeypatch):
    original, durable = Database.transaction, []

    def recorded(self, **options):
        if options.get("writes", True):
            durable.append(options.get("durable", True))
        return original(self, **options)

    monkeypatch.setattr(Database, "transaction", recorded)
    world.client.post(world.client.account, None, status=200)
    assert durable == [False]

    world.client.post("/new-order", {"identifiers": [{"type": "dns", "value": "a.example.com"}]})
    # What the request changes comes after its nonce, and makes that durable too.
    assert durable[1] is False
    assert durable[2:] == [True] * len(durable[2:])
    assert durable[2:]


def test_a_nonce_expires_and_stays_refused(nodes):
    first, _, clock = nodes
    client = Client(first.http)
    client.register()
    kept, used = client.nonce(), client.nonce()
    assert client.post(client.account, None, nonce=used).status_int == 200

    clock.moment += datetime.timedelta(minutes=59)
    assert_problem(client.post(client.account, None, nonce=used), 400, "badNonce", "used before")
    clock.moment += datetime.timedelta(minutes=2)

    for nonce in (kept, used):
        assert_problem(client.post(client.account, None, nonce=nonce), 400, "badNonce", "expired")
    # With the nonce of the answer, as RFC 8555 section 6.5 says.
    assert client.post(client.account, None).status_int == 200


def test_a_nonce_of_the_future_is_refused_beyond_the_difference_of_clocks(nodes):
    first, _, clock = nodes
    client = Client(first.http)
    client.register()
    clock.moment += datetime.timedelta(minutes=3)
    nonces = [client.http.head("/acme/default/new-nonce").headers["Replay-Nonce"] for _ in range(2)]

    clock.moment -= datetime.timedelta(minutes=2, seconds=30)
    assert_problem(client.post(client.account, None, nonce=nonces[0]), 400, "badNonce", "expired")
    clock.moment += datetime.timedelta(minutes=2)
    assert client.post(client.account, None, nonce=nonces[1]).status_int == 200


def test_a_nonce_that_somebody_made_with_another_key_is_refused(world):
    content = jwt.unb64(world.client.nonce())[:-16]
    forged = encode_base64url(content + hmac.digest(bytes(32), content, "sha256")[:16])

    assert_problem(world.send(world.draft(nonce=forged)), 400, "badNonce", "not from this service")


def test_a_database_that_is_away_is_a_problem_with_a_time_to_try_again(world, monkeypatch):
    draft = world.draft()
    body = draft.body

    def away(*_arguments, **_options):
        raise DatabaseUnavailable("the file /secret/anchor.db is locked", 7)

    with monkeypatch.context() as patch:
        for method in ("read", "write", "transaction"):
            patch.setattr(f"anchor.store.database.engine.Database.{method}", away)
        answer = world.send(draft, body)

    document = assert_problem(answer, 503, "serverInternal", "the database cannot be used now")
    assert answer.headers["Retry-After"] == "7"
    assert "secret" not in json.dumps(document)
    # The nonce was not used: the client may send the same request again.
    assert world.send(draft, body).status_int == 200


def test_an_error_of_anchor_is_a_problem_that_says_nothing(world, monkeypatch):
    def fail(*_arguments, **_options):
        raise RuntimeError("a secret detail")

    with monkeypatch.context() as patch:
        patch.setattr("anchor.acme.resources.account", fail)
        answer = world.send(world.draft())

    document = assert_problem(answer, 500, "serverInternal", "internal error, request ")
    assert "secret detail" not in json.dumps(document)


def test_a_query_belongs_to_the_url_that_is_signed(world):
    draft = world.draft()

    answer = world.client.send(f"{draft.url}?a=b", draft.body)

    assert_problem(answer, 403, "unauthorized", f"sent to: {draft.url}?a=b")
