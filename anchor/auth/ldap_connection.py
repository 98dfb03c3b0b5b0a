"""Connections to an LDAP directory, by ldap3: binds and searches."""

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

# The results for wrong, unknown, disabled, locked and expired accounts.
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
        name: the distinguished name.
        attributes: the values that are valid UTF-8, by the lower-case name of the attribute.
    """

    name: str
    attributes: Mapping[str, tuple[str, ...]]


class Unreachable(Exception):
    """This host gave no usable answer; the next one may."""


class LdapConnection:
    """One connection to one host."""

    def __init__(self, connection: Any):
        self._connection = connection

    def bind(self, name: str, secret: str) -> bool:
        """Whether the directory accepts the secret.

        Raises:
            Unreachable: the directory gave another answer than yes or no.
        """
        if not secret or not name:
            return False
        if self._connection.closed:
            # ldap3 would connect again, and send the secret without StartTLS.
            raise Unreachable("the connection was closed")
        self._connection.user = name
        # As bytes: ldap3 applies SASLprep to text, which may leave an empty password.
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
        """The first two matching entries: callers need exactly one."""
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
        return [_entry(item) for item in self._connection.response if _is_entry(item)]

    def search_all(self, base: str, query: str) -> list[str]:
        """The DNs of all matching entries, read in pages, which Active Directory requires."""
        names: list[str] = []
        cookie: bytes | None = None
        while True:
            self._connection.search(
                base, query, attributes=["1.1"], paged_size=_PAGE, paged_cookie=cookie
            )
            result = self._connection.result
            if result["result"] != RESULT_SUCCESS:
                raise Unreachable(f"the search failed: {_describe(result)}")
            names += [item["dn"] for item in self._connection.response if _is_entry(item)]
            controls = result.get("controls") or {}
            paging = controls.get("1.2.840.113556.1.4.319") or {"value": {"cookie": b""}}
            cookie = paging["value"]["cookie"]
            if not cookie:
                return names


@dataclass(frozen=True)
class Directory:
    """The address of a directory, and how to connect to it.

    Attributes:
        hosts: the host names, tried in this order.
        port: the port of every host.
        tls: how to verify a host's certificate; None for no TLS.
        start_tls: True for StartTLS, False for LDAPS.
        connect_timeout: how many seconds a connection to one host may take.
        timeout: how many seconds each answer may take.
    """

    hosts: tuple[str, ...]
    port: int
    tls: ssl.SSLContext | None
    start_tls: bool
    connect_timeout: float
    timeout: float

    @property
    def max_seconds(self) -> float:
        """How many seconds it takes at most until every host has failed."""
        return len(self.hosts) * (self.connect_timeout + self.timeout)

    def with_connection(self, use: Callable[[LdapConnection], Result]) -> Result:
        """Return the result of ``use`` with a connection to the first host that works.

        Raises:
            BackendUnavailable: no host works.
        """
        failures: list[str] = []
        cause: Exception | None = None
        for host in self.hosts:
            try:
                with self._connected(host) as connection:
                    return use(connection)
            except AnchorError:
                raise
            except Exception as error:  # noqa: BLE001  # ldap3 raises anything for malformed answers
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
            # ldap3 sets a socket option that has whole seconds.
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
                # After a failed handshake ldap3 believes that it is closed.
                connection.socket.close()


def escape_in_filter(value: str) -> str:
    """Escape a value for a search filter (RFC 4515 3)."""
    escaped: str = escape_filter_chars(value)
    return escaped


def validate_filter(template: str) -> None:
    """Raise ConfigurationError if the template does not make a valid filter."""
    try:
        parse_filter(template.replace("{user}", "user"), None, True, True, None, False)
    except LDAPException as error:
        raise ConfigurationError.about("", f"is not a filter: {error}") from None


class _Tls(ldap3.Tls):  # type: ignore[misc]  # ldap3 has no types
    """TLS verified by Python, because ldap3's own check of names does not support IP addresses."""

    def __init__(self, context: ssl.SSLContext, timeout: float):
        super().__init__(validate=context.verify_mode)
        self._context = context
        self._timeout = timeout

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """Start TLS on the connection's socket."""
        connection.socket.settimeout(self._timeout)
        connection.socket = self._context.wrap_socket(
            connection.socket, server_hostname=connection.server.host
        )


def _describe(result: Mapping[str, Any]) -> str:
    return f"{result.get('description')}, {result.get('message')}".strip(", ")


def _is_entry(item: Mapping[str, Any]) -> bool:
    """False for a referral to another directory, which Anchor does not follow."""
    return bool(item["type"] == "searchResEntry")


def _entry(item: Mapping[str, Any]) -> Entry:
    attributes: dict[str, tuple[str, ...]] = {}
    for description, values in item["raw_attributes"].items():
        # For many groups Active Directory sends memberOf;range=0-1499 and an empty memberOf.
        name = description.partition(";")[0].lower()
        attributes[name] = attributes.get(name, ()) + tuple(_texts(values))
    return Entry(item["dn"], attributes)


def _texts(values: Sequence[bytes] | None) -> Iterator[str]:
    # ldap3 returns None for an attribute without values.
    for value in values or ():
        try:
            yield bytes(value).decode()
        except UnicodeDecodeError:
            continue
