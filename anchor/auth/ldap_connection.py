"""Conversations with an LDAP directory, over ldap3: who binds, and what is found."""

from __future__ import annotations

import logging
import math
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from anchor.errors import AnchorError, BackendUnavailable, ConfigurationError

try:
    import ldap3
    from ldap3.core.exceptions import LDAPException
    from ldap3.core.results import (
        RESULT_CONSTRAINT_VIOLATION,
        RESULT_INAPPROPRIATE_AUTHENTICATION,
        RESULT_INSUFFICIENT_ACCESS_RIGHTS,
        RESULT_INVALID_CREDENTIALS,
        RESULT_INVALID_DN_SYNTAX,
        RESULT_NO_SUCH_OBJECT,
        RESULT_SIZE_LIMIT_EXCEEDED,
        RESULT_SUCCESS,
        RESULT_UNWILLING_TO_PERFORM,
    )
    from ldap3.operation.search import parse_filter
    from ldap3.utils.conv import escape_filter_chars
except ImportError as error:
    raise ImportError(f"{error}; `pip install anchor[ldap]` installs what it needs") from error

LOG = logging.getLogger(__name__)

# What directories say of wrong, unknown, disabled, locked and expired accounts.
_REFUSED = frozenset(
    {
        RESULT_INVALID_CREDENTIALS,
        RESULT_INAPPROPRIATE_AUTHENTICATION,
        RESULT_INSUFFICIENT_ACCESS_RIGHTS,
        RESULT_CONSTRAINT_VIOLATION,
        RESULT_INVALID_DN_SYNTAX,
        RESULT_NO_SUCH_OBJECT,
        RESULT_UNWILLING_TO_PERFORM,
    }
)
_PAGE = 500

Result = TypeVar("Result")


@dataclass(frozen=True)
class Entry:
    """An entry of the directory.

    Attributes:
        name: its distinguished name.
        attributes: the values that are text, by the attribute's name in small letters; none for an
            attribute that has none.
    """

    name: str
    attributes: Mapping[str, tuple[str, ...]]


class Unreachable(Exception):
    """The host could not be talked to; another may do."""


class LdapConnection:
    """One connection to one host."""

    def __init__(self, connection: Any):
        self._connection = connection

    def bind(self, name: str, secret: str) -> bool:
        """Whether the directory accepts the secret.

        Raises:
            Unreachable: it cannot say.
        """
        # As octets, or ldap3 changes the secret by the rules of SASLprep, maybe to an empty one.
        if not secret or not name:
            return False
        if self._connection.closed:
            # ldap3 would connect anew, and tell the secret to a connection without StartTLS.
            raise Unreachable("the connection was closed")
        self._connection.user = name
        self._connection.password = secret.encode()
        self._connection.authentication = ldap3.SIMPLE
        self._connection.bind(read_server_info=False)
        result = self._connection.result
        if result["result"] == RESULT_SUCCESS:
            return True
        if result["result"] in _REFUSED:
            return False
        raise Unreachable(f"the bind failed: {_describe(result)}")

    def search(
        self, base: str, query: str, attributes: Sequence[str], *, only_base: bool = False
    ) -> list[Entry]:
        """The entries that match, but not more than two: who asks wants exactly one."""
        self._connection.search(
            base,
            query,
            ldap3.BASE if only_base else ldap3.SUBTREE,
            attributes=list(attributes),
            size_limit=2,
        )
        result = self._connection.result
        if result["result"] == RESULT_NO_SUCH_OBJECT:
            LOG.warning("the directory has no %r, or does not show it", base)
        elif result["result"] not in (RESULT_SUCCESS, RESULT_SIZE_LIMIT_EXCEEDED):
            raise Unreachable(f"the search failed: {_describe(result)}")
        return [_entry(found) for found in self._connection.response if _is_entry(found)]

    def search_all(self, base: str, query: str) -> list[str]:
        """The names of all entries that match, in pages, as Active Directory wants it."""
        names: list[str] = []
        cookie: bytes | None = None
        while True:
            self._connection.search(
                base, query, attributes=["1.1"], paged_size=_PAGE, paged_cookie=cookie
            )
            result = self._connection.result
            if result["result"] != RESULT_SUCCESS:
                raise Unreachable(f"the search failed: {_describe(result)}")
            names += [found["dn"] for found in self._connection.response if _is_entry(found)]
            controls = result.get("controls") or {}
            paging = controls.get("1.2.840.113556.1.4.319") or {"value": {"cookie": b""}}
            cookie = paging["value"]["cookie"]
            if not cookie:
                return names


