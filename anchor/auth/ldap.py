"""Authentication by a bind to an LDAP directory, which also tells the user's groups."""

from __future__ import annotations

import logging
import re
import ssl as tls
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pydantic

from anchor.auth.deadline import Deadline
from anchor.auth.ldap_connection import Directory, validate_filter
from anchor.auth.ldap_lookup import ServiceAccount, UserLookup
from anchor.auth.results import AuthDetails
from anchor.auth.trusted_cas import tls_context
from anchor.config.diagnostics import Diagnostics
from anchor.config.file_types import FilePath, Secret, SecretEnv, SecretFile, one_secret
from anchor.errors import NotAuthenticated
from anchor.timestamps import utc_now

LOG = logging.getLogger(__name__)

_LONGEST_NAME = 256


def _hosts(value: Any) -> tuple[str, ...]:
    hosts = value if isinstance(value, list) else [value]
    if not hosts or not all(isinstance(host, str) and host.strip() == host != "" for host in hosts):
        raise ValueError("should be the name of a host, or a list of such names")
    if any("/" in host for host in hosts):
        raise ValueError("should be a name such as 'ldap.example.com', not a URL")
    return tuple(hosts)


_HOST = {"type": "string", "minLength": 1}
Hosts = Annotated[
    tuple[str, ...],
    pydantic.PlainValidator(_hosts),
    pydantic.WithJsonSchema({"anyOf": [_HOST, {"type": "array", "items": _HOST, "minItems": 1}]}),
]
Port = Annotated[int, pydantic.Field(ge=1, le=65535)]
Seconds = Annotated[float, pydantic.Field(gt=0, le=60)]


