"""``audit.target: file``: a chain of hashes that can be verified."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import itertools
import json
import os
import pty
import random
import re
import resource
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from anchor.audit import chain, checkpoints, heads
from anchor.audit.checkpoints import CheckpointInterval, CheckpointKey
from anchor.audit.events import SIGNING, Event
from anchor.audit.file_sink import FileSink
from anchor.audit.issuances import read_issuances
from anchor.audit.report import BrokenRecord
from anchor.audit.rotation import files_of, in_order
from anchor.audit.verification import Verification
from anchor.cli import main
from anchor.store.database.certificates import Inventory
from tests.support.pace import cpu_limit
from tests.support.pki import make_ca, make_csr


@pytest.fixture
def key(tmp_path):
    """The files with the audit key and its public key."""
    assert main.main(["audit", "init", str(tmp_path / "audit.key")]) == 0
    return tmp_path / "audit.key"


@pytest.fixture
def public_key(key):
    return checkpoints.read_public_key(key.with_name("audit.key.pub").read_bytes())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


@pytest.fixture
def trail(path, key):
    """Makes an audit sink, with a checkpoint after this many events."""

    def make(events=1000):
        return FileSink(
            path, CheckpointKey.from_pem(key.read_bytes()), CheckpointInterval(events, 3600), "web1"
        )

    return make


def event(user="alice", **details):
    moment = datetime.datetime.now(datetime.UTC)
    return Event(SIGNING, moment, "default", user, "192.0.2.7", "0123", (), details)


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def fields(path):
    return [json.loads(line) for line in lines(path) if line.endswith(b"}\n")]


def users(*paths):
    return [found["user"] for path in paths for found in fields(path) if "user" in found]


def issued_to(path, user):
    """The fingerprints of a requester's certificates."""
    issuances = read_issuances(path, {})
    return {found for found, issuance in issuances.items() if issuance.requester == user}


def verify(*paths, **options):
    return Verification(**options).verify(paths)


def test_each_line_carries_the_hash_of_the_one_before(trail, path):
    for number in range(3):
        trail().record(event(f"user{number}"))

    found = fields(path)
    assert [1, 2, 3, 4] == [line["number"] for line in found]
    assert found[0]["previous"] == "0" * 64
    assert [line["hash"] for line in found[:-1]] == [line["previous"] for line in found[1:]]
    assert users(path) == ["user0", "user1", "user2"]
    assert verify(path).lines == 4


def test_the_first_event_is_followed_by_a_signed_checkpoint_that_is_in_the_log_too(
    trail, path, public_key, caplog
):
    caplog.set_level("INFO")

    trail().record(event())

    logged = [record.message for record in caplog.records if record.name == "anchor.checkpoints"]
    [copy] = checkpoints.find_checkpoints("\n".join(logged))
    assert copy.is_signed_by(public_key)
    first, second = fields(path)
    assert (first["number"], first["hash"]) == (copy.link.number, copy.link.hash)
    assert second["event"] == "audit.checkpoint"
    assert verify(path, key=public_key, copies=[copy]).signed == 1


def test_checkpoints_come_at_intervals_of_events(trail, path):
    for _ in range(9):
        trail(events=3).record(event())

    found = [line["number"] for line in fields(path) if line["event"] == "audit.checkpoint"]
    assert found == [2, 6, 10]


def test_checkpoints_come_at_intervals_of_time(path, key):
    now = [1e9]
    trail = FileSink(
        path,
        CheckpointKey.from_pem(key.read_bytes()),
        CheckpointInterval(1000, 60),
        "web1",
        clock=lambda: now[0],
    )
    for _ in range(4):
        trail.record(event())
        now[0] += 40

    found = [line["number"] for line in fields(path) if line["event"] == "audit.checkpoint"]
    assert found == [2, 5]

    # The clock was wrong until now.
    now[0] -= 1e6
    for _ in range(3):
        trail.record(event())
        now[0] += 40

    found = [line["number"] for line in fields(path) if line["event"] == "audit.checkpoint"]
    assert found == [2, 5, 8, 11]


# ---- verification


@pytest.fixture
def record(trail, path):
    """Twenty events and their checkpoints."""
    for number in range(20):
        trail(events=5).record(event(f"user{number}"))
    return path


def tamper(path, change):
    found = lines(path)
    change(found)
    path.write_bytes(b"".join(found))


def rehash(line):
    """Compute the hash of a changed line again."""
    entry = json.loads(line)
    del entry["hash"]
    previous, number = entry.pop("previous"), entry.pop("number")
    return chain.encode_line(entry, chain.Link(number - 1, previous))[0]


def test_a_changed_line_is_reported(record):
    tamper(record, lambda found: found.__setitem__(9, found[9].replace(b"192.0.2.7", b"192.0.2.8")))

    with pytest.raises(BrokenRecord, match="line 10: it was changed"):
        verify(record)


def test_a_changed_last_line_is_reported(record):
    def change(found):
        found[-1] = found[-1].replace(b"192.0.2.7", b"192.0.2.8")

    tamper(record, change)

    with pytest.raises(BrokenRecord, match="it was changed"):
        verify(record)


