"""The ``anchor`` signing backend: a CA key in a file."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from anchor.config.file_types import PrivateFile, SecretEnv, SecretFile, one_secret
from anchor.errors import ConfigurationError


class FileKey:
    """A private key in a PEM file, read once at start-up.

    Args:
        key_path: the key in PEM, PKCS#8 or traditional, in a file that others cannot read.
        passphrase_file: a file that others cannot read, with the passphrase of an encrypted key.
        passphrase_env: an environment variable with the passphrase, instead.
    """

    def __init__(
        self,
        key_path: PrivateFile,
        passphrase_file: SecretFile | None = None,
        passphrase_env: SecretEnv | None = None,
    ):
        passphrase = None
        if passphrase_file is not None or passphrase_env is not None:
            passphrase = one_secret("passphrase", passphrase_file, passphrase_env).encode("utf-8")
        try:
            key = load_pem_private_key(key_path.contents, passphrase)
        except TypeError:
            wrong = "is encrypted, and no" if passphrase is None else "is not encrypted, but a"
            raise ConfigurationError.about(
                "key_path", f"the key in {key_path.path} {wrong} passphrase is configured"
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            # Without the parser's message, which may quote the key.
            wrong = "" if passphrase is None else ", or the passphrase is wrong"
            raise ConfigurationError.about(
                "key_path", f"{key_path.path} holds no private key in PEM{wrong}"
            ) from None
        self._key: CertificateIssuerPrivateKeyTypes = key  # type: ignore[assignment]  # check_key() verifies that it can sign

    def private_key(self) -> CertificateIssuerPrivateKeyTypes:
        """The key."""
        return self._key