@dataclass(frozen=True)
class Directory:
    """Where a directory is, and how to connect to it.

    Attributes:
        hosts: to try, in this order.
        tls: how to verify a host; None talks without TLS.
        start_tls: TLS begins inside an LDAP connection, rather than before it.
        connect_timeout: how many seconds connecting may take.
        timeout: how many seconds each answer may take.
    """

    hosts: tuple[str, ...]
    port: int
    tls: ssl.SSLContext | None
    start_tls: bool
    connect_timeout: float
    timeout: float

    @property
    def bound(self) -> float:
        """How many seconds a conversation may take, with each of the hosts in vain."""
        return len(self.hosts) * (self.connect_timeout + self.timeout)

    def with_connection(self, talk: Callable[[LdapConnection], Result]) -> Result:
        """What ``talk`` makes of a conversation with the first host that has one.

        Raises:
            BackendUnavailable: there is no such host.
        """
        failures: list[str] = []
        cause: Exception | None = None
        for host in self.hosts:
            try:
                with self._connected(host) as conversation:
                    return talk(conversation)
            except AnchorError:
                raise
            except Exception as error:  # noqa: BLE001  # ldap3 trips over garbage in any way
                failures.append(f"{host}: {type(error).__name__}: {error}")
                cause = error
        raise BackendUnavailable(f"no directory answers: {'; '.join(failures)}") from cause

    @contextmanager
    def _connected(self, host: str) -> Iterator[LdapConnection]:
        server = ldap3.Server(
            host,
            self.port,
            use_ssl=self.tls is not None and not self.start_tls,
            get_info=ldap3.NONE,
            tls=None if self.tls is None else _Tls(self.tls, self.timeout),
            connect_timeout=self.connect_timeout,
        )
        connection = ldap3.Connection(
            server,
            auto_referrals=False,
            check_names=False,
            # It is passed on to the system as whole seconds.
            receive_timeout=math.ceil(self.timeout),
        )
        try:
            connection.open(read_server_info=False)
            if self.start_tls:
                connection.start_tls(read_server_info=False)
            yield LdapConnection(connection)
        finally:
            connection.strategy.close()
            if connection.socket is not None:
                # After a failed handshake ldap3 takes it for closed.
                connection.socket.close()


def escape_in_filter(value: str) -> str:
    """A value that is one value in a search filter (RFC 4515), whatever is in it."""
    escaped: str = escape_filter_chars(value)
    return escaped


def validate_filter(template: str) -> None:
    """Raise a ConfigurationError if the template, with a user's name in it, is no filter."""
    try:
        parse_filter(template.replace("{user}", "user"), None, True, True, None, False)
    except LDAPException as error:
        raise ConfigurationError.about("", f"is not a filter: {error}") from None


class _Tls(ldap3.Tls):  # type: ignore[misc]  # ldap3 has no types
    """TLS as Python verifies it; ldap3's own comparison of names does not know addresses."""

    def __init__(self, context: ssl.SSLContext, timeout: float):
        super().__init__(validate=context.verify_mode)
        self._context = context
        self._timeout = timeout

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """Turn the connection's socket into one with TLS."""
        connection.socket.settimeout(self._timeout)
        connection.socket = self._context.wrap_socket(
            connection.socket, server_hostname=connection.server.host
        )


def _describe(result: Mapping[str, Any]) -> str:
    return f"{result.get('description')}, {result.get('message')}".strip(", ")


def _is_entry(found: Mapping[str, Any]) -> bool:
    """Referrals to other directories stand among the entries, and are not followed."""
    return bool(found["type"] == "searchResEntry")


def _entry(found: Mapping[str, Any]) -> Entry:
    attributes: dict[str, tuple[str, ...]] = {}
    for description, values in found["raw_attributes"].items():
        # Active Directory answers an empty memberOf beside a long memberOf;range=0-1499.
        name = description.partition(";")[0].lower()
        attributes[name] = attributes.get(name, ()) + tuple(_texts(values))
    return Entry(found["dn"], attributes)


def _texts(values: Sequence[bytes] | None) -> Iterator[str]:
    # ldap3 has None for an attribute without values.
    for value in values or ():
        try:
            yield bytes(value).decode()
        except UnicodeDecodeError:
            continue
