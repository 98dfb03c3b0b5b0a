"""The ``pkcs11`` signing backend: a CA key in a hardware security module."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import pydantic
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
)
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from anchor.ca.pkcs11 import module
from anchor.ca.pkcs11.key_location import KeyLocation, Step, TokenError
from anchor.ca.pkcs11.session import TokenKey
from anchor.config.file_types import FilePath, Secret, SecretEnv, SecretFile, one_secret, text
from anchor.errors import ConfigurationError, SigningError

INSTALL = "pip install 'anchor[pkcs11]'"


_HEX_BYTES = "(?:[0-9A-Fa-f]{2})+"


def _key_id(value: Any) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(_HEX_BYTES, value, re.ASCII):
        raise ValueError("should be a string of hexadecimal bytes such as '01'")
    return bytes.fromhex(value)


KeyId = Annotated[
    bytes, pydantic.PlainValidator(_key_id), text("hexadecimal", pattern=f"^{_HEX_BYTES}$")
]
"""A CKA_ID, in hexadecimal."""

# CK_ULONG, the type of a slot number, has 32 bits on some platforms.
Slot = Annotated[int, pydantic.Field(ge=0, lt=1 << 32)]


class Pkcs11Key:
    """A private key in a token, reached through a PKCS#11 module.

    Args:
        certificate: the CA's certificate.
        pkcs11_path: the PKCS#11 module, a shared library.
        slot: the number of the token's slot. Exactly one of this, ``token_label`` and
            ``token_serial``.
        token_label: the token's label.
        token_serial: the token's serial number, as ``pkcs11-tool --list-slots`` shows it.
        pin: the user's PIN. Exactly one of this, ``pin_file`` and ``pin_env``.
        pin_file: a file that others cannot read, with the PIN.
        pin_env: an environment variable with the PIN.
        key_id: the private key's ``CKA_ID``, as hexadecimal bytes such as ``01``. At least one of
            this and ``key_label``; exactly one private key has to match.
        key_label: the private key's ``CKA_LABEL``.
    """

    def __init__(
        self,
        *,
        certificate: x509.Certificate,
        pkcs11_path: FilePath,
        slot: Slot | None = None,
        token_label: str | None = None,
        token_serial: str | None = None,
        pin: Secret | None = None,
        pin_file: SecretFile | None = None,
        pin_env: SecretEnv | None = None,
        key_id: KeyId | None = None,
        key_label: str | None = None,
    ):
        selectors = {"slot": slot, "token_label": token_label, "token_serial": token_serial}
        configured = [option for option, value in selectors.items() if value is not None]
        if len(configured) != 1:
            raise ConfigurationError.about(
                "", "exactly one of 'slot', 'token_label' and 'token_serial' is needed"
            )
        if key_id is None and key_label is None:
            raise ConfigurationError.about("", "'key_id' or 'key_label' is needed")
        secret = one_secret("pin", pin, pin_file, pin_env)
        option = {
            Step.MODULE: "pkcs11_path",
            Step.TOKEN: configured[0],
            Step.PIN: "pin" if pin else "pin_file" if pin_file else "pin_env",
            Step.KEY: "key_label" if key_id is None else "key_id",
        }
        try:
            self._token_key = TokenKey(
                module.module_at(pkcs11_path),
                KeyLocation(slot, token_label, key_id, key_label, token_serial),
                secret,
            )
            self._key = load_private_key(self._token_key, certificate.public_key())
        except ModuleNotFoundError:
            raise ConfigurationError.about(
                "backend", f"'pkcs11' needs PyKCS11, which is not installed: {INSTALL}"
            ) from None
        except TokenError as error:
            raise ConfigurationError.about(
                option[error.step], str(error), error.exit_status
            ) from error

    def private_key(self) -> CertificateIssuerPrivateKeyTypes:
        """The key, which can only sign."""
        return self._key

    def ready(self) -> None:
        """Raise TokenError if the token does not answer, or does not contain the key."""
        self._token_key.attribute(self._token_key.module.pykcs11.CKA_KEY_TYPE)


def load_private_key(
    key: TokenKey, public_key: CertificatePublicKeyTypes
) -> Pkcs11RSAKey | Pkcs11ECKey:
    """Wrap a token's key so that ``cryptography`` can sign with it.

    Args:
        key: the key in the token.
        public_key: its public key, from the certificate since not every token contains it.  Only
            a signature shows whether the two keys match.

    Raises:
        ConfigurationError: the public key has another type.
        TokenError: the key is not available.
    """
    pykcs11 = key.module.pykcs11
    types: dict[int, type] = {
        pykcs11.CKK_RSA: rsa.RSAPublicKey,
        pykcs11.CKK_EC: ec.EllipticCurvePublicKey,
    }
    expected = types.get(key.attribute(pykcs11.CKA_KEY_TYPE))
    if expected is None:
        raise TokenError(Step.KEY, "the key is neither RSA nor EC")
    if not isinstance(public_key, expected):
        raise ConfigurationError.about(
            "", "the private key does not match the certificate in 'cert_path'"
        )
    if isinstance(public_key, rsa.RSAPublicKey):
        return Pkcs11RSAKey(public_key, lambda digest: key.sign(pykcs11.CKM_RSA_PKCS, digest))
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    return Pkcs11ECKey(public_key, lambda digest: key.sign(pykcs11.CKM_ECDSA, digest))


RawSign = Callable[[bytes], bytes]


class Pkcs11RSAKey(rsa.RSAPrivateKey):
    """An RSA key that makes PKCS #1 v1.5 signatures; Anchor computes the digests."""

    def __init__(self, public_key: rsa.RSAPublicKey, raw_sign: RawSign):
        self._public_key = public_key
        self._raw_sign = raw_sign

    def sign(
        self,
        data: bytes | bytearray | memoryview,
        padding: Any,
        algorithm: Prehashed | hashes.HashAlgorithm | Any,
    ) -> bytes:
        """The signature (RFC 8017 section 8.2.1)."""
        if not isinstance(padding, PKCS1v15) or not isinstance(algorithm, hashes.HashAlgorithm):
            raise SigningError("keys in tokens make PKCS #1 v1.5 signatures of hashes only")
        return self._raw_sign(DIGEST_INFO[algorithm.name] + _digest(data, algorithm))

    @property
    def key_size(self) -> int:
        """The length of the modulus in bits."""
        return self._public_key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """The public key."""
        return self._public_key

    def decrypt(self, ciphertext: object, padding: object) -> NoReturn:
        """Raise TypeError: the key can only sign."""
        raise _unsupported()

    def private_numbers(self) -> NoReturn:
        """Raise TypeError: the private key cannot leave the token."""
        raise _unsupported()

    def private_bytes(self, *arguments: object) -> NoReturn:
        """Raise TypeError: the private key cannot leave the token."""
        raise _unsupported()

    def __copy__(self) -> Pkcs11RSAKey:
        return self

    def __deepcopy__(self, memo: object) -> Pkcs11RSAKey:
        return self


