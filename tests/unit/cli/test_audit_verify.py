"""``anchor audit verify`` verifies the records of several nodes, with one line for each."""

from __future__ import annotations

import gzip
import json
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anchor.audit import heads
from anchor.audit.checkpoints import CheckpointKey
from anchor.cli import main
from tests.support.audit_records import (
    RECORD_WITHOUT_NODE,
    checkpoints_of,
    cut,
    lines_of,
    public_pem,
    write_head_without_node,
    write_record,
    write_record_without_node,
)

NODES = ("web1", "web2", "web3")


@pytest.fixture
def paths(tmp_path):
    """The record of each node, collected on one machine."""
    found = {node: tmp_path / node / "audit.jsonl" for node in NODES}
    for node, path in found.items():
        write_record(path, node)
    return found


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "audit.key.pub"
    path.write_bytes(public_pem())
    return path


@pytest.fixture
def log(tmp_path, paths):
    """The checkpoints of all nodes, as a log server has them."""
    path = tmp_path / "loghost.log"
    path.write_text("\n".join(line for each in paths.values() for line in checkpoints_of(each)))
    return path


@pytest.fixture
def verify(capsys, monkeypatch, tmp_path):
    """Runs the command; returns its exit code and its lines."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        flat = [a for each in arguments for a in (each if isinstance(each, list) else [each])]
        code = main.main(["audit", "verify", *map(str, flat)])
        return code, capsys.readouterr().out.splitlines()

    return run


def test_each_node_has_a_line_that_says_what_confirms_its_end(verify, paths, key, log):
    heads.path_of(paths["web2"]).unlink()
    heads.path_of(paths["web3"]).unlink()
    for node in ("web1", "web3"):
        write_record(paths[node], node, events=2, every=1000)
    heads.path_of(paths["web3"]).unlink()

    code, lines = verify([*paths.values()], "--key", key, "--checkpoint", log)

    assert code == 0
    web1, web2, web3 = lines
    assert web1.startswith("node web1: whole: events 1 to 15, ")
    assert "; the head file confirms the end" in web1
    assert web2.startswith("node web2: whole: ")
    assert "; nothing confirms the end after event 11" in web2
    assert web3.startswith("node web3: whole: ")
    assert "; nothing confirms the end after event 11" in web3


def test_a_copied_checkpoint_of_the_last_event_confirms_the_end(verify, paths, tmp_path):
    heads.path_of(paths["web1"]).unlink()
    cut(paths["web1"], 1)
    log = tmp_path / "log"
    log.write_text(checkpoints_of(paths["web1"])[-1])

    code, [line] = verify(paths["web1"], "--checkpoint", log)
    assert (code, "; a copied checkpoint confirms the end (" in line) == (0, True)

    code, [line] = verify(paths["web1"])
    assert (code, "; nothing confirms the end (" in line) == (0, True)


def test_a_rotated_log_of_checkpoints_may_be_compressed(verify, paths, key, log):
    compressed = log.with_name("loghost.log.1.gz")
    compressed.write_bytes(gzip.compress(log.read_bytes()))
    cut(paths["web2"], 4)
    heads.path_of(paths["web2"]).unlink()

    code, lines = verify([*paths.values()], "--key", key, "--checkpoint", compressed)

    assert code == 1
    assert "it was cut after event " in lines[1]


def test_the_command_says_which_node_was_cut(verify, paths):
    cut(paths["web2"], 3)

    code, lines = verify([*paths.values()])

    assert code == 1
    assert lines[0].startswith("node web1: whole: ")
    assert lines[1].startswith(f"node web2: {paths['web2']}, line 10: it was cut after event 10")
    assert lines[2].startswith("node web3: whole: ")


def test_the_command_says_which_node_was_cut_although_its_head_file_was_changed(
    verify, paths, key, log
):
    cut(paths["web2"], 3)
    heads.path_of(paths["web2"]).unlink()

    code, lines = verify([*paths.values()], "--key", key, "--checkpoint", log)

    assert code == 1
    assert lines[1].startswith(f"node web2: {paths['web2']}, line 10: it was cut after event 10")


@pytest.mark.parametrize("contents", [b"", b"no event\n"])
def test_a_node_whose_events_are_all_gone_is_named_by_its_head_file(verify, paths, contents):
    paths["web2"].write_bytes(contents)

    code, lines = verify([*paths.values()])

    assert code == 1
    assert lines[1].startswith(f"node web2: {paths['web2']}, line 1: ")


@pytest.mark.parametrize("damage", ["removed", "no gzip", "short gzip", "head"])
def test_a_record_that_cannot_be_read_does_not_hide_the_others(verify, paths, damage):
    path = paths["web2"]
    if damage == "removed":
        path.unlink()
    elif damage == "head":
        heads.path_of(path).write_bytes(b"\0" * 512)
    else:
        compressed = gzip.compress(path.read_bytes())
        path.unlink()
        paths["web2"] = path = path.with_name("audit.jsonl.1.gz")
        path.write_bytes(b"no gzip" if damage == "no gzip" else compressed[:-20])

    code, lines = verify([*paths.values()])

    assert code == 1
    assert len(lines) == 3
    assert lines[0].startswith("node web1: whole: ")
    assert lines[2].startswith("node web3: whole: ")
    assert ("it is damaged" if damage == "head" else "cannot be read: ") in lines[1]
    assert "web2/audit.jsonl" in lines[1]
    assert "Errno" not in lines[1]


def test_a_file_in_place_of_that_of_another_node_is_found(verify, paths, key, log):
    for suffix in ("", ".head"):
        shutil.copy(f"{paths['web1']}{suffix}", f"{paths['web2']}{suffix}")

    code, lines = verify([*paths.values()], "--key", key)
    assert code == 1
    assert lines[3] == f"node web1: {paths['web1']} and {paths['web2']} are both of this node"

    code, lines = verify([*paths.values()], "--key", key, "--checkpoint", log)
    assert code == 1
    assert lines[4].startswith("node web2: its record is not among the files, but a checkpoint of ")

    code, lines = verify(paths["web2"], "--key", key, "--node", "web2")
    assert code == 1
    assert lines[1] == "node web2: its record is not among the files"


def test_two_files_that_were_swapped_belong_to_the_nodes_that_they_name(verify, paths):
    """The names in the records count, not those of the directories."""
    one, two = paths["web1"], paths["web2"]
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)

    code, lines = verify(one, two)

    assert code == 1
    assert "the head file has another hash" in lines[0]
    assert "the head file has another hash" in lines[1]


def test_a_node_without_files_is_missing_if_the_log_or_the_operator_names_it(
    verify, paths, key, log
):
    given = [paths["web1"], paths["web3"], "--key", key]

    assert verify(given)[0] == 0

    code, lines = verify(given, "--checkpoint", log)
    assert code == 1
    assert lines[-1].startswith("node web2: its record is not among the files, but a checkpoint")
    assert lines[-1].endswith(" is of its event 11")

    code, lines = verify(given, "--node", "web1", "--node", "web2")
    assert code == 1
    assert lines[-1] == "node web2: its record is not among the files"

    assert verify(given, "--checkpoint", log, "--node", "web1", "--node", "web3")[0] == 0


def test_checkpoints_that_another_key_signed_make_no_node_missing(verify, paths, key, log):
    another = CheckpointKey(Ed25519PrivateKey.generate())
    write_record(log.with_name("web9") / "audit.jsonl", "web9", key=another)
    with log.open("a") as file:
        file.writelines(f"\n{line}" for line in checkpoints_of(log.parent / "web9/audit.jsonl"))

    assert verify([*paths.values()], "--checkpoint", log, "--key", key)[0] == 0
    assert verify([*paths.values()], "--checkpoint", log)[0] == 1


def test_each_node_may_have_a_key_of_its_own(verify, tmp_path):
    keys = {node: Ed25519PrivateKey.generate() for node in NODES}
    log = tmp_path / "log"
    for node, key in keys.items():
        path = tmp_path / node / "audit.jsonl"
        write_record(path, node, key=CheckpointKey(key))
        path.with_name("audit.jsonl.key.pub").write_bytes(public_pem(key))
    paths = [tmp_path / node / "audit.jsonl" for node in NODES]
    log.write_text("\n".join(line for path in paths for line in checkpoints_of(path)))

    code, lines = verify(paths, "--checkpoint", log)
    assert code == 0
    assert all("3 copies of checkpoints agree" in line for line in lines)

    # The key of one node does not sign for another.
    shutil.copy(tmp_path / "web1/audit.jsonl.key.pub", tmp_path / "web2/audit.jsonl.key.pub")
    code, lines = verify(paths, "--checkpoint", log)
    assert code == 1
    assert "the checkpoint is not signed with the audit's key" in lines[1]


def test_each_node_may_have_rotated_files(verify, paths):
    for node in ("web1", "web2"):
        path = paths[node]
        path.with_name("audit.jsonl.2.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        write_record(path, node, events=3)
    files = [*paths["web1"].parent.glob("*"), *paths["web2"].parent.glob("*"), paths["web3"]]
    assert len(files) == 7

    code, lines = verify(files)

    assert code == 0
    assert [line.partition(",")[0] for line in lines] == [
        "node web1: whole: events 1 to 17",
        "node web2: whole: events 1 to 17",
        "node web3: whole: events 1 to 13",
    ]


def test_until_an_event_follows_a_rotation_the_head_file_is_about_the_rotated_file(verify, paths):
    record = paths["web1"]
    record.rename(record.with_name("audit.jsonl.1"))

    # As a shell finds audit.jsonl*.
    code, [line] = verify(sorted(record.parent.iterdir()))
    assert code == 0 and "; the head file confirms the end" in line

    cut(record.with_name("audit.jsonl.1"), 1)
    code, [line] = verify(sorted(record.parent.iterdir()))
    assert code == 1 and "it was cut after event 12: the head file knows of event 13" in line


def test_the_head_file_is_not_about_older_rotated_files(verify, paths):
    record = paths["web1"]
    record.rename(record.with_name("audit.jsonl.2"))
    write_record(record, "web1")
    record.rename(record.with_name("audit.jsonl.1"))

    code, [line] = verify(record.with_name("audit.jsonl.2"))

    assert code == 0 and "; nothing confirms the end" in line


def test_first_lines_of_several_nodes_may_continue_deleted_files(verify, paths):
    previous = []
    for node in ("web1", "web2"):
        previous += ["--previous", json.loads(lines_of(paths[node])[-1])["hash"]]
        paths[node].unlink()
        write_record(paths[node], node)
    both = [paths["web1"], paths["web2"]]

    assert verify(both, previous)[0] == 0
    code, lines = verify(both, previous[:2])
    assert code == 1
    assert "it does not continue the hash that was given" in lines[1]
    assert verify(both)[0] == 1


@pytest.mark.parametrize("named", [True, False])
def test_files_of_one_record_may_have_any_names(verify, tmp_path, named):
    """With logrotate's option ``extension`` the date comes before the end of the name."""
    path = tmp_path / "audit.jsonl"
    if named:
        write_record(path, "web1")
    else:
        write_record_without_node(path)
        write_head_without_node(path)
    path.rename(tmp_path / "audit-20261126.jsonl")
    write_record(path, "web1")
    path.rename(tmp_path / "audit-20261127.jsonl")
    files = [*tmp_path.glob("*.jsonl")]
    assert len(files) == 2

    code, [line] = verify(files)
    assert (code, line.startswith("node web1: whole: events 1 to ")) == (0, True)

    # The head file confirms the end of an empty file, too.
    path.touch()
    code, [line] = verify(*files, path)
    assert (code, "the head file confirms the end" in line) == (0, True)

    write_record(path, "web1")
    (tmp_path / "audit-20261127.jsonl").unlink()
    code, lines = verify(*tmp_path.glob("*.jsonl"))
    assert code == 1
    assert any("give the files before it too" in line for line in lines)