def test_a_line_that_was_changed_together_with_its_hash_is_reported(record):
    def change(found):
        found[9] = rehash(found[9].replace(b"192.0.2.7", b"192.0.2.8"))

    tamper(record, change)

    with pytest.raises(BrokenRecord, match="line 11: the line before it was replaced"):
        verify(record)


def test_removed_lines_are_reported(record):
    tamper(record, lambda found: found.__delitem__(9))

    with pytest.raises(BrokenRecord, match="line 10: event 10 was removed before this line"):
        verify(record)

    tamper(record, lambda found: found.__delitem__(slice(9, 11)))
    with pytest.raises(
        BrokenRecord, match="line 10: events 10 to 12 were removed before this line"
    ):
        verify(record)


def test_reordered_lines_are_reported(record):
    def swap(found):
        found[9], found[10] = found[10], found[9]

    tamper(record, swap)

    with pytest.raises(BrokenRecord, match="line 10: event 10 was here: the lines were reordered"):
        verify(record)


def test_a_repeated_line_is_reported(record):
    tamper(record, lambda found: found.insert(10, found[9]))

    with pytest.raises(BrokenRecord, match="line 11: event 10 is out of its place"):
        verify(record)


def test_an_empty_file_is_not_a_record(record):
    record.write_bytes(b"")

    with pytest.raises(BrokenRecord, match="there is no event in it"):
        verify(record)


def test_a_missing_beginning_is_reported(record):
    tamper(record, lambda found: found.__delitem__(slice(0, 5)))

    with pytest.raises(BrokenRecord, match="the record begins with event 6"):
        verify(record)


def test_a_cut_end_is_found_by_the_head_file(record, key, capsys):
    command = ["audit", "verify", str(record)]
    assert main.main(command) == 0

    tamper(record, lambda found: found.__delitem__(slice(10, None)))

    assert main.main(command) == 1
    assert "it was cut after event 10: the head file knows of event 24" in capsys.readouterr().out
    record.write_bytes(b"")
    assert main.main(command) == 1


def test_a_cut_end_after_a_power_failure_is_explained(record, capsys):
    head = record.with_name(f"{record.name}.head")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    head.write_text(head.read_text().replace(boot, "another boot"))
    tamper(record, lambda found: found.__delitem__(-1))

    assert main.main(["audit", "verify", str(record)]) == 1
    assert "if the machine lost its power" in capsys.readouterr().out


def test_a_rewritten_end_is_found_by_the_head_file(record, capsys):
    tamper(record, lambda found: found.__setitem__(-1, rehash(found[-1].replace(b"user", b"abus"))))

    assert main.main(["audit", "verify", str(record)]) == 1
    assert "the head file has another hash" in capsys.readouterr().out


def test_the_head_file_does_not_apply_to_a_rotated_file(trail, record):
    record.rename(record.with_name("audit.jsonl.1"))
    trail().record(event("afterwards"))

    assert main.main(["audit", "verify", f"{record}.1"]) == 0
    assert main.main(["audit", "verify", str(record), f"{record}.1"]) == 0
    record.unlink()
    assert main.main(["audit", "verify", str(record), f"{record}.1"]) == 1


def forged(path):
    """Lines that an attacker with write access could append."""
    following = next_line(path, user="mallory")
    complete = following.replace(b"torn", b"alice")
    yield "a line of their own", b'{"event":"audit.sign","user":"mallory","fingerprint":"00"}\n'
    yield "the same without its break", b'{"event":"audit.sign","user":"mallory"}'
    yield "a complete line with another hash", complete.replace(b'"hash":"', b'"hash":"0')
    yield "a complete line without a hash", following[: following.index(b',"hash"')] + b"}\n"
    yield "a complete line and more", following[: following.index(b',"hash"')] + b'} {"x":'
    yield "no JSON", following.split(b'"event"')[0] + b"event"
    yield "no JSON either", following.split(b'"event"')[0] + b'"event":audit'
    yield "no escape", following.split(b'"event"')[0] + b'"event":"\\x'
    yield "another number", following[:200].replace(b'"number":2', b'"number":3')
    yield "another previous", following[:200].replace(b'"previous":"', b'"previous":"0')[:200]
    yield "another field first", following.split(b'"time"')[0] + b'"user":"mallory"'
    yield "part of a line that is there", lines(path)[-1][:200]
    yield "something else", b"something else"
    yield "control characters", following[:150] + b"\x1b[2J"
    yield "no ASCII", following[:150] + "\xe4".encode()
    yield (
        "all but the brace, with another hash",
        re.sub(rb'[0-9a-f]{64}"}\n$', b"0" * 64, following),
    )
    yield "part of another hash", re.sub(rb'[0-9a-f]{64}"}\n$', b"0" * 9, following)
    yield "its hash and more", following.removesuffix(b"}\n") + b',"hash":"'
    yield "deep", following.split(b'"event"')[0] + b'"event":' + b"[" * 100_000
    yield "a beginning, and a line", following[:150] + b'\n{"event":"audit.sign"}\n'


