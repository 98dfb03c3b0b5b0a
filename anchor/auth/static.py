"""One user with one secret, both in the configuration."""

from __future__ import annotations

import hashlib
import hmac
import logging

from anchor.auth.results import AuthDetails
from anchor.config.option_types import Secret, SecretEnv, SecretFile, one_secret
from anchor.errors import ConfigurationError, NotAuthenticated
from anchor.runtime.listeners import is_loopback, listening

LOG = logging.getLogger(__name__)

_SAMPLE = ("myusername", "simplepassword")


class StaticAuthentication:
    """Accepts exactly one user name and secret.

    Args:
        user: the user name.
        secret: the secret itself. Exactly one of this, ``secret_file`` and ``secret_env``.
        secret_file: a file that others cannot read, with the secret.
        secret_env: an environment variable with the secret.
        groups: the groups that the user is said to be in.
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
        if is_the_sample(user, revealed):
            _warn_of_the_sample(user, listening())
        self._identity = AuthDetails(user, groups)
        self._credentials = _digest(user, revealed)

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        """Compare in a time that does not depend on where a difference is."""
        if not hmac.compare_digest(self._credentials, _digest(user, secret)):
            raise NotAuthenticated()
        return self._identity


def _warn_of_the_sample(user: str, listeners: list[str]) -> None:
    """Say loudly that everyone gets certificates, unless only this machine reaches the service."""
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


def is_the_sample(user: str, secret: str) -> bool:
    """Whether they are those of the sample configuration, which everyone knows."""
    return (user, secret) == _SAMPLE


def _digest(user: str, secret: str) -> bytes:
    # With the length of the first, no other two are the same when they stand side by side.
    both = f"{len(user)} {user}{secret}"
    return hashlib.sha256(both.encode("utf-8", "surrogatepass")).digest()
