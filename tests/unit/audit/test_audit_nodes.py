"""The record of a node names the node: in each line, in each checkpoint, and in the head file."""

from __future__ import annotations

import json
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anchor.audit import chain, heads
from anchor.audit.chain import Link
from anchor.audit.checkpoints import Checkpoint, make_key
from anchor.audit.nodes import check_name, choose_name
from anchor.audit.report import BrokenRecord
from anchor.audit.sinks import load_audit_sink
from anchor.audit.verification import Verification
from anchor.errors import ConfigurationError
from tests.support.audit_records import (
    KEY,
    RECORD_WITHOUT_NODE,
    copies_of,
    cut,
    event,
    lines_of,
    rewrite,
    write_head_without_node,
    write_record,
    write_record_without_node,
)
from tests.support.pki import now
from tests.support.properties import examples

HOSTILE_NAMES = [
    "",
    ".",
    "..",
    "-rf",
    "a/b",
    "a b",
    "a\n",
    "a\0",
    "a\x1b[2J",
    'a"',
    "a\\",
    "a,b",
    "a=b",
    "a" * 65,
    "kn\u00f6ten",
    "\uff41",
    "\u0660",
]
NAMES = st.from_regex(chain.NODE_NAME, fullmatch=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "web1/audit.jsonl"


def verify(*paths, **options):
    return Verification(**options).verify(paths)


# ---- the name of a node


@pytest.mark.parametrize("name", ["web1", "web1.example.com", "a_b-c", "0123abcd", "_", "a" * 64])
def test_host_names_are_names_of_nodes(name):
    assert name == check_name(name)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_that_would_need_escapes_is_rejected(name):
    with pytest.raises(ValueError, match="should be up to 64 ASCII letters"):
        check_name(name)


@pytest.fixture
def section(tmp_path, path):
    path.parent.mkdir()
    key = tmp_path / "audit.key"
    key.write_bytes(make_key()[0])
    key.chmod(0o400)
    return {"target": "file", "path": str(path), "checkpoint_key_path": str(key)}


def recorded_node(section, tmp_path):
    """The node in the next line that the service writes."""
    load_audit_sink(section, tmp_path).record(event())
    [*_, last] = lines_of(tmp_path / "web1/audit.jsonl")
    return chain.parse_line(last.rstrip(b"\n")).node


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, 7, ["web1"]])
@pytest.mark.parametrize("offline", [False, True])
def test_the_service_does_not_start_with_an_invalid_name(section, tmp_path, name, offline):
    with pytest.raises(ConfigurationError, match="node: should be"):
        load_audit_sink(section | {"node": name}, tmp_path, offline=offline)


def test_a_node_has_its_configured_name(section, tmp_path):
    assert recorded_node(section | {"node": "web1"}, tmp_path) == "web1"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("web1.example.com", "web1.example.com"),
        ("Web_1", "Web_1"),
        ("kn\u00f6ten 1", "kn-ten-1"),
        ("..", "localhost"),
        ("", "localhost"),
        ("a" * 70, "a" * 64),
    ],
)
def test_without_a_configured_name_the_host_name_is_used(
    section, tmp_path, monkeypatch, host, name
):
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert recorded_node(section, tmp_path) == name