@pytest.mark.parametrize("number", range(20))
@pytest.mark.parametrize("continued", [False, True])
def test_text_that_does_not_begin_the_next_line_is_tampering(
    trail, record, number, continued, caplog
):
    what, added = list(forged(record))[number]
    with record.open("ab") as file:
        file.write(added)
    if continued:
        trail().record(event("afterwards"))
        assert "ends with something that Anchor did not write" in caplog.text, what

    with pytest.raises(BrokenRecord):
        verify(record)


def test_every_beginning_of_the_next_line_is_accepted_as_torn(record):
    following = next_line(
        record, names=["DNS:a", "\x1b\u20ac\\"], more={"a": [1, -2.5, None, True]}
    )
    link = chain.Link(24, fields(record)[-1]["hash"])
    assert fields(record)[-1]["number"] == 24

    for end in range(len(following) - 1):
        assert chain.is_torn(following[:end], link.hash, 25), following[:end]
        assert chain.is_torn(following[:50] + b"\n" + following[:end], link.hash, 25)
    assert not chain.is_torn(following[:-1], link.hash, 25)
    assert not chain.is_torn(following, link.hash, 25)


@pytest.mark.parametrize("what", ["event", "signed", "checkpoint", "torn"])
def test_a_rewritten_line_that_is_no_event_is_reported(record, key, capsys, what):
    entry = {
        "event": b'"event":"audit.sign","user":"alice","fingerprint"',
        "signed": b'"event":"audit.sign","user":["alice"],"fingerprint":5',
        "checkpoint": b'"event":"audit.checkpoint","checkpoint":{"number":24,"hash":"0","time":'
        b'"\\ud800","signature":"aaaa"}',
        "torn": b'"torn"',
    }[what]
    last = fields(record)[-1]
    hashed = b'{"previous":"%s","number":25,%s' % (last["hash"].encode(), entry)
    beginning = next_line(record)[:150] + b"\n" if what == "torn" else b""
    with record.open("ab") as file:
        file.write(beginning + hashed)
        file.write(b',"hash":"%s"}\n' % hashlib.sha256(hashed).hexdigest().encode())

    with pytest.raises(BrokenRecord):
        issued_to(record, "alice")
    if what in ("checkpoint", "torn"):
        assert main.main(["audit", "verify", str(record), "--key", f"{key}.pub"]) == 1
        assert ", line 25: " in capsys.readouterr().out


HEADS = {
    "zeros": lambda _: b"\0" * 512,
    "text": lambda _: b"no head",
    "a list": lambda _: b"[1]",
    "deep": lambda _: b"[" * 1000,
    "number as text": lambda head: json.dumps(head | {"number": "24"}).encode(),
    "negative number": lambda head: json.dumps(head | {"number": -1}).encode(),
    "no number": lambda head: json.dumps(head | {"number": None}).encode(),
    "no hash": lambda head: json.dumps(head | {"hash": 5}).encode(),
}


@pytest.mark.parametrize("damage", HEADS)
def test_a_damaged_head_file_is_reported_and_the_chain_continues(trail, record, damage, capsys):
    head = heads.path_of(record)
    head.write_bytes(HEADS[damage](json.loads(head.read_bytes())))
    record.write_bytes(b"".join(lines(record)[:10]))

    assert main.main(["audit", "verify", str(record)]) == 1
    assert f"{head}: it is damaged" in capsys.readouterr().err
    with pytest.raises(heads.HeadDamaged):
        issued_to(record, "alice")

    trail().record(event("afterwards"))
    assert main.main(["audit", "verify", str(record)]) == 0


def test_a_missing_head_file_is_reported(record, capsys):
    heads.path_of(record).unlink()
    assert main.main(["audit", "verify", str(record)]) == 0
    assert "events missing at the end would not be noticed" in capsys.readouterr().err


def test_a_cut_end_is_found_however_the_files_are_named(trail, record, capsys, monkeypatch):
    record.rename(rotated := record.with_name("audit.jsonl.1"))
    trail().record(event("alice"))
    trail().record(event("bob"))
    whole = record.read_bytes()
    record.write_bytes(lines(record)[0])
    monkeypatch.chdir(record.parent)
    Path("there").symlink_to(record.parent)
    Path("link.jsonl").symlink_to(record)
    everything = sorted(map(str, record.parent.glob("audit.jsonl*")))
    assert len(everything) > 2

    for names in (
        ["audit.jsonl", str(rotated)],
        ["there/audit.jsonl", "audit.jsonl.1"],
        [
            f"{record.parent}/./there/audit.jsonl",
            "../" + str(rotated.relative_to(rotated.parents[1])),
        ],
        everything,
        ["link.jsonl", "--previous", json.loads(lines(rotated)[-1])["hash"]],
    ):
        assert main.main(["audit", "verify", *names]) == 1, names
        assert "the head file knows of event" in capsys.readouterr().out

    record.write_bytes(whole)
    assert main.main(["audit", "verify", *everything]) == 0


# ---- the files of a record, and the audit key