def test_a_record_without_a_node_verifies_alone_but_not_among_others(verify, paths, tmp_path):
    old = tmp_path / "old/audit.jsonl"
    write_record_without_node(old)
    log = tmp_path / "old.log"
    log.write_text("\n".join(checkpoints_of(old)))

    code, [line] = verify(old, "--checkpoint", log)
    assert (code, line.startswith("whole: events 1 to 5, ")) == (0, True)

    code, lines = verify(old, paths["web1"])
    assert code == 1
    assert lines[0].startswith(f"{old}: it names no node")
    assert lines[1].startswith("node web1: whole: ")


def test_records_that_began_before_nodes_had_names_are_verified_together(verify, tmp_path, key):
    log = tmp_path / "log"
    paths = [tmp_path / node / "audit.jsonl" for node in NODES[:2]]
    logged = []
    for node, path in zip(NODES, paths, strict=False):
        if node == "web1":
            write_record_without_node(path)
        write_record(path, node, events=6)
        logged += checkpoints_of(path)
    log.write_text("\n".join(logged))
    command = [*paths, "--key", key, "--checkpoint", log]

    code, lines = verify(command)
    assert (code, len(lines)) == (0, 2)

    # Two checkpoints of the first record name no node; the second record is another one.
    paths[0].write_bytes(RECORD_WITHOUT_NODE.replace(b"user0", b"user9"))
    assert verify(command)[0] == 1
    paths[0].unlink()
    heads.path_of(paths[0]).unlink()
    write_record(paths[0], "web1", events=6)
    logged[2:] = [line for path in paths for line in checkpoints_of(path)]
    log.write_text("\n".join(logged))
    code, lines = verify(command)
    assert code == 1
    assert lines[-1].startswith("no record agrees with the checkpoint of 2026-01-01T00:00:00.000")