def test_a_container_with_another_host_name_continues_the_record_under_its_name(
    section, tmp_path, monkeypatch, path
):
    for host in ("3f2a9c", "77be01"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        assert recorded_node(section, tmp_path) == "3f2a9c"
    heads.path_of(path).unlink()
    assert recorded_node(section, tmp_path) == "3f2a9c"
    heads.path_of(path).write_bytes(b"damaged")
    path.rename(path.with_name("audit.jsonl.1"))
    assert recorded_node(section, tmp_path) == "3f2a9c"
    assert verify(path.with_name("audit.jsonl.1"), path).node == "3f2a9c"


def test_the_service_does_not_start_with_the_record_of_another_node(section, tmp_path, path):
    recorded_node(section | {"node": "web1"}, tmp_path)

    for _ in range(2):
        with pytest.raises(ConfigurationError, match="is the record of node web1, not web2"):
            load_audit_sink(section | {"node": "web2"}, tmp_path)
        # Without the head file the lines tell.
        heads.path_of(path).unlink(missing_ok=True)


def test_a_damaged_rotated_file_does_not_stop_the_service(section, tmp_path, path):
    path.with_name("audit.jsonl.1.gz").write_bytes(b"no gzip")
    assert choose_name(path, "web1") == "web1"


# ---- the record of a node


def test_lines_checkpoints_and_head_name_the_node(path):
    write_record(path, "web1")

    found = [json.loads(line) for line in lines_of(path)]
    assert {"web1"} == {line["node"] for line in found}
    assert {"web1"} == {line["checkpoint"]["node"] for line in found if "checkpoint" in line}
    assert "web1" == heads.find(path).node
    report = verify(path, key=KEY.public_key, copies=copies_of(path))
    assert report.node == "web1"
    assert len(report.copies) == report.checkpoints > 1


def test_a_record_without_a_node_verifies_as_before(path):
    write_record_without_node(path)

    report = verify(path, key=KEY.public_key, copies=copies_of(path))

    assert (report.node, report.lines, report.checkpoints, len(report.copies)) == (None, 5, 2, 2)


@pytest.mark.parametrize("has_head", [True, False])
def test_an_upgraded_service_continues_its_record_and_names_the_node_at_once(path, has_head):
    write_record_without_node(path)
    if has_head:
        write_head_without_node(path)

    write_record(path, "web1", events=1, every=1000)

    assert path.read_bytes().startswith(RECORD_WITHOUT_NODE)
    report = verify(path, key=KEY.public_key, copies=copies_of(path), head=heads.find(path))
    assert (report.node, report.lines, report.checkpoints, report.signed) == ("web1", 7, 3, 6)


def test_a_record_names_its_node_although_an_older_version_continued_it(path):
    write_record(path, "web1", events=2)
    last = json.loads(lines_of(path)[-1])
    # An older version does not know the field, and writes a head without it.
    line, link = chain.encode_line(event().as_dict(), Link(last["number"], last["hash"]))
    with path.open("ab") as file:
        file.write(line)
    head = json.loads(heads.path_of(path).read_text())
    del head["node"]
    head |= {"number": link.number, "hash": link.hash, "size": path.stat().st_size}
    heads.path_of(path).write_text(json.dumps(head))

    write_record(path, "web1", events=2)

    assert verify(path, key=KEY.public_key, head=heads.find(path)).node == "web1"


# ---- verification


def test_a_line_of_another_node_is_reported(path, caplog):
    write_record(path, "web1")
    write_record(path, "web2", events=1)

    assert f"{path}: it is the record of node web1, not web2" in caplog.text
    with pytest.raises(BrokenRecord, match="it is of node web2, the lines before it of web1"):
        verify(path)


def test_a_head_file_of_another_node_is_reported(path):
    write_record(path, "web1")
    head = json.loads(heads.path_of(path).read_text()) | {"node": "web2"}
    heads.path_of(path).write_text(json.dumps(head))

    with pytest.raises(BrokenRecord, match="the head file is that of another node, web2"):
        verify(path, head=heads.find(path))


def test_a_record_that_was_renamed_for_another_node_is_reported(path):
    write_record(path, "web2")
    rewrite(path, lambda entry: entry.update(node="web1"))
    with pytest.raises(BrokenRecord, match="the checkpoint is not of the event before it"):
        verify(path)

    path.unlink()
    heads.path_of(path).unlink()
    write_record(path, "web2", events=1)
    cut(path, 1)
    last = json.loads(lines_of(path)[-1])
    signed = KEY.sign(Link(1, last["hash"]), now(), "web1")
    fields = {"time": signed["time"], "node": "web2", "event": "audit.checkpoint"}
    line, _ = chain.encode_line(fields | {"checkpoint": signed}, Link(1, last["hash"]))
    path.write_bytes(lines_of(path)[0] + line)
    with pytest.raises(BrokenRecord, match="the checkpoint is of another node than its line"):
        verify(path)


def test_a_name_that_no_signed_checkpoint_contains_does_not_count(path):
    """An attacker could append a line with a name to an old record of another node."""
    write_record_without_node(path)
    last = json.loads(lines_of(path)[-1])
    fields = event().as_dict()
    fields = {"time": fields.pop("time"), "node": "web1", **fields}
    with path.open("ab") as file:
        file.write(chain.encode_line(fields, Link(last["number"], last["hash"]))[0])

    assert verify(path).node == "web1"
    with pytest.raises(BrokenRecord, match=r"no checkpoint that is signed .* names node web1"):
        verify(path, key=KEY.public_key)


def test_copied_checkpoints_of_other_nodes_do_not_count(path, tmp_path):
    other = tmp_path / "web2/audit.jsonl"
    write_record(path, "web1")
    write_record(other, "web2", events=20)
    copies = copies_of(path) + copies_of(other)

    report = verify(path, copies=copies)
    assert {"web1"} == {copy.node for copy in report.copies}

    cut(path, 8)
    with pytest.raises(BrokenRecord, match="it was cut after event 5: a checkpoint of"):
        verify(path, copies=copies)


def test_a_record_cut_back_to_the_time_before_it_named_its_node_is_reported(path):
    write_record_without_node(path)
    write_record(path, "web1")
    copies = copies_of(path)
    path.write_bytes(RECORD_WITHOUT_NODE)

    with pytest.raises(BrokenRecord, match="it was cut after event 5"):
        verify(path, copies=copies)


# ---- properties


@given(node=NAMES, number=st.integers(1, 10**6), user=st.text(max_size=20))
@settings(max_examples=examples(100), deadline=None)
def test_a_line_has_the_node_that_it_was_written_with(node, number, user):
    fields = event(user).as_dict()
    fields = {"time": fields.pop("time"), "node": node, **fields}
    line, link = chain.encode_line(fields, Link(number, "0" * 64))

    assert chain.parse_line(line.rstrip(b"\n")) == chain.Line("0" * 64, link, node)
    assert all(chain.is_torn(line[:end], "0" * 64, link.number) for end in range(len(line) - 2))


@given(name=st.one_of(st.text(max_size=70), st.sampled_from(HOSTILE_NAMES), NAMES))
@settings(max_examples=examples(300), deadline=None)
def test_no_line_and_no_checkpoint_has_an_invalid_name(name):
    line, link = chain.encode_line(
        {"time": "2026-01-01T00:00:00.000+00:00", "node": name}, chain.GENESIS
    )
    parsed = chain.parse_line(line.rstrip(b"\n"))
    signed = KEY.sign(link, now(), "web1")
    try:
        check_name(name)
    except ValueError:
        assert parsed is None
        with pytest.raises(ValueError, match="not a checkpoint"):
            Checkpoint.of(signed | {"node": name})
    else:
        assert parsed.node == name
        assert Checkpoint.of(signed | {"node": name}).is_signed_by(KEY.public_key) == (
            name == "web1"
        )


@given(node=NAMES, other=st.one_of(st.none(), NAMES), time=st.text("0123456789-:.+T\n", max_size=9))
@settings(max_examples=examples(200), deadline=None)
def test_a_signature_is_valid_for_one_node_only(node, other, time):
    signed = KEY.sign(Link(7, "0" * 64), now(), node)
    assert Checkpoint.of(signed).is_signed_by(KEY.public_key)

    changed = {name: value for name, value in signed.items() if name != "node"}
    if other is not None:
        changed["node"] = other
    if other != node:
        # The parts of the signed text cannot be taken for each other either.
        for moved in (
            changed,
            changed | {"time": f"{signed['time']}\n{node}"},
            changed | {"hash": f"{node}\n{signed['hash']}"},
            changed | {"time": signed["time"] + time},
        ):
            assert not Checkpoint.of(moved).is_signed_by(KEY.public_key)


@given(data=st.data())
@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_lines_of_two_nodes_are_never_one_record(tmp_path, data):
    """Whatever mixture of the lines of two records a file has, it is a record only by itself."""
    records = {}
    for node in ("web1", "web2"):
        path = tmp_path / node / "audit.jsonl"
        if not path.exists():
            write_record(path, node, events=4)
        records[node] = lines_of(path)
    picked = data.draw(st.lists(st.sampled_from(["web1", "web2"]), min_size=5, max_size=5))
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_bytes(b"".join(records[node][number] for number, node in enumerate(picked)))

    if len(set(picked)) == 1:
        assert verify(mixed, key=KEY.public_key).node == picked[0]
    else:
        with pytest.raises(BrokenRecord):
            verify(mixed, key=KEY.public_key)