@pytest.mark.parametrize(
    "name", ["audit.jsonl-signing.pem", "audit.jsonl.sha256", "audit.jsonl~", "audit.jsonl.swp"]
)
def test_other_files_in_the_directory_are_ignored(trail, record, name):
    record.rename(record.with_name("audit.jsonl.1"))
    record.with_name(name).write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    trail().record(event("afterwards"))
    assert [path.name for path in files_of(record)] == ["audit.jsonl.1", "audit.jsonl"]


@pytest.mark.parametrize(
    "name",
    ["audit.jsonl.1", "audit.jsonl-20261126", "audit.jsonl.2026-11-26_10", "audit.jsonl.2.gz"],
)
@pytest.mark.parametrize("where", ["configured", "beside", "private, beside"])
def test_a_rotated_record_is_verified_with_the_key_of_the_record_it_was_rotated_from(
    trail, record, key, name, where, document, tmp_path, monkeypatch, capsys
):
    rotated = record.with_name(name)
    rotated.write_bytes(
        gzip.compress(record.read_bytes()) if ".gz" in name else record.read_bytes()
    )
    record.unlink()
    trail().record(event("afterwards"))
    monkeypatch.chdir(tmp_path)
    if where == "configured":
        document["audit"] = {
            "target": "file",
            "path": "audit.jsonl",
            "checkpoint_key_path": str(key),
        }
        Path("config.json").write_text(json.dumps(document))
    elif where == "beside":
        key.with_name("audit.key.pub").rename("audit.jsonl.key.pub")
    else:
        key.rename("audit.jsonl.key")

    for arguments in ([name], [str(rotated)], [name, "audit.jsonl"]):
        assert main.main(["audit", "verify", *arguments]) == 0
        assert "checkpoints are signed with the key in" in capsys.readouterr().out

    if ".gz" not in name:
        another = CheckpointKey.from_pem(checkpoints.make_key()[0])
        rewrite(rotated, another, lambda entry: entry.update(address="192.0.2.99"))
        assert main.main(["audit", "verify", name]) == 1
        assert "not signed with the audit's key" in capsys.readouterr().out


def test_a_rotated_file_without_a_checkpoint_is_valid(trail, record, key, capsys):
    before = verify(record).last.hash
    record.rename(record.with_name("audit.jsonl.1"))
    trail().record(event("afterwards"))
    key.with_name("audit.key.pub").rename(record.with_name("audit.jsonl.key.pub"))

    assert main.main(["audit", "verify", str(record), "--previous", before]) == 0
    assert "no checkpoint that the key in" in capsys.readouterr().out
    key = str(record.with_name("audit.jsonl.key.pub"))
    assert main.main(["audit", "verify", str(record), "--previous", before, "--key", key]) == 1


def test_a_key_in_the_directory_is_not_part_of_the_record(record, key):
    for suffix in (".key", ".key.pub"):
        record.with_name(f"audit.jsonl{suffix}").write_text("a key")
    assert files_of(record) == [record]


def test_without_its_head_file_the_chain_goes_on_from_a_file_named_by_its_date(trail, record):
    record.rename(record.with_name(f"{record.name}-20261126"))
    record.with_name(f"{record.name}.head").unlink()
    trail().record(event("afterwards"))

    verify(*files_of(record))


# ---- the certificates of a requester


def test_a_requesters_certificates_are_read_from_verified_lines_only(trail, record):
    trail().record(event("mallory", fingerprint="aa"))
    assert issued_to(record, "mallory") == {"aa"}
    whole = record.read_bytes()

    torn = next_line(record, user="mallory", fingerprint="bb")[:-80]
    for _, added in list(forged(record)):
        record.write_bytes(whole + added)
        with pytest.raises(BrokenRecord):
            issued_to(record, "mallory")
    record.write_bytes(whole + torn)
    assert issued_to(record, "mallory") == {"aa"}
    record.write_bytes(whole.replace(b"user3", b"user4"))
    with pytest.raises(BrokenRecord):
        issued_to(record, "user4")
    record.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(BrokenRecord, match="it was cut"):
        issued_to(record, "mallory")
    record.unlink()
    with pytest.raises(BrokenRecord, match="it is gone"):
        issued_to(record, "mallory")


def test_a_requesters_certificates_are_found_although_older_files_were_deleted(trail, record):
    record.rename(record.with_name("audit.jsonl.1"))
    trail().record(event("alice", fingerprint="aa"))
    record.with_name("audit.jsonl.1").unlink()

    assert issued_to(record, "alice") == {"aa"}


def test_a_record_without_events_has_no_certificates(path):
    assert issued_to(path, "alice") == set()
    path.touch()
    assert issued_to(path, "alice") == set()


def test_a_cut_end_is_found_by_a_checkpoint_that_was_kept_elsewhere(record, caplog):
    last = [line["checkpoint"] for line in fields(record) if "checkpoint" in line][-1]
    [copy] = checkpoints.find_checkpoints(json.dumps({"checkpoint": last}))
    assert verify(record, copies=[copy]).lines

    tamper(record, lambda found: found.__delitem__(slice(10, None)))

    assert verify(record).lines == 10
    with pytest.raises(BrokenRecord, match="cut after event 10"):
        verify(record, copies=[copy])


