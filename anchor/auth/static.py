"""One user with one secret, both in the configuration."""

from __future__ import annotations

import hashlib
import hmac
import logging

from anchor.auth.results import AuthDetails
from anchor.config.file_types import Secret, SecretEnv, SecretFile, one_secret
from anchor.errors import ConfigurationError, NotAuthenticated
from anchor.runtime.listeners import is_loopback, listening

LOG = logging.getLogger(__name__)

_SAMPLE_CREDENTIALS = ("myusername", "simplepassword")


class StaticAuthentication:
    """Accepts exactly one user name and secret.

    Args:
        user: the user name.
        secret: the secret itself. Exactly one of ``secret``, ``secret_file`` and ``secret_env`` is
            required.
        secret_file: a file with the secret, which other users cannot read.
        secret_env: the name of an environment variable with the secret.
        groups: the user's groups.
    """

    waits = False

    def __init__(
        self,
        user: str,
        secret: Secret | None = None,
        secret_file: SecretFile | None = None,
        secret_env: SecretEnv | None = None,
        groups: tuple[str, ...] = (),
    ):
        if not user:
            raise ConfigurationError.about("user", "is empty")
        revealed = one_secret("secret", secret, secret_file, secret_env)
        if is_sample(user, revealed):
            _warn_of_sample(user, listening())
        self._identity = AuthDetails(user, groups)
        self._credentials = _digest(user, revealed)

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        """Compare the credentials in constant time.

        Raises:
            NotAuthenticated: the user name or the secret is wrong.
        """
        if not hmac.compare_digest(self._credentials, _digest(user, secret)):
            raise NotAuthenticated()
        return self._identity


def _warn_of_sample(user: str, listeners: list[str]) -> None:
    """Log that everyone can get certificates; less loudly if only this machine can connect."""
    if listeners and all(map(is_loopback, listeners)):
        LOG.warning(
            "the user %r and its secret are those of the sample configuration, which everyone "
            "knows: anyone on this machine can get certificates",
            user,
        )
        return
    LOG.critical(
        "DANGER: EVERYONE WHO REACHES THIS SERVICE GETS CERTIFICATES FROM IT. The user %r and its "
        "secret are those of the sample configuration, which everyone knows, and the service "
        "listens on %s. Put a user and a secret of your own into config.json.",
        user,
        " and ".join(listeners) or "an address that may be reached from other machines",
    )


def is_sample(user: str, secret: str) -> bool:
    """Whether these are the credentials of the sample configuration, which are public."""
    return (user, secret) == _SAMPLE_CREDENTIALS


def _digest(user: str, secret: str) -> bytes:
    # With the length of the user name, no other pair makes the same text.
    credentials = f"{len(user)} {user}{secret}"
    return hashlib.sha256(credentials.encode("utf-8", "surrogatepass")).digest()
