"""DNS lookups through the configured resolvers."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from anchor.acme.problems import ProblemType
from anchor.acme.settings import ResolverAddress
from anchor.acme.validation.failures import ChallengeFailed, NoSuchName
from anchor.acme.validation.time_limit import TimeLimit

try:
    import dns.exception
    import dns.message
    import dns.name
    import dns.query
    import dns.rcode
    import dns.resolver
except ImportError as error:
    raise ImportError(f"{error}; `pip install anchor[acme]` installs what it needs") from error

# A datagram can be lost, and a resolver can be down.
_SECONDS = 2.0
_ROUNDS = 3
_MAX_ALIASES = 8
# What the DNS flag day of 2020 recommends: larger datagrams are fragmented.
_PAYLOAD = 1232


class CaaRecord(NamedTuple):
    """A CAA record (RFC 8659 section 4.1)."""

    flags: int
    tag: str
    value: bytes


class Resolver:
    """Lookups of one validation.

    Args:
        servers: the resolvers; those of the system if there are none.
        limit: how much time the validation has.
    """

    def __init__(self, servers: Sequence[ResolverAddress], limit: TimeLimit):
        self._servers = servers or _system_servers()
        self._limit = limit

    def within(self, limit: TimeLimit) -> Resolver:
        """A resolver with another time limit."""
        return Resolver(self._servers, limit)

    def addresses(self, name: str) -> list[IPv4Address | IPv6Address]:
        """The addresses of a name, those of IPv6 and IPv4 in turn; at least one.

        Raises:
            ChallengeFailed: it has none, or the lookup failed.
        """
        found: list[list[IPv4Address | IPv6Address]] = []
        failures: list[ChallengeFailed] = []
        for kind in ("AAAA", "A"):
            try:
                records = self._look_up(name, kind)
                found.append([ip_address(each.address) for each in records])
            except ChallengeFailed as error:
                failures.append(error)
        addresses = [each for each in chain(*zip_longest(*found)) if each is not None]
        if addresses:
            return addresses
        if failures:
            raise failures[-1]
        raise ChallengeFailed(ProblemType.DNS, f"{name} has no address: add an A or AAAA record")

    def texts(self, name: str) -> list[bytes]:
        """The contents of the TXT records of a name.

        Raises:
            ChallengeFailed: there is no such name, or the lookup failed.
        """
        return [b"".join(each.strings) for each in self._look_up(name, "TXT")]

    def caa(self, name: str) -> list[CaaRecord]:
        """The CAA records of a name, or of the name that it is an alias for.

        Raises:
            ChallengeFailed: the lookup failed.
        """
        try:
            records = self._look_up(name, "CAA")
        except NoSuchName:
            return []
        return [
            CaaRecord(each.flags, each.tag.decode("ascii", "replace").lower(), each.value)
            for each in records
        ]

    def _look_up(self, name: str, kind: str) -> list[Any]:
        """The records of a kind; aliases are followed."""
        asked = f"the {kind} records of {name}"
        try:
            current = dns.name.from_text(name)
            for _ in range(_MAX_ALIASES):
                result = self._answer(current, kind, asked).resolve_chaining()
                if result.answer is not None:
                    return list(result.answer)
                if result.canonical_name == current:
                    return []
                # The resolver answers with the alias only.
                current = result.canonical_name
        except dns.message.ChainTooLong:
            pass
        except dns.exception.DNSException as error:
            raise _failed(asked, f"the answer is not usable ({type(error).__name__})") from None
        raise _failed(asked, "there are too many aliases (CNAME)")

    def _answer(self, name: dns.name.Name, kind: str, asked: str) -> dns.message.QueryMessage:
        query = dns.message.make_query(name, kind, use_edns=0, payload=_PAYLOAD)
        reason = "no resolver answers in time"
        for _ in range(_ROUNDS):
            silent = False
            for server in self._servers:
                try:
                    answer = self._ask(server, query)
                except (TimeoutError, dns.exception.Timeout):
                    silent = True
                    continue
                except (OSError, EOFError, ValueError, dns.exception.DNSException):
                    reason = "the resolver cannot be reached, or its answer is not usable"
                    continue
                code = answer.rcode()
                if code == dns.rcode.NXDOMAIN:
                    raise NoSuchName(
                        ProblemType.DNS, f"{asked} do not exist: there is no such name (NXDOMAIN)"
                    )
                if code == dns.rcode.NOERROR and isinstance(answer, dns.message.QueryMessage):
                    return answer
                reason = f"the resolver answers {dns.rcode.to_text(code)}"
            if not silent:
                break
        raise _failed(asked, reason)

    def _ask(self, server: ResolverAddress, query: dns.message.Message) -> dns.message.Message:
        seconds = self._seconds()
        try:
            with _DatagramSocket(server.host, TimeLimit(seconds)) as connection:
                return dns.query.udp(
                    query,
                    server.host,
                    port=server.port,
                    timeout=seconds,
                    # Forged datagrams must not end the lookup.
                    ignore_unexpected=True,
                    ignore_errors=True,
                    raise_on_truncation=True,
                    sock=connection,
                )
        except dns.message.Truncated:
            return dns.query.tcp(query, server.host, port=server.port, timeout=self._seconds())

    def _seconds(self) -> float:
        return min(_SECONDS, self._limit.left())


class _DatagramSocket(socket.socket):
    """A socket for one query.

    dnspython looks at the time only when no datagram is waiting, so that a flood of them would keep
    it busy.
    """

    def __init__(self, host: str, limit: TimeLimit):
        super().__init__(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._limit = limit
        self.setblocking(False)

    def recvfrom(self, *arguments: int) -> tuple[bytes, Any]:
        """The next datagram and its sender.

        Raises:
            TimeoutError: the time is over.
        """
        self._limit.left()
        return super().recvfrom(*arguments)


def _failed(asked: str, reason: str) -> ChallengeFailed:
    return ChallengeFailed(ProblemType.DNS, f"the lookup of {asked} failed: {reason}")


def _system_servers() -> list[ResolverAddress]:
    """The resolvers in ``/etc/resolv.conf``, read again for each validation."""
    try:
        system = dns.resolver.Resolver()
    except dns.exception.DNSException:
        return []
    return [ResolverAddress(str(each), system.port) for each in system.nameservers]