def rewrite(path, key, change):
    """Write a new file, as an attacker with write access could who knows the format."""
    link, written = chain.GENESIS, []
    for entry in fields(path):
        for name in ("previous", "number", "hash"):
            del entry[name]
        change(entry)
        if "checkpoint" in entry:
            entry["checkpoint"] = key.sign(link, datetime.datetime.now(datetime.UTC), entry["node"])
        line, link = chain.encode_line(entry, link)
        written.append(line)
    path.write_bytes(b"".join(written))


def test_a_rewritten_file_is_found_by_the_key_and_by_a_checkpoint_that_was_kept(record, public_key):
    last = [line["checkpoint"] for line in fields(record) if "checkpoint" in line][-1]
    [copy] = checkpoints.find_checkpoints(json.dumps({"checkpoint": last}))
    another = CheckpointKey.from_pem(checkpoints.make_key()[0])

    rewrite(record, another, lambda entry: entry.update(address="192.0.2.99"))

    assert verify(record).lines
    with pytest.raises(BrokenRecord, match="not signed with the audit's key"):
        verify(record, key=public_key)
    with pytest.raises(BrokenRecord, match="rewritten"):
        verify(record, copies=[copy])


def test_a_file_without_its_checkpoints_fails_verification_with_the_key(record, public_key):
    link, written = chain.GENESIS, []
    for entry in fields(record):
        if "checkpoint" not in entry:
            for name in ("previous", "number", "hash"):
                del entry[name]
            line, link = chain.encode_line(entry, link)
            written.append(line)
    record.write_bytes(b"".join(written))

    with pytest.raises(BrokenRecord, match="there is no checkpoint"):
        verify(record, key=public_key)


# ---- crashes


def next_line(path, **entry):
    """The line that a writer would append next."""
    last = fields(path)[-1]
    link = chain.Link(last["number"], last["hash"])
    return chain.encode_line({**event("torn").as_dict(), **entry}, link)[0]


def test_a_torn_last_line_is_not_tampering(trail, record):
    record.write_bytes(record.read_bytes() + next_line(record)[:200])

    report = verify(record)
    assert len(report.torn) == 1

    trail().record(event("afterwards"))
    report = verify(record)
    assert users(record)[-1] == "afterwards"
    [torn] = report.torn
    assert "unfinished, as a crash leaves it" in torn


def test_a_torn_line_is_recognised_however_often_the_writer_crashes_again(trail, record):
    for ending in (b'{"previous":"', b'\n{"prev', b"\n"):
        with record.open("ab") as file:
            file.write(ending)
    trail().record(event("afterwards"))

    assert verify(record).torn
    assert users(record)[-1] == "afterwards"


def test_a_line_without_its_line_break_is_complete(trail, record):
    record.write_bytes(record.read_bytes()[:-1])

    trail().record(event("afterwards"))

    assert verify(record).torn == []
    assert users(record)[-2:] == ["user19", "afterwards"]


def test_a_torn_line_that_is_changed_later_is_tampering(trail, record):
    with record.open("ab") as file:
        file.write(b'{"previous":"12')
    trail().record(event("afterwards"))
    record.write_bytes(record.read_bytes().replace(b'"12\n', b'"13\n'))

    with pytest.raises(BrokenRecord, match="it was changed"):
        verify(record)


def test_a_writer_does_not_take_a_last_line_that_was_changed_for_a_torn_one(trail, record):
    changed = record.read_bytes()[:-10]
    record.write_bytes(changed)

    trail().record(event("afterwards"))

    with pytest.raises(BrokenRecord):
        verify(record)


def test_a_writer_logs_that_a_file_was_cut(trail, record, caplog):
    tamper(record, lambda found: found.__delitem__(slice(10, None)))

    trail().record(event("afterwards"))

    assert "are gone from it" in caplog.text
    with pytest.raises(BrokenRecord, match="removed before this line"):
        verify(record)


def test_without_its_head_file_the_chain_goes_on(trail, record):
    head = record.with_name(f"{record.name}.head")
    for damage in (head.unlink, lambda: head.write_bytes(b"\0" * 512)):
        damage()
        trail().record(event("afterwards"))
        assert verify(record).torn == []


def test_the_chain_continues_after_a_crash_at_any_byte(trail, record):
    head = record.with_name(f"{record.name}.head")
    before, saved = record.read_bytes(), head.read_bytes()
    trail().record(event("in the middle"))
    after = record.read_bytes()
    for end in range(len(before), len(after)):
        record.write_bytes(after[:end])
        head.write_bytes(saved)
        trail().record(event("afterwards"))
        report = verify(record)
        assert users(record)[-1] == "afterwards"
        assert len(report.torn) == (0 if end in {len(before), len(after) - 1} else 1)


def test_lines_lost_in_a_power_failure_are_not_missed(trail, record):
    """The head was on disk, the lines were not, and no answer was sent for them."""
    head = record.with_name(f"{record.name}.head")
    tamper(record, lambda found: found.__delitem__(slice(-3, None)))
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    head.write_text(head.read_text().replace(boot, "another boot"))

    trail().record(event("afterwards"))

    verify(record)
    assert users(record)[-1] == "afterwards"