def test_the_configured_record_has_to_be_that_of_the_configured_node(
    verify, paths, document, tmp_path, key, log
):
    document["audit"] = {
        "target": "file",
        "path": str(paths["web1"]),
        "checkpoint_key_path": str(tmp_path / "audit.key"),
        "node": "web1",
    }
    (tmp_path / "config.json").write_text(json.dumps(document))

    code, [line] = verify("--checkpoint", log)
    assert (code, line.startswith("node web1: whole: ")) == (0, True)

    for suffix in ("", ".head"):
        shutil.copy(f"{paths['web2']}{suffix}", f"{paths['web1']}{suffix}")
    code, lines = verify("--checkpoint", log)
    assert code == 1
    assert lines[0].startswith("node web2: whole: ")
    assert lines[1].startswith("node web1: its record is not among the files, but a checkpoint of ")


@pytest.mark.parametrize("name", ["", "a b", "../web1", "a\x1b[2J"])
def test_a_name_that_no_node_can_have_is_not_a_node(verify, paths, name, capsys):
    with pytest.raises(SystemExit) as refused:
        verify(paths["web1"], "--node", name)
    assert refused.value.code == 2
    assert "argument --node: should be up to 64 ASCII letters" in capsys.readouterr().err


def test_a_hostile_name_in_a_record_is_not_printed(verify, paths):
    path = paths["web2"]
    path.write_bytes(path.read_bytes().replace(b'"node":"web2"', b'"node":"\\u001b[2J"'))
    heads.path_of(path).unlink()

    code, lines = verify([*paths.values()])

    assert code == 1
    assert lines[1].startswith(str(path))
    assert "\x1b" not in "".join(lines) and "[2J" not in "".join(lines)
