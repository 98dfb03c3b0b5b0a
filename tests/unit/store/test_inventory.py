"""The inventory finds certificates by every property, in pages, and prunes in batches."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from sqlalchemy import select

from anchor.errors import StorageError
from anchor.store.bans import Ban
from anchor.store.database import certificates
from anchor.store.database.bans import Bans
from anchor.store.database.certificates import Selection
from anchor.store.database.tables import BAN_KEYS
from anchor.X509.name_search import query_overlapping, query_valid_for
from tests.support.inventory import add, open_inventory
from tests.support.pki import DAY, now

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def inventory(tmp_path):
    return open_inventory(tmp_path)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    """So that a few certificates fill several pages."""
    monkeypatch.setattr(certificates, "_FIRST_PAGE", 2)
    monkeypatch.setattr(certificates, "_PAGE", 3)
    monkeypatch.setattr(certificates, "_BATCH", 2)
    monkeypatch.setattr(certificates, "_MAX_BATCH", 3)


def fingerprints(inventory, **selection):
    return [found.fingerprint for found in inventory.select(Selection(**selection))]


def test_certificates_come_in_the_order_of_their_end(inventory):
    end = now() + DAY
    ends = [end + number % 4 * HOUR for number in range(11)]
    added = [add(inventory, "a.example.com", not_after=each) for each in ends]

    expected = [added[number] for number in sorted(range(11), key=lambda n: ends[n])]
    assert fingerprints(inventory) == expected


def test_a_record_is_read_as_it_was_stored(inventory):
    fingerprint = add(
        inventory, "a.example.com", user_id="u1", project_id="p1", groups=("a", "b"), door="est"
    )

    record = inventory.find(fingerprint)
    assert record.names == ("DNS:a.example.com",)
    assert record.der == b"der"
    assert record.issuance.groups == ("a", "b")
    assert (record.issuance.user_id, record.issuance.project_id) == ("u1", "p1")
    assert inventory.find("0" * 64) is None


def test_filters_are_combined(inventory):
    first = add(inventory, "a.example.com", requester="Alice", authority="one", key="ab" * 32)
    second = add(inventory, "a.example.com", requester="bob", authority="one", key="ac" * 32)
    third = add(inventory, "b.example.com", requester="alice", authority="two")

    assert fingerprints(inventory, requester="ALICE") == [first, third]
    assert fingerprints(inventory, authority="one") == [first, second]
    assert fingerprints(inventory, authority="one", requester="bob") == [second]
    assert fingerprints(inventory, key="ab" * 32) == [first]
    assert fingerprints(inventory, key="aba") == [first]
    assert fingerprints(inventory, serial=inventory.find(third).serial) == [third]
    names = query_valid_for("a.example.com")
    assert set(fingerprints(inventory, names=names)) == {first, second}
    assert fingerprints(inventory, names=names, requester="bob") == [second]
    assert fingerprints(inventory, names=names, requester="carol") == []


def test_a_requester_is_found_by_name_and_by_identifier_once(inventory):
    both = add(inventory, "a.example.com", requester="alice", user_id="alice")
    by_id = [
        add(inventory, "a.example.com", requester=f"user{number}", user_id="ALICE")
        for number in range(7)
    ]
    add(inventory, "a.example.com", requester="bob", user_id="u2")

    assert sorted(fingerprints(inventory, requester="alice")) == sorted([both, *by_id])
    assert inventory.count(Selection(requester="alice")) == 8
    names = query_valid_for("a.example.com")
    assert inventory.count(Selection(requester="alice", names=names)) == 8


def test_the_times_of_a_selection_include_its_start_and_exclude_its_end(inventory):
    moment = now().replace(microsecond=0)
    found = {hours: add(inventory, "a.example.com", not_after=moment + hours * HOUR)
             for hours in (-2, -1, 0, 1, 2)}  # fmt: skip

    def ends(**times):
        by_end = fingerprints(inventory, **times)
        by_name = fingerprints(inventory, names=query_valid_for("a.example.com"), **times)
        assert by_end == by_name
        assert inventory.count(Selection(**times)) == len(by_end)
        return [hours for hours, fingerprint in found.items() if fingerprint in by_end]

    assert ends(ends_from=moment) == [0, 1, 2]
    assert ends(ends_before=moment) == [-2, -1]
    assert ends(ends_from=moment - HOUR, ends_before=moment + HOUR) == [-1, 0]


def test_certificates_are_found_by_the_time_of_issue(inventory):
    moment = now().replace(microsecond=0)
    add(inventory, "a.example.com", issued_at=moment - 2 * HOUR)
    new = add(inventory, "a.example.com", issued_at=moment - HOUR)

    assert fingerprints(inventory, issued_since=moment - HOUR) == [new]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6, 7])
def test_each_certificate_with_several_matching_names_is_found_once(inventory, count):
    names = ("a.example.com", "*.example.com", "a*.example.com", "b.example.com")
    added = {add(inventory, *names) for _ in range(count)}

    found = fingerprints(inventory, names=query_valid_for("a.example.com"))
    assert len(found) == len(added)
    assert set(found) == added
    below = fingerprints(inventory, names=query_overlapping(".example.com"))
    assert (len(below), set(below)) == (len(added), added)


def test_the_last_end_is_that_of_the_selection(inventory):
    end = now().replace(microsecond=0) + DAY
    add(inventory, "a.example.com", not_after=end, requester="alice")
    add(inventory, "*.example.com", not_after=end + HOUR, requester="bob")
    add(inventory, "other.example.net", not_after=end + DAY, requester="carol", user_id="alice")

    assert inventory.last_end(Selection(names=query_valid_for("a.example.com"))) == end + HOUR
    assert inventory.last_end(Selection(requester="alice")) == end + DAY
    assert inventory.last_end(Selection(requester="bob", ends_from=end + 2 * HOUR)) is None
    assert inventory.last_end(Selection(names=query_valid_for("c.example.org"))) is None
    assert inventory.summarize(Selection()) == (3, end + DAY)


def test_certificates_added_again_are_not_stored_twice(inventory):
    record = inventory.find(add(inventory, "a.example.com"))
    other = replace(record, fingerprint="f" * 64, serial="ffff")

    assert inventory.add_all([(record, {}), (other, {}), (other, {})]) == 1
    assert inventory.count(Selection()) == 2


def test_two_certificates_with_one_serial_number_of_one_ca_are_refused(inventory):
    record = inventory.find(add(inventory, "a.example.com"))
    other = replace(record, fingerprint="f" * 64)

    with pytest.raises(StorageError, match="UNIQUE"):
        inventory.add(other, {})
    assert inventory.count(Selection()) == 1


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_pruning_deletes_expired_certificates_with_their_names_in_batches(inventory, count):
    moment = now().replace(microsecond=0)
    for _ in range(count):
        add(inventory, "old.example.com", not_after=moment - HOUR)
    kept = [add(inventory, "new.example.com", not_after=moment + each) for each in (0 * HOUR, DAY)]

    batches = list(inventory.prune(moment))

    assert sum(batches) == count
    assert all(0 < batch <= 3 for batch in batches)
    assert fingerprints(inventory) == kept
    assert inventory.count(Selection(names=query_valid_for(".example.com"))) == len(kept)


def test_pruning_lifts_the_bans_of_the_certificates_that_it_deletes(inventory):
    moment = now().replace(microsecond=0)
    pruned = [add(inventory, "old.example.com", not_after=moment - HOUR) for _ in range(5)]
    left = add(inventory, "new.example.com", not_after=moment + HOUR)
    kept = [("key", pruned[0]), ("key", "e" * 64), ("name", "old.example.com")]
    kept += [("certificate", left), ("certificate", "f" * 64)]
    bans = Bans(inventory.database)
    for kind, value in [*kept, *(("certificate", each) for each in pruned)]:
        bans.add(Ban(kind=kind, value=value, since=moment))

    sum(inventory.prune(moment))

    assert [(ban.kind, ban.value) for ban in bans.all()] == kept
    with inventory.database.read() as connection:
        found = select(BAN_KEYS.c.ban_id).distinct()
        assert len(connection.execute(found).all()) == len(kept)


@pytest.mark.parametrize(
    "name",
    ["x" * 300 + ".example.com", "a\0b", "\udcff", "\ud800.example.com", "\x1b[2J", "a" * 70_000],
)
def test_hostile_names_and_requesters_are_stored_and_found(inventory, name):
    fingerprint = add(inventory, name, "a.example.com", requester=name, user_id=name)
    add(inventory, f"{name}x", requester=f"{name[:200]}x")

    assert fingerprint in fingerprints(inventory, requester=name)
    assert fingerprints(inventory, names=query_valid_for("a.example.com")) == [fingerprint]
    assert fingerprints(inventory, names=query_overlapping(".example.com"))
    if name.isprintable() and name.isascii():
        assert fingerprints(inventory, names=query_overlapping(name)) == [fingerprint]