PKCS1v15 = padding.PKCS1v15

# RFC 8017 9.2, note 1: the DigestInfo up to the digest, with the NULL that verifiers require.
DIGEST_INFO = {
    "sha224": bytes.fromhex("302d300d06096086480165030402040500041c"),
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}


class Pkcs11ECKey(ec.EllipticCurvePrivateKey):
    """An EC key that makes ECDSA signatures; Anchor computes the digests."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey, raw_sign: RawSign):
        self._public_key = public_key
        self._raw_sign = raw_sign

    def sign(
        self,
        data: bytes | bytearray | memoryview,
        signature_algorithm: ec.EllipticCurveSignatureAlgorithm,
    ) -> bytes:
        """The signature, in DER (RFC 3279 section 2.2.3)."""
        algorithm = signature_algorithm.algorithm
        if not isinstance(algorithm, hashes.HashAlgorithm):
            raise SigningError("keys in tokens sign data, not digests")
        length = (self.key_size + 7) // 8
        # FIPS 186-5 6.4.1: a digest longer than the order is cut to its leftmost bits. Not every
        # library does that.
        raw = self._raw_sign(_digest(data, algorithm)[:length])
        if len(raw) != 2 * length:
            raise SigningError(f"the module answers an ECDSA signature of {len(raw)} bytes")
        return encode_dss_signature(
            int.from_bytes(raw[:length], "big"), int.from_bytes(raw[length:], "big")
        )

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """The length of the curve's order in bits."""
        return self._public_key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key."""
        return self._public_key

    def exchange(self, algorithm: object, peer_public_key: object) -> NoReturn:
        """Raise TypeError: the key can only sign."""
        raise _unsupported()

    def private_numbers(self) -> NoReturn:
        """Raise TypeError: the private key cannot leave the token."""
        raise _unsupported()

    def private_bytes(self, *arguments: object) -> NoReturn:
        """Raise TypeError: the private key cannot leave the token."""
        raise _unsupported()

    def __copy__(self) -> Pkcs11ECKey:
        return self

    def __deepcopy__(self, memo: object) -> Pkcs11ECKey:
        return self


def _digest(data: bytes | bytearray | memoryview, algorithm: hashes.HashAlgorithm) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()


def _unsupported() -> TypeError:
    return TypeError("a key in a token signs, and does nothing else")