def test_a_full_disk_fails_the_request_and_keeps_the_chain_valid(serve, audited, path, monkeypatch):
    """A limit on the size of files replaces a full disk; both interrupt a write."""
    service = serve(audited)
    service.issue()
    # The database would exceed the limit first.
    monkeypatch.setattr(Inventory, "add", lambda *_, **__: None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 1000, limits[1]))
    try:
        service.sign(status=500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    service.issue()

    assert verify(path).torn


def test_without_its_head_file_the_chain_goes_on_from_what_was_rotated_away(trail, record):
    for number in (3, 2, 1):
        record.rename(record.with_name(f"{record.name}.{number}"))
        record.with_name(f"{record.name}.head").unlink()
        trail().record(event("afterwards"))

    verify(*files_of(record))


WRITER = textwrap.dedent(
    """
    import datetime, os, sys, threading
    from pathlib import Path
    from anchor.audit.checkpoints import CheckpointInterval, CheckpointKey
    from anchor.audit.events import SIGNING, Event
    from anchor.audit.file_sink import FileSink

    path, key, name = sys.argv[1:]
    key = CheckpointKey.from_pem(Path(key).read_bytes())
    trail = FileSink(Path(path), key, CheckpointInterval(7, 3600), "web1")

    def write(worker):
        number = 0
        while True:
            user = f"{name}-{os.getpid()}-{worker}-{number}"
            trail.record(
                Event(SIGNING, datetime.datetime.now(datetime.UTC), "ra", user, "192.0.2.1", "id",
                      details={"names": ["DNS:a.example.com"] * (number % 500)})
            )
            os.write(1, f"{user}\\n".encode())
            number += 1

    os.fork()
    for worker in range(2):
        threading.Thread(target=write, args=(worker,)).start()
    """
)


def test_many_writers_make_one_chain_across_kill_9_and_rotation_and_lose_nothing(
    path, key, tmp_path
):
    """Eight processes with two threads each; half of them are killed at random moments."""
    chance = random.Random(7)
    answered = tmp_path / "answered"
    names = itertools.count()
    with answered.open("ab") as output:

        def start():
            return subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path), str(key), f"w{next(names)}"],
                stdout=output,
                start_new_session=True,
            )

        writers = [start() for _ in range(4)]
        try:
            for round_ in range(1, 9):
                wait_until(lambda goal=round_ * 400: len(answered.read_bytes().split()) >= goal)
                if round_ in (3, 6):
                    path.rename(path.with_name(f"{path.name}.{round_}"))
                victim = writers.pop(chance.randrange(len(writers)))
                os.killpg(victim.pid, signal.SIGKILL)
                victim.wait()
                if round_ < 6:
                    writers.append(start())
        finally:
            for writer in writers:
                os.killpg(writer.pid, signal.SIGKILL)
                writer.wait()

    wait_until(lambda: files_of(path))
    paths = files_of(path)
    assert len(paths) == 3
    verify(*paths)
    recorded = users(*paths)
    assert len(recorded) == len(set(recorded))
    assert set(answered.read_text().split()) <= set(recorded)


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---- log rotation


def test_the_chain_goes_on_in_a_new_file_after_rotation(trail, record):
    record.rename(record.with_name("audit.jsonl.1"))
    trail().record(event("afterwards"))

    old, new = record.with_name("audit.jsonl.1"), record
    assert in_order([new, old]) == [old, new]
    assert verify(old, new).last.number == verify(old).last.number + 1
    with pytest.raises(BrokenRecord, match="the record begins with event"):
        verify(new)
    assert verify(new, previous=frozenset({verify(old).last.hash})).lines == 1


def test_a_rotated_file_may_be_compressed(trail, record):
    with gzip.open(record.with_name("audit.jsonl.1.gz"), "wb") as file:
        file.write(record.read_bytes())
    record.unlink()
    trail().record(event("afterwards"))

    paths = files_of(record)
    assert [path.name for path in paths] == ["audit.jsonl.1.gz", "audit.jsonl"]
    verify(*paths)


def test_logrotate_may_take_the_file_away_and_compress_it(trail, path, tmp_path):
    configuration = tmp_path / "logrotate.conf"
    configuration.write_text(
        f"{path} {{\n rotate 9\n compress\n delaycompress\n missingok\n nocreate\n}}\n"
    )
    configuration.chmod(0o600)
    for number in range(4):
        trail(events=2).record(event(f"user{number}"))
        subprocess.run(
            ["logrotate", "--force", "--state", tmp_path / "logrotate.state", configuration],
            check=True,
            env=os.environ | {"PATH": f"/usr/sbin:{os.environ['PATH']}"},
        )
    trail().record(event("last"))

    paths = files_of(path)
    assert ["audit.jsonl.4.gz", "audit.jsonl.3.gz", "audit.jsonl.2.gz", "audit.jsonl.1"] == [
        found.name for found in paths[:-1]
    ]
    verify(*paths)


def test_a_file_missing_between_two_others_is_reported(trail, record):
    for number in (2, 1):
        record.rename(record.with_name(f"audit.jsonl.{number}"))
        trail().record(event(f"after{number}"))
    record.with_name("audit.jsonl.1").unlink()

    with pytest.raises(BrokenRecord, match="was removed before this line"):
        verify(*files_of(record))


