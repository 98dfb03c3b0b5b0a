"""Users with fixed secrets: one in the configuration, or several in a file."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path

from anchor.auth.results import AuthDetails
from anchor.auth.users_file import UsersFile
from anchor.config.file_types import FilePath, Secret, SecretEnv, SecretFile, one_secret
from anchor.errors import ConfigProblem, ConfigurationError, NotAuthenticated, RequesterGone
from anchor.runtime.listeners import is_loopback, listening

LOG = logging.getLogger(__name__)

_SAMPLE_CREDENTIALS = ("myusername", "simplepassword")


class StaticAuthentication:
    """Accepts one user name and secret, or those of the users in a file.

    Args:
        user: the user name. Exactly one of ``user`` and ``users_file`` is required.
        secret: the secret itself. With ``user``, exactly one of ``secret``, ``secret_file`` and
            ``secret_env`` is required.
        secret_file: a file with the secret, which other users cannot read.
        secret_env: the name of an environment variable with the secret.
        groups: the user's groups.
        users_file: a file with any number of users, each with groups, names and the hash of a
            secret. ``anchor user`` changes it, and a change is in force from the next request on.
    """

    def __init__(
        self,
        user: str | None = None,
        secret: Secret | None = None,
        secret_file: SecretFile | None = None,
        secret_env: SecretEnv | None = None,
        groups: tuple[str, ...] = (),
        *,
        users_file: FilePath | None = None,
    ):
        # Comparing one digest takes no time, a slow hash does.
        self.waits = users_file is not None
        self._users: _SingleUser | UsersFile
        if users_file is None:
            if user is None:
                raise ConfigurationError.about("", "one of 'user' and 'users_file' is needed")
            revealed = one_secret("secret", secret, secret_file, secret_env)
            self._users = _SingleUser(user, revealed, groups)
            return
        given: dict[str, object] = {
            "user": user,
            "secret": secret,
            "secret_file": secret_file,
            "secret_env": secret_env,
            "groups": groups or None,
        }
        for option, value in given.items():
            if value is not None:
                raise ConfigurationError.about(
                    option, "excludes 'users_file': add the user to the file with `anchor user add`"
                )
        self._users = _read_users(users_file)

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        """Compare the credentials in constant time.

        Raises:
            NotAuthenticated: the user name or the secret is wrong.
            BackendUnavailable: the users file is missing or broken.
        """
        return self._users.authenticate(user, secret)

    def look_up(self, recorded: AuthDetails) -> AuthDetails:
        """Return the user with that name as the configuration or the file has it now.

        Raises:
            RequesterGone: there is no such user any more.
            BackendUnavailable: the users file is missing or broken.
        """
        return self._users.look_up(recorded.username)


class _SingleUser:
    """One user with one secret, kept only as a digest."""

    def __init__(self, user: str, secret: str, groups: tuple[str, ...]):
        if not user:
            raise ConfigurationError.about("user", "is empty")
        if is_sample(user, secret):
            _warn_of_sample(user, listening())
        self._identity = AuthDetails(user, groups)
        self._credentials = _digest(user, secret)

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        """Return the identity, or raise NotAuthenticated."""
        if not hmac.compare_digest(self._credentials, _digest(user, secret)):
            raise NotAuthenticated()
        return self._identity

    def look_up(self, user: str) -> AuthDetails:
        """Return the identity, or raise RequesterGone."""
        if user != self._identity.username:
            raise RequesterGone()
        return self._identity


def _read_users(path: Path) -> UsersFile:
    try:
        return UsersFile(path)
    except ConfigurationError as error:
        raise ConfigurationError(
            [ConfigProblem("users_file", each.message) for each in error.problems]
        ) from None


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
