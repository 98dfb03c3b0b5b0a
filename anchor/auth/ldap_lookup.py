"""A user's bind, entry and groups in an LDAP directory."""

from __future__ import annotations

import datetime
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from anchor.auth import distinguished_names, ldap_accounts
from anchor.auth.ldap_connection import Entry, LdapConnection, escape_in_filter
from anchor.auth.ldap_filters import match_any_user
from anchor.auth.results import AuthDetails
from anchor.errors import BackendUnavailable, RequesterGone

LOG = logging.getLogger(__name__)

# Active Directory's LDAP_MATCHING_RULE_IN_CHAIN: a member of a member is a member.
_IN_CHAIN = "1.2.840.113556.1.4.1941"


@dataclass(frozen=True)
class ServiceAccount:
    """The account with which Anchor searches the directory."""

    dn: str
    secret: str = field(repr=False)

    def bind(self, connection: LdapConnection) -> None:
        """Bind as this account.

        Raises:
            BackendUnavailable: the directory rejects the secret.
        """
        if not connection.bind(self.dn, self.secret):
            raise BackendUnavailable("the directory does not accept the service account")


@dataclass(frozen=True, kw_only=True)
class UserLookup:
    """Checks a user's password with a bind, and reads the user's name and groups.

    Exactly one of ``domain``, ``user_dn`` and ``service`` is set; it decides how a user binds.

    Attributes:
        base: the DN below which users are searched.
        filter: the filter that matches a user's entry, with ``{user}`` for the user name.
        name_attribute: the attribute with the user's canonical name.
        group_attribute: the attribute with the groups' DNs.
        whole_group_name: True if a group's name is its DN, False if it is the first value in it.
        group_base: the DN below which groups count; None for all.
        nested_groups: whether to search for the groups that the user's groups are members of.
        domain: the Active Directory domain in which users bind as ``user@domain``.
        user_dn: the template of the DN with which users bind, with ``{user}`` for the user name.
        service: the account that searches for the DN with which the user then binds.
    """

    base: str
    filter: str
    name_attribute: str
    group_attribute: str
    whole_group_name: bool
    group_base: str | None
    nested_groups: bool
    domain: str | None
    user_dn: str | None
    service: ServiceAccount | None

    def identify(
        self,
        connection: LdapConnection,
        user: str,
        secret: str,
        on_identified: Callable[[str], None],
    ) -> AuthDetails | None:
        """Return the user's identity, or None if the credentials are wrong.

        Args:
            connection: an open connection to the directory.
            user: the user name.
            secret: the password.
            on_identified: called with the DN of the user's entry before the password is checked, if
                the service account finds exactly one.
        """
        if self.service is not None:
            entries = self._find_and_bind(connection, self.service, user, secret, on_identified)
        elif self.user_dn is not None:
            entries = self._bind_and_read(connection, self.user_dn, user, secret)
        else:
            entries = self._bind_in_domain(connection, user, secret)
        return self._identity(connection, entries[0]) if len(entries) == 1 else None

    def find(
        self, connection: LdapConnection, service: ServiceAccount, name: str, now: datetime.datetime
    ) -> AuthDetails:
        """Return the identity of a user, without the user's password.

        Args:
            connection: an open connection to the directory.
            service: the account that searches.
            name: the user's canonical name.
            now: the time, in UTC.

        Raises:
            RequesterGone: there is not exactly one such user whom the filter matches, or the
                account is disabled or expired.
        """
        service.bind(connection)
        entries = self._search_by_name(connection, name, ldap_accounts.ATTRIBUTES)
        identity = self._identity(connection, entries[0]) if len(entries) == 1 else None
        if identity is None:
            raise RequesterGone()
        if ldap_accounts.is_disabled(entries[0], now):
            raise RequesterGone("the requester's account is disabled or expired")
        return identity

    def _identity(self, connection: LdapConnection, entry: Entry) -> AuthDetails | None:
        """The user with an entry; None if it does not have exactly one name."""
        names = self._names(entry)
        if len(names) != 1:
            LOG.warning(
                "%s has %d values of %s, but should have exactly one: refused",
                entry.name,
                len(names),
                self.name_attribute,
            )
            return None
        return AuthDetails(names[0], self._groups(connection, entry))

    def _find_and_bind(
        self,
        connection: LdapConnection,
        service: ServiceAccount,
        user: str,
        secret: str,
        on_identified: Callable[[str], None],
    ) -> Sequence[Entry]:
        service.bind(connection)
        entries = self._search(connection, self._query(user), user)
        if len(entries) == 1:
            # The filter may match one entry by several of its names.
            dn = entries[0].name
            on_identified(dn)
        else:
            # Bind for an unknown user too, so that the time does not tell who exists.
            dn = f"cn={secrets.token_hex(8)},{self.base}"
        if not connection.bind(dn, secret):
            return ()
        compares_name = self.filter == f"({self.name_attribute}={{user}})"
        if self.nested_groups or not compares_name:
            service.bind(connection)
        if not compares_name and len(entries) == 1:
            # Found by another attribute: another user may have the name, and certificates for it.
            for name in self._names(entries[0])[:1]:
                if len(self._search_by_name(connection, name)) > 1:
                    return ()
        return entries

    def _bind_and_read(
        self, connection: LdapConnection, user_dn: str, user: str, secret: str
    ) -> Sequence[Entry]:
        dn = user_dn.replace("{user}", distinguished_names.escape(user))
        if not connection.bind(dn, secret):
            return ()
        # Read only the entry of the bind: the filter may match others.
        return self._search(connection, self._query(user), user, dn=dn)

    def _bind_in_domain(
        self, connection: LdapConnection, user: str, secret: str
    ) -> Sequence[Entry]:
        principal = f"{user}@{self.domain}"
        if not connection.bind(principal, secret):
            return ()
        entries = self._search(connection, self._query(user), user)
        # Active Directory first reads the name as a userPrincipalName, then as a sAMAccountName.
        # If two users share it in different attributes, the bind may authenticate the other user.
        query = f"(userPrincipalName={escape_in_filter(principal)})"
        bound = connection.search(self.base, query, ("userPrincipalName",))
        if {entry.name for entry in bound} - {entry.name for entry in entries}:
            LOG.warning("%r is the userPrincipalName of another user: refused", principal)
            return ()
        return entries

    def _names(self, entry: Entry) -> tuple[str, ...]:
        return entry.attributes.get(self.name_attribute.lower(), ())

    def _search_by_name(
        self, connection: LdapConnection, name: str, more_attributes: tuple[str, ...] = ()
    ) -> list[Entry]:
        """Search users with a canonical name whom the filter matches, with any user name."""
        query = f"({self.name_attribute}={escape_in_filter(name)})"
        query = f"(&{query}{match_any_user(self.filter)})"
        return self._search(connection, query, name, more_attributes)

    def _query(self, user: str) -> str:
        """The filter for a user name."""
        return self.filter.replace("{user}", escape_in_filter(user))

    def _search(
        self,
        connection: LdapConnection,
        query: str,
        user: str,
        more_attributes: tuple[str, ...] = (),
        *,
        dn: str | None = None,
    ) -> list[Entry]:
        """Search below the base, or read the entry at ``dn``."""
        entries = connection.search(
            dn or self.base,
            query,
            (self.name_attribute, self.group_attribute, *more_attributes),
            only_base=dn is not None,
        )
        if len(entries) > 1:
            LOG.warning("more than one entry matches the user name %r: refused", user)
        return entries

    def _groups(self, connection: LdapConnection, entry: Entry) -> tuple[str, ...]:
        groups = set(entry.attributes.get(self.group_attribute.lower(), ()))
        if self.nested_groups:
            member = escape_in_filter(entry.name)
            groups.update(
                connection.search_all(
                    self.group_base or self.base,
                    f"(&(objectClass=group)(member:{_IN_CHAIN}:={member}))",
                )
            )
        if self.group_base is not None:
            base = self.group_base
            groups = {group for group in groups if distinguished_names.is_below(group, base)}
        if not self.whole_group_name:
            groups = {name for name in map(distinguished_names.first_value, groups) if name}
        return tuple(sorted(groups))