def test_rotation_right_after_a_crash_loses_nothing(trail, record):
    """A writer was killed after it wrote a line and before it updated the head file."""
    head = record.with_name(f"{record.name}.head")
    before = head.read_bytes()
    trail().record(event("just before the crash"))
    head.write_bytes(before)
    record.rename(record.with_name("audit.jsonl.1"))

    trail().record(event("afterwards"))

    verify(*files_of(record))


# ---- a long record

MANY = 250_000


@pytest.fixture(scope="module")
def long_record(tmp_path_factory):
    """A record of many events, which differ only in their numbers and hashes."""
    path = tmp_path_factory.mktemp("long") / "audit.jsonl"
    line, _ = chain.encode_line(event(names=["DNS:www.example.com"]).as_dict(), chain.GENESIS)
    start = b'{"previous":"%s","number":1,' % chain.GENESIS.hash.encode()
    assert line.startswith(start)
    rest = line.removeprefix(start).rpartition(b',"hash":')[0]
    previous = chain.GENESIS.hash
    with path.open("wb", buffering=1 << 20) as file:
        for number in range(1, MANY + 1):
            # Many times as fast as encode_line().
            hashed = b'{"previous":"%s","number":%d,%s' % (previous.encode(), number, rest)
            previous = hashlib.sha256(hashed).hexdigest()
            file.write(b'%s,"hash":"%s"}\n' % (hashed, previous.encode()))
    return path


