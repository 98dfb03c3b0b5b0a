"""An LDAP directory: who can bind there is who they say they are, and its groups are theirs."""

from __future__ import annotations

import logging
import re
import secrets
import ssl as tls
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic

from anchor.auth import distinguished_names
from anchor.auth.deadline import Deadline
from anchor.auth.ldap_connection import (
    Directory,
    Entry,
    LdapConnection,
    escape_in_filter,
    validate_filter,
)
from anchor.auth.results import AuthDetails
from anchor.config.diagnostics import Diagnostics
from anchor.config.option_types import FilePath, Secret, SecretEnv, SecretFile, one_secret
from anchor.errors import BackendUnavailable, ConfigurationError, NotAuthenticated

LOG = logging.getLogger(__name__)

# Active Directory's LDAP_MATCHING_RULE_IN_CHAIN: a member of a member is a member.
_IN_CHAIN = "1.2.840.113556.1.4.1941"
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
    """Asks a directory: OpenLDAP, Active Directory, and what else speaks LDAP.

    There are three ways to find out who somebody is: with ``domain`` they bind as
    ``user@domain``; with ``user_dn`` as a name made of theirs; with ``service_dn`` Anchor looks for
    their entry first, and then they bind as that.

    Args:
        host: the directory's host, or a list of hosts, which are tried in this order.
        base: where in the directory to look for users' entries.
        port: the port; by default 636 with ``ssl``, 389 without.
        ssl: whether TLS comes before all else (LDAPS).
        start_tls: whether TLS begins inside a connection to the plain port; needs ``"ssl": false``.
        ca_file: the CAs, in PEM, that hosts' certificates may be of, rather than the system's.
        verify: whether a host has to prove with a certificate who it is; without it anyone between
            can read the secrets, which is warned of at the start.
        allow_plaintext: whether to send secrets without TLS. With neither ``ssl`` nor ``start_tls``
            it has to be set.
        connect_timeout: how many seconds connecting to a host may take. All in all a question takes
            no longer than this and ``timeout`` together for each host, and half a second.
        timeout: how many seconds one answer of a host may take.
        domain: how to find out who somebody is, in Active Directory: they bind as ``user@domain``.
            Names with ``@``, a backslash or ``/`` in them are refused. Exactly one of this,
            ``user_dn`` and ``service_dn``.
        user_dn: or they bind as a name made of theirs, such as
            ``uid={user},ou=people,dc=example,dc=com``, and that very entry is read.
        service_dn: or a service account of this name finds their entry, and they bind as that.
        service_secret: the service account's secret. With ``service_dn``, exactly one of this,
            ``service_secret_file`` and ``service_secret_env``.
        service_secret_file: a file that others cannot read, with that secret.
        service_secret_env: an environment variable with that secret.
        filter: what an entry has to match, with ``{user}`` where the user's name goes. By default
            ``(sAMAccountName={user})`` with ``domain``, ``(uid={user})`` otherwise; with another
            ``name_attribute``, that.
        name_attribute: where in an entry the user's name stands, as it is recorded and as
            validators see it; by default ``sAMAccountName`` with ``domain``, ``uid`` otherwise. An
            entry with none or several of them is refused.
        group_attribute: where in an entry its groups stand. An entry without it has no groups.
        group_name: what a group is called: ``first``, the value of the first part of its DN
            (``Nova`` of ``CN=Nova,OU=Groups,DC=example,DC=com``); or ``whole``, what stands in the
            attribute.
        group_base: the groups that count are those below this; by default all of them. Set it where
            others than you can make groups, which might have the names of yours.
        nested_groups: whether to ask Active Directory also for the groups that a user's groups are
            members of. They are looked for below ``group_base``, or else below ``base``.
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
        filter: str | None = None,  # noqa: A002  # it is what directories call it
        name_attribute: str | None = None,
        group_attribute: str = "memberOf",
        group_name: Literal["first", "whole"] = "first",
        group_base: str | None = None,
        nested_groups: bool = False,
    ):
        problems = Diagnostics()
        given = {"domain": domain, "user_dn": user_dn, "service_dn": service_dn}
        if sum(value is not None for value in given.values()) != 1:
            problems.add("", "exactly one of 'domain', 'user_dn' and 'service_dn' is needed")
        for name, value in (given | {"base": base}).items():
            if value is not None and not value.strip():
                problems.add(name, "is empty")
        service: _Account | None = None
        if service_dn is not None:
            with problems.at():
                service = _Account(
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
        self._name_attribute = name_attribute or ("sAMAccountName" if domain else "uid")
        query = filter or f"({self._name_attribute}={{user}})"
        if user_dn is None and "{user}" not in query:
            problems.add("filter", "should have {user} in it")
        with problems.at("filter"):
            validate_filter(query)
        context: tls.SSLContext | None = None
        with problems.at():
            context = _tls_context(ca_file, verify) if ssl or start_tls else None
        problems.raise_if_any()
        self._filter = query
        self._base = base
        self._domain = domain
        self._user_dn = user_dn
        self._service = service
        self._group_attribute = group_attribute
        self._whole_group_name = group_name == "whole"
        self._group_base = group_base
        self._nested_groups = nested_groups
        if port is None:
            port = 636 if ssl else 389
        self._directory = Directory(host, port, context, start_tls, connect_timeout, timeout)
        # Half a second more, so that what ldap3 says of its own time-out is heard.
        self._deadline = Deadline(self._directory.bound + 0.5)

    def principal(self, user: str) -> str:
        """The name without the domain, which is always the same with ``domain``."""
        if self._domain is None:
            return user
        return re.split(r"[\\/]", user)[-1].partition("@")[0]

    def authenticate(
        self, user: str, secret: str, identified: Callable[[str], None] = lambda _name: None
    ) -> AuthDetails:
        """Who binds, by the name and with the groups that stand in the directory.

        Args:
            user: the user name.
            secret: the password.
            identified: is called with the name of the entry that was found for the user name,
                before the password is tried.
        """
        if not (_is_plain(user) and _is_secret(secret)):
            raise NotAuthenticated()
        if self._domain is not None and not set("@\\/").isdisjoint(user):
            # It would be somebody of another domain.
            raise NotAuthenticated()

        def ask(conversation: LdapConnection) -> AuthDetails | None:
            return self._identify(conversation, user, secret, identified)

        identity = self._deadline.call(lambda: self._directory.with_connection(ask))
        if identity is None:
            raise NotAuthenticated()
        return identity

    def _identify(
        self,
        conversation: LdapConnection,
        user: str,
        secret: str,
        identified: Callable[[str], None],
    ) -> AuthDetails | None:
        if self._service is not None:
            found = self._find_and_bind(conversation, self._service, user, secret, identified)
        elif self._user_dn is not None:
            found = self._bind_and_read(conversation, self._user_dn, user, secret)
        else:
            found = self._bind_in_domain(conversation, user, secret)
        if len(found) != 1:
            return None
        entry = found[0]
        names = entry.attributes.get(self._name_attribute.lower(), ())
        if len(names) != 1:
            LOG.warning(
                "%s has not one %s but %d: refused",
                entry.name,
                self._name_attribute,
                len(names),
            )
            return None
        return AuthDetails(names[0], self._groups(conversation, entry))

    def _find_and_bind(
        self,
        conversation: LdapConnection,
        service: _Account,
        user: str,
        secret: str,
        identified: Callable[[str], None],
    ) -> Sequence[Entry]:
        service.bind(conversation)
        found = self._search(conversation, user)
        if len(found) == 1:
            # The filter may find one entry by several of its names.
            identified(found[0].name)
        # Somebody unknown is asked for their secret too: it takes the time that it takes others.
        name = found[0].name if len(found) == 1 else f"cn={secrets.token_hex(8)},{self._base}"
        if not conversation.bind(name, secret):
            return ()
        if self._nested_groups:
            service.bind(conversation)
        return found

    def _bind_and_read(
        self, conversation: LdapConnection, user_dn: str, user: str, secret: str
    ) -> Sequence[Entry]:
        name = user_dn.replace("{user}", distinguished_names.escape(user))
        if not conversation.bind(name, secret):
            return ()
        # The entry that was bound, and no other that matches as well.
        return self._search(conversation, user, name)

    def _bind_in_domain(
        self, conversation: LdapConnection, user: str, secret: str
    ) -> Sequence[Entry]:
        principal = f"{user}@{self._domain}"
        if not conversation.bind(principal, secret):
            return ()
        found = self._search(conversation, user)
        # Active Directory takes the name for a userPrincipalName first, and for a sAMAccountName
        # then; where one user's is the other's, the bind does not prove who was looked up.
        query = f"(userPrincipalName={escape_in_filter(principal)})"
        bound = conversation.search(self._base, query, ("userPrincipalName",))
        if {entry.name for entry in bound} - {entry.name for entry in found}:
            LOG.warning("%r is the userPrincipalName of another user: refused", principal)
            return ()
        return found

    def _search(
        self, conversation: LdapConnection, user: str, only: str | None = None
    ) -> list[Entry]:
        found = conversation.search(
            only or self._base,
            self._filter.replace("{user}", escape_in_filter(user)),
            (self._name_attribute, self._group_attribute),
            only_base=only is not None,
        )
        if len(found) > 1:
            LOG.warning("more than one entry is that of %r: refused", user)
        return found

    def _groups(self, conversation: LdapConnection, entry: Entry) -> tuple[str, ...]:
        groups = set(entry.attributes.get(self._group_attribute.lower(), ()))
        if self._nested_groups:
            member = escape_in_filter(entry.name)
            groups.update(
                conversation.search_all(
                    self._group_base or self._base,
                    f"(&(objectClass=group)(member:{_IN_CHAIN}:={member}))",
                )
            )
        if self._group_base is not None:
            base = self._group_base
            groups = {group for group in groups if distinguished_names.is_below(group, base)}
        if not self._whole_group_name:
            groups = {name for name in map(distinguished_names.first_value, groups) if name}
        return tuple(sorted(groups))


@dataclass(frozen=True)
class _Account:
    name: str
    secret: str

    def __repr__(self) -> str:
        return f"_Account({self.name!r})"

    def bind(self, conversation: LdapConnection) -> None:
        if not conversation.bind(self.name, self.secret):
            raise BackendUnavailable("the directory does not accept the service account")


def _is_plain(user: str) -> bool:
    """Names with line breaks, controls, or spaces around them are nobody's."""
    return user.isprintable() and user.strip() == user and 0 < len(user) <= _LONGEST_NAME


def _is_secret(secret: str) -> bool:
    # A server in C may take what ends at a NUL for all of it.
    return "\0" not in secret and not any("\ud800" <= character <= "\udfff" for character in secret)


def _tls_context(ca_file: FilePath | None, verify: bool) -> tls.SSLContext:
    try:
        context = tls.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError.about(
            "ca_file", f"{ca_file} is no file of CA certificates: {error.strerror or 'not PEM'}"
        ) from None
    if not verify:
        LOG.warning("the directory's certificate is not verified: anyone between can read secrets")
        context.check_hostname = False
        context.verify_mode = tls.CERT_NONE
    return context
