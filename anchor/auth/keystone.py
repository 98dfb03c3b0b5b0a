"""Authentication by OpenStack's Keystone: the secret is a token, whose roles become groups."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

import pydantic

from anchor.auth.deadline import Deadline
from anchor.auth.results import AuthDetails
from anchor.auth.trusted_cas import tls_context
from anchor.config.diagnostics import Diagnostics
from anchor.config.file_types import FilePath, Secret, SecretEnv, SecretFile, one_secret, text
from anchor.errors import BackendUnavailable, NotAuthenticated, RequesterGone

try:
    from keystoneauth1 import exceptions, token_endpoint
    from keystoneauth1.identity import v3
    from keystoneclient.v3.tokens import TokenManager

    from anchor.auth.keystone_connection import Connections, is_from_keystone
    from anchor.auth.keystone_requesters import find_requester
except ImportError as error:
    raise ImportError(f"{error}; `pip install anchor[keystone]` installs what it needs") from error

LOG = logging.getLogger(__name__)

# The characters that a header can carry. A Fernet token has about 200, a JWS about 800.
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}", re.ASCII)


def _url(value: Any) -> str:
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        # Reading the port validates it.
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("should be a URL such as 'https://keystone.example.com:5000/v3'")
    if parts.query or parts.fragment or parts.username or parts.password is not None:
        raise ValueError("should have neither a query nor credentials")
    path = parts.path.rstrip("/")
    if path.endswith("/v2.0"):
        raise ValueError("should be of version 3 of the API: '.../v3'")
    return f"{parts.scheme}://{parts.netloc}{path}" + ("" if path.endswith("/v3") else "/v3")


Url = Annotated[str, pydantic.PlainValidator(_url), text("uri")]
Names = Annotated[
    tuple[Annotated[str, pydantic.Field(min_length=1)], ...], pydantic.Field(min_length=1)
]
Seconds = Annotated[float, pydantic.Field(gt=0, le=60)]


class KeystoneAuthentication:
    """Validates with Keystone the token that is sent as the secret; the user name is ignored.

    Anchor validates a token with a service account, which has an application credential or a
    password. Without a service account it validates each token with the token itself.

    Args:
        url: the URL of Keystone, with or without ``/v3``.
        ca_file: a PEM file with the CAs to trust instead of the system's.
        timeout: how many seconds Keystone's answer may take. An answer of more than 1 MB,
            decompressed, is an error too.
        user_domains: the names of the domains whose users are accepted; by default all domains. A
            user name is unique only in its domain, so set it if a policy has user names and other
            people can create users in other domains.
        allow_unscoped: whether to accept tokens without a scope. Tokens for a project are always
            accepted.
        allow_domain_scoped: whether to accept tokens for a domain.
        allow_system_scoped: whether to accept tokens for the system.
        application_credential_id: the ID of the application credential that validates tokens.
        service_user: a user with a password who validates tokens, instead of an application
            credential; requires ``service_project`` or ``service_system``.
        service_user_domain: the name of the domain of ``service_user``.
        service_project: the name of the project for which ``service_user`` gets a token.
        service_project_domain: the name of the domain of ``service_project``.
        service_system: whether ``service_user`` gets a token for the system instead of a project.
            With the role ``reader`` on the system it can validate tokens, and look requesters up
            when they renew certificates.
        service_secret: the application credential's secret, or the user's password. A service
            account requires exactly one of ``service_secret``, ``service_secret_file`` and
            ``service_secret_env``.
        service_secret_file: a file with that secret, which other users cannot read.
        service_secret_env: the name of an environment variable with that secret.
    """

    def __init__(
        self,
        *,
        url: Url,
        ca_file: FilePath | None = None,
        timeout: Seconds = 5,
        user_domains: Names | None = None,
        allow_unscoped: bool = False,
        allow_domain_scoped: bool = False,
        allow_system_scoped: bool = False,
        application_credential_id: str | None = None,
        service_user: str | None = None,
        service_user_domain: str = "Default",
        service_project: str | None = None,
        service_project_domain: str = "Default",
        service_system: bool = False,
        service_secret: Secret | None = None,
        service_secret_file: SecretFile | None = None,
        service_secret_env: SecretEnv | None = None,
    ):
        problems = Diagnostics()
        secret = ""
        if (application_credential_id, service_user) == (None, None):
            if (service_secret, service_secret_file, service_secret_env) != (None, None, None):
                problems.add(
                    "",
                    "'service_secret' needs 'application_credential_id' or 'service_user'",
                )
        else:
            with problems.at():
                secret = one_secret(
                    "service_secret", service_secret, service_secret_file, service_secret_env
                )
        if application_credential_id is not None and service_user is not None:
            problems.add(
                "", "only one of 'application_credential_id' and 'service_user' is allowed"
            )
        scopes = (service_project is not None) + service_system
        if service_user is None and scopes:
            problems.add("", "'service_project' and 'service_system' need 'service_user'")
        if service_user is not None and scopes != 1:
            problems.add(
                "", "'service_user' needs exactly one of 'service_project' and 'service_system'"
            )
        if ca_file is not None:
            with problems.at():
                tls_context(ca_file)
        problems.raise_if_any()
        if url.startswith("http:"):
            LOG.warning("%s is not https: anyone on the network path can read the tokens", url)
        self._url = url
        self._allowed_scopes = _Scopes(
            unscoped=allow_unscoped, domain=allow_domain_scoped, system=allow_system_scoped
        )
        self._user_domains = None if user_domains is None else frozenset(user_domains)
        self._service: Any = None
        if application_credential_id is not None:
            self._service = v3.ApplicationCredential(
                url,
                application_credential_id=application_credential_id,
                application_credential_secret=secret,
            )
        elif service_user is not None:
            self._service = v3.Password(
                url,
                username=service_user,
                password=secret,
                user_domain_name=service_user_domain,
                **(
                    {"system_scope": "all"}
                    if service_system
                    else {
                        "project_name": service_project,
                        "project_domain_name": service_project_domain,
                    }
                ),
            )
        self._connections = Connections(url, str(ca_file) if ca_file else True, timeout)
        # Half a second more, so that the library's own timeout, with a better message, comes first.
        self._deadline = Deadline(timeout + 0.5)

    @staticmethod
    def principal(_user: str) -> str:
        """The same text for all users: a new user name does not reset the count of failures."""
        return ""

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        """Return the user and the roles of a token."""
        if not _TOKEN.fullmatch(secret):
            raise NotAuthenticated()
        body = self._deadline.call(lambda: self._fetch_token_data(secret))
        try:
            token = _Token.model_validate(body["token"])
        except (TypeError, KeyError, pydantic.ValidationError):
            # Without the cause: its text may contain the token.
            raise BackendUnavailable(f"{self._url} did not answer with a token") from None
        self._allowed_scopes.require_allowed(token)
        self._require_allowed_domain(token.user)
        return AuthDetails(
            token.user.name,
            sorted({role.name for role in token.roles}),
            token.user.id,
            token.project.id if token.project else None,
        )

    def look_up(self, recorded: AuthDetails) -> AuthDetails | None:
        """Return the recorded user with the roles that they have now.

        Returns:
            None without a service account.

        Raises:
            RequesterGone: the user, the project or the domain of one is gone or disabled, the user
                has no role, or users of the domain are not accepted.
            Forbidden: the service account may not ask.
            BackendUnavailable: Keystone does not answer.
        """
        service = self._service
        if service is None:
            return None
        if recorded.user_id is None:
            # Another backend had this name in the configuration.
            raise RequesterGone()
        return self._deadline.call(
            lambda: find_requester(
                self._connections.client(service), recorded, self._url, self._user_domains
            )
        )

    def _require_allowed_domain(self, user: _User) -> None:
        if self._user_domains is None:
            return
        domain = user.domain and user.domain.name
        if domain not in self._user_domains:
            LOG.info("the domain %r of %r is not in 'user_domains': refused", domain, user.name)
            raise NotAuthenticated()

    def _fetch_token_data(self, token: str) -> Any:
        """Keystone's description of the token, as JSON."""
        account = self._service or token_endpoint.Token(self._url, token)
        try:
            return TokenManager(self._connections.client(account)).get_token_data(
                token, include_catalog=False
            )
        except exceptions.HttpError as error:
            # 401 concerns the service account if there is one, otherwise the token.
            expected = (404,) if self._service is not None else (401, 404)
            if error.http_status in expected and is_from_keystone(error):
                raise NotAuthenticated() from None
            raise self._unavailable(f"HTTP status {error.http_status}") from None
        except RecursionError:
            raise self._unavailable("its JSON is nested too deeply") from None
        except exceptions.ClientException as error:
            text = f"{type(error).__name__}: {error}"
            raise self._unavailable(text.replace(token, "[token]")) from None

    def _unavailable(self, what: str) -> BackendUnavailable:
        account = " with the service account" if self._service is not None else ""
        return BackendUnavailable(f"{self._url} could not validate a token{account}: {what}")


class _Entity(pydantic.BaseModel):
    id: Annotated[str, pydantic.Field(min_length=1)]
    name: Annotated[str, pydantic.Field(min_length=1)]


class _User(_Entity):
    domain: _Entity | None = None


class _Token(pydantic.BaseModel):
    """The parts of a token's description that Anchor uses."""

    model_config = pydantic.ConfigDict(strict=True)

    user: _User
    roles: list[_Entity] = []
    project: _Entity | None = None
    domain: _Entity | None = None
    system: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Scopes:
    """The scopes that are accepted besides a project."""

    unscoped: bool
    domain: bool
    system: bool

    def require_allowed(self, token: _Token) -> None:
        """Raise NotAuthenticated if the token's scope is not accepted."""
        if token.project is not None:
            return
        if token.system is not None:
            allowed = self.system
        elif token.domain is not None:
            allowed = self.domain
        else:
            allowed = self.unscoped
        if not allowed:
            LOG.info("the token of %r is not scoped to a project: refused", token.user.name)
            raise NotAuthenticated()
