"""Authentication backends: functions and a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anchor.auth.results import AuthDetails, CredentialKind
from anchor.errors import NotAuthenticated
from anchor.options import Secret


def check(ra_name: str, user: str, secret: str, conf: Mapping[str, Any]) -> AuthDetails | None:
    """Accept every user who has the authority's secret."""
    if secret != conf["secrets"].get(ra_name):
        return None
    return AuthDetails(user, ["staff"])


def check_without_conf(ra_name: str, user: str, secret: str) -> AuthDetails | None:
    """Accept the name of the authority as the secret."""
    return AuthDetails(user) if secret == ra_name else None


class Users:
    """Several users with the same secret."""

    def __init__(self, users: tuple[str, ...], secret: Secret):
        self._users = users
        self._secret = secret.get_secret_value()

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        """Return the identity of a listed user."""
        if user not in self._users or secret != self._secret:
            raise NotAuthenticated()
        return AuthDetails(user, groups=["users"])

    def look_up(self, recorded: AuthDetails) -> AuthDetails:
        """Return the identity of a user who is still listed."""
        if recorded.username not in self._users:
            raise NotAuthenticated("the user is not listed any more")
        return AuthDetails(recorded.username, groups=["users"])


class Jwt:
    """Accepts one JWT, which is not verified."""

    credential = CredentialKind.JWT

    def __init__(self, jwt: str):
        self._jwt = jwt

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        """Return the identity of the job with this JWT; the user name is ignored."""
        if secret != self._jwt:
            raise NotAuthenticated()
        return AuthDetails("job", claims={"project": "web"})


def wrong_answer(ra_name: str, user: str, secret: str) -> object:
    """Return True, which is not an identity."""
    return True


def raises(ra_name: str, user: str, secret: str) -> object:
    """Raise an error whose text contains the secret."""
    raise KeyError(secret)
