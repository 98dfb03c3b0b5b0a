"""Lookups say what went wrong, and end in time."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from anchor.acme.problems import ProblemType
from anchor.acme.settings import ResolverAddress
from anchor.acme.validation.failures import ChallengeFailed, NoSuchName
from anchor.acme.validation.resolver import Resolver
from anchor.acme.validation.time_limit import TimeLimit
from tests.support.servers.dns_stub import SILENCE, DnsStub, zone

NAME = "www.example.com"


def resolver(*stubs, seconds=5):
    return Resolver([stub.address for stub in stubs], TimeLimit(seconds))


def test_addresses_of_both_families_come_in_turn():
    records = {(NAME, "A"): ["10.0.0.1", "10.0.0.2"], (NAME, "AAAA"): ["2001:db8::1"]}
    with DnsStub(zone(records)) as stub:
        assert sorted(map(str, resolver(stub).addresses(NAME)[:2])) in (
            ["10.0.0.1", "2001:db8::1"],
            ["10.0.0.2", "2001:db8::1"],
        )


def test_a_failed_lookup_of_one_family_does_not_matter_if_the_other_has_addresses():
    def answer(_name, kind):
        return "SERVFAIL" if kind == "AAAA" else ["10.0.0.1"]

    with DnsStub(answer) as stub:
        assert list(map(str, resolver(stub).addresses(NAME))) == ["10.0.0.1"]


def test_the_strings_of_a_text_are_joined():
    with DnsStub(zone({(NAME, "TXT"): ['"one" " and two"', '"three"']})) as stub:
        assert sorted(resolver(stub).texts(NAME)) == [b"one and two", b"three"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("SERVFAIL", "the resolver answers SERVFAIL"),
        ("REFUSED", "the resolver answers REFUSED"),
    ],
)
def test_an_error_of_the_resolver_is_not_taken_for_a_missing_name(answer, reason):
    with DnsStub(lambda *_: answer) as stub, pytest.raises(ChallengeFailed) as caught:
        resolver(stub).texts(NAME)
    assert not isinstance(caught.value, NoSuchName)
    assert str(caught.value) == f"the lookup of the TXT records of {NAME} failed: {reason}"
    assert caught.value.kind is ProblemType.DNS


def test_a_missing_name_is_called_missing():
    with DnsStub(lambda *_: "NXDOMAIN") as stub, pytest.raises(NoSuchName, match="NXDOMAIN"):
        resolver(stub).texts(NAME)


def test_a_name_without_addresses_is_refused():
    with (
        DnsStub(lambda *_: []) as stub,
        pytest.raises(ChallengeFailed, match="has no address: add an A or AAAA record"),
    ):
        resolver(stub).addresses(NAME)


def test_a_truncated_answer_is_asked_for_again_over_tcp():
    texts = [f'"{number:0200}"' for number in range(50)]
    with DnsStub(zone({(NAME, "TXT"): texts}), truncated=True) as stub:
        assert len(resolver(stub).texts(NAME)) == 50
    assert [transport for *_, transport in stub.queries] == ["udp", "tcp"]


def test_an_alias_is_followed_if_the_resolver_answers_with_the_alias_only():
    records = {
        (NAME, "TXT"): [("CNAME", "other.example.net.")],
        ("other.example.net", "TXT"): ['"here"'],
    }
    with DnsStub(zone(records)) as stub:
        assert resolver(stub).texts(NAME) == [b"here"]


def test_aliases_in_a_circle_end():
    def answer(name, _kind):
        return [("CNAME", "b.example.com." if name == "a.example.com" else "a.example.com.")]

    with DnsStub(answer) as stub, pytest.raises(ChallengeFailed, match="too many aliases"):
        resolver(stub).texts("a.example.com")
    assert len(stub.queries) <= 10


def test_an_alias_of_itself_is_no_record():
    with (
        DnsStub(lambda *_: [("CNAME", f"{NAME}.")]) as stub,
        pytest.raises(ChallengeFailed, match="failed"),
    ):
        resolver(stub).texts(NAME)


def test_a_resolver_that_never_answers_costs_the_time_of_the_validation_only():
    start = time.monotonic()
    with (
        DnsStub(lambda *_: SILENCE) as stub,
        pytest.raises(ChallengeFailed, match="no resolver answers in time"),
    ):
        resolver(stub, seconds=1).texts(NAME)
    assert 0.9 < time.monotonic() - start < 2


# A process: threads of this one would wait for each other.
FLOOD = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)
    peer = server.recvfrom(4096)[1]
    end = time.monotonic() + 6
    while time.monotonic() < end:
        for _ in range(100):
            server.sendto(b"x" * 20, peer)
"""


@pytest.mark.slow
def test_a_flood_of_datagrams_ends_with_the_time_of_the_validation():
    with subprocess.Popen([sys.executable, "-c", FLOOD], stdout=subprocess.PIPE) as process:
        try:
            address = ResolverAddress("127.0.0.1", int(process.stdout.readline()))
            start = time.monotonic()
            with pytest.raises(ChallengeFailed, match="no resolver answers in time"):
                Resolver([address], TimeLimit(1)).texts(NAME)
            assert 0.9 < time.monotonic() - start < 1.6
        finally:
            process.kill()


def test_a_resolver_with_an_ipv6_address_is_asked():
    with DnsStub(zone({(NAME, "TXT"): ["one"]}), host="::1") as stub:
        assert resolver(stub).texts(NAME) == [b"one"]


def test_the_next_resolver_is_asked_if_one_fails_or_is_silent():
    records = zone({(NAME, "TXT"): ['"here"']})
    for failing in (SILENCE, "SERVFAIL"):
        with DnsStub(lambda *_, failing=failing: failing) as first, DnsStub(records) as second:
            assert resolver(first, second).texts(NAME) == [b"here"]


def test_caa_records_of_a_missing_name_are_none():
    with DnsStub(lambda *_: "NXDOMAIN") as stub:
        assert resolver(stub).caa(NAME) == []


def test_a_name_that_is_too_long_is_refused_without_a_query():
    name = "_acme-challenge." + ".".join(["a" * 63] * 3 + ["a" * 58])
    with DnsStub(lambda *_: []) as stub, pytest.raises(ChallengeFailed, match="not usable"):
        resolver(stub).texts(name)
    assert stub.queries == []
