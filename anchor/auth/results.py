"""The identity of an authenticated requester."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    # Its libraries take long to import, and the commands that list certificates need none of them.
    from anchor.auth.renewal import Renewal

NO_CLAIMS: Mapping[str, str] = MappingProxyType({})


class CredentialKind(enum.StrEnum):
    """The kinds of credentials that a requester can present."""

    PASSWORD = "password"  # noqa: S105  # the word, not a password
    TOKEN = "token"  # noqa: S105
    JWT = "jwt"
    CERTIFICATE = "certificate"
    ACME = "acme"


class SingleUse(NamedTuple):
    """Makes a credential valid for one certificate on all nodes.

    Attributes:
        key: a SHA-256 in hexadecimal that no other credential has.
        expires: when the credential expires, so that the key can be forgotten.
    """

    key: str
    expires: datetime.datetime


class AcmeOrder(NamedTuple):
    """The order of an ACME account; it is valid for one certificate.

    Attributes:
        account_id: the account.
        order_id: the order.
    """

    account_id: str
    order_id: str


@dataclass(frozen=True, init=False)
class AuthDetails:
    """An authenticated requester.

    Attributes:
        username: the user name in the authentication backend.
        groups: the names of the user's groups or roles.
        user_id: the backend's identifier of the user, if it has one.
        project_id: the project that the credential is scoped to, if any.
        claims: statements of the credential about the user, by the names in the configuration.
        allowed_names: the names that the credential is limited to, such as ``web1.example.com``;
            None if it has no limit.
        token_id: the token of Anchor that was used; each certificate takes one of its uses, but a
            renewal takes none, and neither does an ACME account.
        single_use: set if the credential is valid for one certificate only.
        authentication: the section of the configuration that accepted the credential. Anchor sets
            this attribute and the next.
        credential: the kind of the credential.
        renewal: the certificate to renew, if it is the credential.
        order: the order, if the key of an ACME account is the credential.
    """

    username: str
    groups: tuple[str, ...]
    user_id: str | None
    project_id: str | None
    claims: Mapping[str, str] = field(hash=False)
    allowed_names: tuple[str, ...] | None
    token_id: str | None
    single_use: SingleUse | None
    authentication: str
    credential: CredentialKind
    renewal: Renewal | None
    order: AcmeOrder | None

    def __init__(
        self,
        username: str,
        groups: Iterable[str] = (),
        user_id: str | None = None,
        project_id: str | None = None,
        *,
        claims: Mapping[str, str] = NO_CLAIMS,
        allowed_names: Iterable[str] | None = None,
        token_id: str | None = None,
        single_use: SingleUse | None = None,
        authentication: str = "",
        credential: CredentialKind = CredentialKind.PASSWORD,
        renewal: Renewal | None = None,
        order: AcmeOrder | None = None,
    ):
        if isinstance(groups, str) or isinstance(allowed_names, str):
            # Each character would be a group or a name.
            raise TypeError("groups and allowed_names are lists of texts, not texts")
        vars(self).update(
            username=username,
            groups=tuple(groups),
            user_id=user_id,
            project_id=project_id,
            claims=claims if claims is NO_CLAIMS else MappingProxyType(dict(claims)),
            allowed_names=None if allowed_names is None else tuple(allowed_names),
            token_id=token_id,
            single_use=single_use,
            authentication=authentication,
            credential=credential,
            renewal=renewal,
            order=order,
        )

    def authenticated_by(self, authentication: str, credential: CredentialKind) -> AuthDetails:
        """The requester with the attributes that Anchor sets.

        Args:
            authentication: the section of the configuration that accepted the credential.
            credential: the kind of the credential.
        """
        details = object.__new__(type(self))
        vars(details).update(vars(self), authentication=authentication, credential=credential)
        return details