class LdapAuthentication:
    """Authenticates users with a bind to OpenLDAP, Active Directory or another LDAP server.

    A user binds in one of three ways: with ``domain`` as ``user@domain``; with ``user_dn`` as the
    DN that this template makes of the user name; with ``service_dn`` as the DN of the entry that
    the service account finds for the user name.

    Args:
        host: the host name of the directory, or a list of host names, which are tried in order.
        base: the DN below which users' entries are searched.
        port: the port; by default 636 with ``ssl``, 389 without.
        ssl: whether to use LDAPS: TLS from the start of the connection.
        start_tls: whether to start TLS on a connection to the plain port; needs ``"ssl": false``.
        ca_file: a PEM file with the CAs to trust instead of the system's.
        verify: whether to verify the directory's certificate. Without it anyone on the network path
            can read the secrets; the log warns of that at the start.
        allow_plaintext: whether to send secrets without TLS; required without ``ssl`` and
            ``start_tls``.
        connect_timeout: how many seconds a connection to a host may take. One authentication takes
            at most the sum of this and ``timeout`` for each host, plus half a second.
        timeout: how many seconds each answer of a host may take.
        domain: the Active Directory domain: users bind as ``user@domain``. User names with ``@``,
            a backslash or ``/`` are refused. Exactly one of ``domain``, ``user_dn`` and
            ``service_dn`` is required.
        user_dn: the DN as which users bind, such as ``uid={user},ou=people,dc=example,dc=com``.
            Only this entry is read.
        service_dn: the DN of a service account, which searches for the user's entry.
        service_secret: the service account's password. ``service_dn`` requires exactly one of
            ``service_secret``, ``service_secret_file`` and ``service_secret_env``.
        service_secret_file: a file with that password, which other users cannot read.
        service_secret_env: the name of an environment variable with that password.
        filter: the filter that a user's entry matches, with ``{user}`` for the user name. The
            default compares ``name_attribute``: ``(sAMAccountName={user})`` with ``domain``,
            ``(uid={user})`` otherwise.
        name_attribute: the attribute with the user name that validators and audit events get; by
            default ``sAMAccountName`` with ``domain``, ``uid`` otherwise. An entry without exactly
            one value is refused.
        group_attribute: the attribute with the user's groups. An entry without it has no groups.
        group_name: the name of a group: ``first`` for the first value in its DN (``Nova`` for
            ``CN=Nova,OU=Groups,DC=example,DC=com``), or ``whole`` for the attribute's whole value.
        group_base: the DN below which groups count; by default all groups count. Set it if other
            people can create groups, because these could have the same names as yours.
        nested_groups: whether to ask Active Directory also for the groups that a user's groups are
            members of. The search is below ``group_base``, or below ``base`` if that is not set.
    """

    def __init__(
        self,
        *,
        host: Hosts,
        base: str,
        port: Port | None = None,
        ssl: bool = True,
        start_tls: bool = False,
        ca_file: FilePath | None = None,
        verify: bool = True,
        allow_plaintext: bool = False,
        connect_timeout: Seconds = 5,
        timeout: Seconds = 5,
        domain: str | None = None,
        user_dn: str | None = None,
        service_dn: str | None = None,
        service_secret: Secret | None = None,
        service_secret_file: SecretFile | None = None,
        service_secret_env: SecretEnv | None = None,
        filter: str | None = None,  # noqa: A002  # LDAP's word
        name_attribute: str | None = None,
        group_attribute: str = "memberOf",
        group_name: Literal["first", "whole"] = "first",
        group_base: str | None = None,
        nested_groups: bool = False,
    ):
        problems = Diagnostics()
        bind_options = {"domain": domain, "user_dn": user_dn, "service_dn": service_dn}
        if sum(value is not None for value in bind_options.values()) != 1:
            problems.add("", "exactly one of 'domain', 'user_dn' and 'service_dn' is needed")
        for name, value in (bind_options | {"base": base, "group_base": group_base}).items():
            if value is not None and not value.strip():
                problems.add(name, "is empty")
        service: ServiceAccount | None = None
        if service_dn is not None:
            with problems.at():
                service = ServiceAccount(
                    service_dn,
                    one_secret(
                        "service_secret", service_secret, service_secret_file, service_secret_env
                    ),
                )
        elif (service_secret, service_secret_file, service_secret_env) != (None, None, None):
            problems.add("", "a 'service_secret' is of no use without 'service_dn'")
        if user_dn is not None and "{user}" not in user_dn:
            problems.add("user_dn", "should have {user} in it")
        if ssl and start_tls:
            problems.add("", "'start_tls' is for the plain port: it needs \"ssl\": false")
        if not (ssl or start_tls or allow_plaintext):
            problems.add(
                "",
                "secrets would go over the wire in the clear: use 'ssl', "
                "'start_tls' or, if you have to, 'allow_plaintext'",
            )
        name_attribute = name_attribute or ("sAMAccountName" if domain else "uid")
        query = filter or f"({name_attribute}={{user}})"
        if user_dn is None and "{user}" not in query:
            problems.add("filter", "should have {user} in it")
        with problems.at("filter"):
            validate_filter(query)
        context: tls.SSLContext | None = None
        with problems.at():
            context = _tls_context(ca_file, verify) if ssl or start_tls else None
        problems.raise_if_any()
        self._domain = domain
        self._lookup = UserLookup(
            base=base,
            filter=query,
            name_attribute=name_attribute,
            group_attribute=group_attribute,
            whole_group_name=group_name == "whole",
            group_base=group_base,
            nested_groups=nested_groups,
            domain=domain,
            user_dn=user_dn,
            service=service,
        )
        self._directory = Directory(
            hosts=host,
            port=port or (636 if ssl else 389),
            tls=context,
            start_tls=start_tls,
            connect_timeout=connect_timeout,
            timeout=timeout,
        )
        # Half a second more, so that ldap3's own timeout, with a better message, comes first.
        self._deadline = Deadline(self._directory.max_seconds + 0.5)

    def principal(self, user: str) -> str:
        """The user name, without its domain if ``domain`` is configured."""
        if self._domain is None:
            return user
        return re.split(r"[\\/]", user)[-1].partition("@")[0]

    def authenticate(
        self, user: str, secret: str, identified: Callable[[str], None] = lambda _name: None
    ) -> AuthDetails:
        """Return the name and groups that the directory has for the user.

        Args:
            user: the user name.
            secret: the password.
            identified: called with the DN of the user's entry before the password is checked, if
                the service account finds exactly one.
        """
        if not (_is_plain(user) and _is_secret(secret)):
            raise NotAuthenticated()
        if self._domain is not None and not set("@\\/").isdisjoint(user):
            # The name could belong to a user in another domain.
            raise NotAuthenticated()

        identity = self._deadline.call(
            lambda: self._directory.with_connection(
                lambda connection: self._lookup.identify(connection, user, secret, identified)
            )
        )
        if identity is None:
            raise NotAuthenticated()
        return identity

    def look_up(self, recorded: AuthDetails) -> AuthDetails | None:
        """Return the user with the recorded name as the directory has them now.

        Returns:
            None without a service account: nobody else may search.

        Raises:
            RequesterGone: the user does not exist any more, or is disabled.
            BackendUnavailable: the directory does not answer, or rejects the service account.
        """
        service = self._lookup.service
        if service is None:
            return None
        return self._deadline.call(
            lambda: self._directory.with_connection(
                lambda connection: self._lookup.find(
                    connection, service, recorded.username, utc_now()
                )
            )
        )


def _is_plain(user: str) -> bool:
    """True for a printable name of reasonable length without surrounding spaces."""
    return user.isprintable() and user.strip() == user and 0 < len(user) <= _LONGEST_NAME


def _is_secret(secret: str) -> bool:
    # A server in C may ignore everything after a NUL.
    return "\0" not in secret and not any("\ud800" <= character <= "\udfff" for character in secret)


def _tls_context(ca_file: FilePath | None, verify: bool) -> tls.SSLContext:
    context = tls_context(ca_file)
    if not verify:
        LOG.warning(
            "the directory's certificate is not verified: "
            "anyone on the network path can read secrets"
        )
        context.check_hostname = False
        context.verify_mode = tls.CERT_NONE
    return context
