"""JSON Web Tokens and key sets of an issuer of the tests."""

from __future__ import annotations

import functools
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

ISSUER = "https://issuer.example.com"
AUDIENCE = "anchor.example.com"


def b64(octets):
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def unb64(text):
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@functools.cache
def make_key(kind="EC", parameter="P-256", name="1"):
    """A private key that tests share; ``name`` makes it another one."""
    del name
    return {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey, "oct": OctKey}[kind].generate_key(parameter)


def public(key, kid="1", **members):
    """A key as a member of a key set; ``kid=None`` leaves it out."""
    made = {**key.as_dict(private=False), **({} if kid is None else {"kid": kid}), **members}
    return {name: value for name, value in made.items() if value is not None}


def key_set(*keys):
    return json.dumps({"keys": list(keys)}).encode()


def oidc_section(directory, **options):
    """A section of the backend ``oidc``, with the key that all tests share."""
    keys = directory / "jwks.json"
    keys.write_bytes(key_set(public(make_key())))
    return {
        "backend": "oidc",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks_file": str(keys),
        **options,
    }


def claims(**changes):
    """The claims of a good token; changes that are None are left out."""
    now = int(time.time())
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "web1",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "jti": "a-token",
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def sign_raw(header, payload, key, algorithm):
    """A token of these bytes, whatever they are."""
    signed = f"{b64(header)}.{b64(payload)}"
    signature = jws.JWSRegistry.algorithms[algorithm].sign(signed.encode(), key)
    return f"{signed}.{b64(signature)}"


def make_token(key=None, algorithm="ES256", header=None, **changes):
    """A good token with changed claims; the members of ``header`` that are None are left out."""
    made = {"alg": algorithm, "typ": "JWT", "kid": "1", **(header or {})}
    made = {name: value for name, value in made.items() if value is not None}
    return sign_raw(
        json.dumps(made).encode(),
        json.dumps(claims(**changes)).encode(),
        key or make_key(),
        algorithm,
    )