@pytest.fixture(scope="module")
def verified(long_record):
    """The output of ``anchor audit verify`` for the long record, and its CPU time."""
    controller, terminal = pty.openpty()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [Path(sys.executable).with_name("anchor"), "audit", "verify", long_record],
        stdout=subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    shown = []

    def read():
        while select.select([controller], [], [], 60)[0]:
            try:
                shown.append(os.read(controller, 4096))
            except OSError:
                return

    reader = threading.Thread(target=read)
    reader.start()
    output = process.communicate(timeout=300)[0]
    reader.join()
    os.close(controller)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return SimpleNamespace(
        status=process.returncode,
        output=output,
        terminal=b"".join(shown),
        cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def test_events_are_verified_at_tens_of_thousands_a_second(verified):
    assert verified.status == 0
    assert b"whole: events 1 to %d" % MANY in verified.output
    assert verified.cpu_seconds < cpu_limit(MANY / 30_000, in_this_process=False)


def test_progress_is_shown_on_a_terminal(verified):
    assert b"a second" in verified.terminal
    assert b" %" in verified.terminal


def test_the_writer_finds_the_end_of_a_long_record_quickly(long_record, key):
    long_record.with_name(f"{long_record.name}.head").unlink(missing_ok=True)
    trail = FileSink(
        long_record,
        CheckpointKey.from_pem(key.read_bytes()),
        CheckpointInterval(10**6, 10**9),
        "web1",
    )
    size = long_record.stat().st_size
    started = time.process_time()
    for _ in range(100):
        trail.record(event())
    seconds = time.process_time() - started

    with long_record.open("r+b") as file:
        file.truncate(size)
    long_record.with_name(f"{long_record.name}.head").unlink()
    assert seconds < cpu_limit(1)


# ---- the service and the command


@pytest.fixture
def audited(document, key):
    """The small configuration with the target ``file``."""
    document["audit"] = {
        "target": "file",
        "path": "audit.jsonl",
        "checkpoint_key_path": str(key),
    }
    return document


def test_the_event_is_complete_and_recorded_before_the_response(serve, audited, path):
    service = serve(audited)

    certificate = service.issue(make_csr("www.example.com", "www.example.com", "192.0.2.1"))

    signing = [found for found in fields(path) if found["event"] == "audit.sign"][-1]
    assert signing["user"] == "alice"
    assert signing["address"] == "192.0.2.7"
    assert signing["authority"] == "default"
    assert signing["names"] == ["DNS:www.example.com", "IP:192.0.2.1"]
    assert signing["serial"] == f"{certificate.serial_number:x}"
    assert signing["not_before"] == certificate.not_valid_before_utc.isoformat()
    assert signing["not_after"] == certificate.not_valid_after_utc.isoformat()
    assert signing["dropped_extensions"] == []
    assert len(signing["fingerprint"]) == 64
    verify(path)


def test_the_check_that_refused_is_on_record_by_its_name(serve, audited, path):
    audited["registration_authority"]["default"]["validators"] = {
        "source_cidrs": {"cidrs": ["10.0.0.0/8"]}
    }

    serve(audited).sign(make_csr("www.example.com", "www.example.com"), status=400)

    signing = [found for found in fields(path) if found["event"] == "audit.sign"][-1]
    assert signing["outcome"] == "failure"
    assert [failure["check"] for failure in signing["failures"]] == ["source_cidrs"]
    assert signing["requested"]["names"] == ["DNS:www.example.com"]


def test_a_certificate_that_cannot_be_recorded_is_not_sent(serve, audited, path, caplog):
    service = serve(audited)
    path.mkdir()

    answer = service.sign(status=500)

    assert "BEGIN CERTIFICATE" not in answer.text
    assert "AuditError" in caplog.text


def test_a_failing_audit_does_not_hide_an_earlier_error(serve, audited, path, caplog):
    service = serve(audited)
    path.mkdir()

    service.sign(secret="wrong", status=500)

    assert "NotAuthenticated" in caplog.text
    assert "AuditError" in caplog.text


def test_errors_in_the_audit_section_name_the_option(document, serve, key, ca, tmp_path):
    from anchor.errors import ConfigurationError

    edwards = make_ca(tmp_path, "ed25519", name="edwards")
    document["signing_ca"]["local"] |= {
        "cert_path": str(edwards.cert_path),
        "key_path": str(edwards.key_path),
    }
    good = {"target": "file", "path": "audit.jsonl", "checkpoint_key_path": str(key)}
    (tmp_path / "loose.key").write_bytes(key.read_bytes())
    (tmp_path / "loose.key").chmod(0o644)
    for section, message in (
        ({"target": "paper"}, "audit.target: should be one of log, file, messaging"),
        ({"target": "log", "path": "x"}, "audit: unknown option 'path'"),
        ({"target": "file"}, "audit: missing option 'path'"),
        (good | {"path": "nowhere/audit.jsonl"}, "audit.path: "),
        (good | {"checkpoint_key_path": "loose.key"}, "audit.checkpoint_key_path: "),
        (good | {"checkpoint_key_path": str(ca.key_path)}, "not Ed25519"),
        (good | {"checkpoint_key_path": str(edwards.key_path)}, "is the key of a CA"),
        (good | {"checkpoint_events": 0}, "audit.checkpoint_events: "),
    ):
        document["audit"] = section
        with pytest.raises(ConfigurationError) as refused:
            serve(document)
        assert message in str(refused.value)


def test_the_command_verifies_the_configured_record(serve, audited, path, key, capsys, caplog):
    caplog.set_level("INFO")
    service = serve(audited)
    service.issue()
    config = ["--config", str(path.with_name("config.json"))]
    path.rename(path.with_name("audit.jsonl.1"))
    service.issue()
    kept = path.with_name("kept.log")
    logged = [record.message for record in caplog.records if record.name == "anchor.checkpoints"]
    kept.write_text("".join(f"2026-11-21 INFO anchor.checkpoints: {line}\n" for line in logged))
    proof = ["--key", f"{key}.pub", "--checkpoint", str(kept)]

    assert main.main(["audit", "verify", *config, *proof]) == 0
    assert "whole: events 1 to" in capsys.readouterr().out

    assert main.main(["audit", "checkpoint", *config]) == 0
    kept.write_text(capsys.readouterr().out)
    assert main.main(["audit", "verify", *config, *proof]) == 0

    tamper(path, lambda found: found.__delitem__(-1))
    tamper(path, lambda found: found.__delitem__(-1))
    assert main.main(["audit", "verify", *config, *proof]) == 1
    assert "cut after event" in capsys.readouterr().out


def test_a_checkpoint_that_a_requester_put_into_the_log_does_not_count(
    record, key, public_key, tmp_path, capsys
):
    good = [line["checkpoint"] for line in fields(record) if "checkpoint" in line][-1]
    forged = good | {"number": 1000}
    log = tmp_path / "log"
    log.write_text("".join(json.dumps({"checkpoint": found}) + "\n" for found in (good, forged)))

    arguments = ["audit", "verify", str(record), "--checkpoint", str(log), "--key", f"{key}.pub"]
    assert main.main(arguments) == 0

    assert "1 of 2 checkpoints are not signed" in capsys.readouterr().err


def test_the_key_file_is_private_and_never_overwritten(key):
    assert key.stat().st_mode & 0o777 == 0o400
    before = key.read_bytes()

    assert main.main(["audit", "init", str(key)]) == 1

    assert key.read_bytes() == before


def test_no_event_is_lost_whose_certificate_a_worker_answered_before_it_was_killed(
    workers, audited, path, tmp_path
):
    server = workers(audited, "--enable-threads", "--threads", "2")
    csr = make_csr("www.example.com")
    answered, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            status, body = server.sign(csr)
            if status == 200:
                certificate = x509.load_pem_x509_certificate(body)
                answered.append(certificate.fingerprint(hashes.SHA256()).hex())

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    chance = random.Random(11)
    try:
        for round_ in range(1, 7):
            since = server.log_size()
            wait_until(lambda goal=round_ * 40: len(answered) >= goal)
            if round_ == 3:
                path.rename(path.with_name("audit.jsonl.1"))
            wait_until(lambda since=since: server.answering(since))
            os.kill(chance.choice(sorted(server.answering(since))), signal.SIGKILL)
        # uwsgi does not end if it is stopped while it replaces a worker.
        replaced = server.log_size()
        wait_until(lambda: len(server.answering(replaced)) == 4)
    finally:
        stop.set()
        for client in clients:
            client.join()

    paths = files_of(path)
    verify(*paths)
    recorded = {found.get("fingerprint") for one in paths for found in fields(one)}
    assert len(answered) >= 240
    assert set(answered) <= recorded
