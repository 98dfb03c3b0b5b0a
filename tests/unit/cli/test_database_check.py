"""``anchor database check``: the database compared with the audit, as after a restore."""

from __future__ import annotations

import datetime
import gzip
import json
import shutil
import sqlite3

import pytest
from cryptography.hazmat.primitives import hashes

from anchor.audit import checkpoints, inventory_comparison
from anchor.cli import main
from anchor.store.bans import Ban
from anchor.store.database import schema
from anchor.store.database.bans import Bans
from anchor.store.database.tokens import Tokens
from anchor.timestamps import utc_now
from tests.support.database import make_database
from tests.support.pki import make_csr, shared_key
from tests.support.renewal import renew
from tests.support.tokens import add_token, token_configuration


def audit_in(directory):
    """The section ``audit`` for a file in a directory, which gets a key."""
    private, _ = checkpoints.make_key()
    (directory / "audit.key").write_bytes(private)
    (directory / "audit.key").chmod(0o400)
    return {
        "target": "file",
        "path": str(directory / "audit.log"),
        "checkpoint_key_path": str(directory / "audit.key"),
    }


@pytest.fixture
def service(serve, document, tmp_path):
    """A service that records to an audit file."""
    document["audit"] = audit_in(tmp_path)
    return serve(document)


@pytest.fixture
def check(service, capsys):
    """Runs ``anchor database check --json``; returns the exit code and the findings."""

    def run(*arguments):
        capsys.readouterr()
        config = ["--config", str(service.path / "config.json")]
        code = main.main(["database", "check", "--json", *map(str, arguments), *config])
        output = capsys.readouterr()
        return code, json.loads(output.out) if output.out else output.err

    return run


@pytest.fixture
def text(service, capsys):
    """Runs ``anchor database check``; returns the exit code and the text."""

    def run(*arguments):
        config = ["--config", str(service.path / "config.json")]
        code = main.main(["database", "check", *map(str, arguments), *config])
        return code, capsys.readouterr().out

    return run


def issue(service, *names):
    """Issue a certificate for each name, and return the fingerprints."""
    certificates = [service.issue(make_csr(name, name)) for name in names]
    return [certificate.fingerprint(hashes.SHA256()).hex() for certificate in certificates]


def back_up(service):
    config = ["--config", str(service.path / "config.json")]
    assert main.main(["database", "backup", str(service.path / "backup.db"), *config]) == 0


def restore(service):
    service.settings.database.close()
    (service.path / "backup.db").replace(service.path / "anchor.db")


def execute(service, statement, *, foreign_keys=True):
    with sqlite3.connect(service.path / "anchor.db") as connection:
        connection.execute(f"PRAGMA foreign_keys = {foreign_keys}")
        connection.execute(statement)
    connection.close()


@pytest.fixture
def later(monkeypatch):
    """The command runs an hour later, when no certificate is just being issued."""
    monkeypatch.setattr(
        "anchor.cli.database_check.utc_now", lambda: utc_now() + datetime.timedelta(hours=1)
    )


def test_a_database_that_agrees_with_the_audit_is_good(service, check, text):
    issue(service, "a.example.com", "b.example.com")
    service.sign(secret="wrong", status=401)

    code, findings = check()

    assert code == 0
    assert findings["good"] and findings["defects"] == []
    assert (findings["forgotten"], findings["forgotten_expired"], findings["unknown"]) == (
        [],
        0,
        [],
    )
    assert findings["newest"][:15] == findings["audit"]["newest"][:15]
    [record] = findings["audit"]["records"]
    assert (record["first"], record["path"]) == (1, str(service.path / "audit.log"))

    code, output = text()
    assert code == 0
    assert f"anchor.db: intact, with version {schema.HEAD} of the schema" in output
    assert "the database has all certificates in force that the audit has" in output


def test_certificates_that_a_restored_backup_lacks_are_listed(service, check, text):
    issue(service, "before.example.com")
    back_up(service)
    [forgotten] = issue(service, "after.example.com")
    restore(service)

    code, findings = check()

    assert code == 1
    assert not findings["good"]
    [certificate] = findings["forgotten"]
    assert certificate["fingerprint"] == forgotten
    assert certificate["requester"] == "alice"
    assert "after.example.com" in certificate["names"]
    assert findings["newest"] <= findings["audit"]["newest"]

    code, output = text()
    assert code == 1
    assert "forgotten: 1 certificate in force, in the audit but not in the database" in output
    assert f"{forgotten} alice" in output


def test_an_expired_certificate_may_be_missing(service, check, text, monkeypatch):
    issue(service, "a.example.com")
    execute(service, "DELETE FROM certificates")
    monkeypatch.setattr(
        "anchor.cli.database_check.utc_now", lambda: utc_now() + datetime.timedelta(days=100)
    )

    code, findings = check()

    assert code == 0
    assert (findings["forgotten"], findings["forgotten_expired"]) == ([], 1)
    assert "expired: 1 certificate, in the audit but not" in text()[1]


def test_a_certificate_that_the_audit_lacks_is_reported(service, check, text, later):
    issue(service, "a.example.com", "b.example.com")
    execute(service, f"UPDATE certificates SET fingerprint = '{'ab' * 32}' WHERE id = 2")

    code, findings = check()

    assert code == 1
    assert findings["unknown"] == ["ab" * 32]
    assert len(findings["forgotten"]) == 1
    assert "unknown: 1 certificate, in the database but not in the audit" in text()[1]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE certificates SET issued_at = NULL WHERE id = 2",
        "UPDATE certificates SET issued_at = 1000 WHERE id = 2",
    ],
)
def test_certificates_from_before_the_audit_are_not_expected_in_it(
    service, check, later, statement
):
    issue(service, "a.example.com", "b.example.com")
    execute(service, f"UPDATE certificates SET fingerprint = '{'ab' * 32}' WHERE id = 2")
    execute(service, statement)

    assert check()[1]["unknown"] == []


def test_a_certificate_whose_event_may_still_be_written_is_not_reported(service, check):
    issue(service, "a.example.com")
    execute(service, f"UPDATE certificates SET fingerprint = '{'ab' * 32}'")

    assert check()[1]["unknown"] == []


def test_rows_are_compared_in_batches(service, check, monkeypatch):
    monkeypatch.setattr(inventory_comparison, "_BATCH", 2)
    issue(service, *(f"host{number}.example.com" for number in range(5)))
    execute(service, "DELETE FROM certificates WHERE id = 5")

    assert len(check()[1]["forgotten"]) == 1


def test_the_audit_files_of_all_nodes_are_read_together(serve, document, service, check, later):
    issue(service, "a.example.com")
    configured = document["audit"]
    (service.path / "other").mkdir()
    # Both nodes have the same database.
    document["audit"] = audit_in(service.path / "other")
    [forgotten] = issue(serve(document), "b.example.com")
    document["audit"] = configured
    serve(document)

    files = [service.path / "audit.log", service.path / "other" / "audit.log"]
    assert check(*files)[0] == 0
    assert len(check(*files)[1]["audit"]["records"]) == 2
    assert check(files[0])[1]["unknown"] == [forgotten]

    execute(service, f"DELETE FROM certificates WHERE fingerprint = '{forgotten}'")
    assert check(files[0])[0] == 0
    assert [each["fingerprint"] for each in check(*files)[1]["forgotten"]] == [forgotten]


def test_rotated_files_are_one_record(service, check):
    issue(service, "a.example.com")
    (service.path / "audit.log").rename(service.path / "audit.log.1")
    issue(service, "b.example.com")

    code, findings = check()

    assert code == 0
    [record] = findings["audit"]["records"]
    assert record["first"] == 1

    files = [service.path / "audit.log.1", service.path / "audit.log"]
    assert check(*files)[1]["audit"]["records"] == [record]
    # Without the oldest file, its time is not covered.
    code, findings = check(files[1])
    assert code == 0 and findings["unknown"] == []


def test_the_audit_commands_work_until_an_event_follows_a_rotation(service, check, capsys):
    record, config = service.path / "audit.log", ["--config", str(service.path / "config.json")]
    issue(service, "a.example.com")
    record.rename(service.path / "audit.log.1")

    assert check()[0] == 0
    assert main.main(["audit", "verify", *config]) == 0
    assert "the head file confirms the end" in capsys.readouterr().out
    assert main.main(["audit", "checkpoint", *config]) == 0
    assert record.exists()
    assert main.main(["audit", "verify", *config]) == 0


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda _: b"no gzip"])
def test_a_damaged_rotated_file_is_named(service, capsys, damage):
    config = ["--config", str(service.path / "config.json")]
    issue(service, "a.example.com")
    compressed = service.path / "audit.log.1.gz"
    compressed.write_bytes(damage(gzip.compress((service.path / "audit.log").read_bytes())))

    for command in (
        ["database", "check"],
        ["audit", "verify"],
        ["certs", "import", str(service.path)],
    ):
        assert main.main([*command, *config]) == 1
        assert f"{compressed}: it is damaged: " in capsys.readouterr().err
    # The last event is not in it.
    assert main.main(["audit", "checkpoint", *config]) == 0


def test_parts_of_a_record_are_joined_although_their_names_do_not_show_it(service, check, later):
    issue(service, "a.example.com")
    (service.path / "audit.log").rename(service.path / "part1")
    fingerprint, _ = issue(service, "b.example.com", "c.example.com")
    (service.path / "audit.log").rename(service.path / "part2")
    issue(service, "d.example.com")
    execute(
        service,
        f"UPDATE certificates SET fingerprint = '{'ab' * 32}' WHERE fingerprint = '{fingerprint}'",
    )

    code, findings = check(*(service.path / name for name in ("part2", "audit.log", "part1")))

    assert code == 1
    assert [record["first"] for record in findings["audit"]["records"]] == [1]
    assert findings["unknown"] == ["ab" * 32]


def test_a_damaged_audit_is_not_compared(service, check, text):
    issue(service, "a.example.com", "b.example.com")
    path = service.path / "audit.log"
    path.write_text(path.read_text().replace("a.example.com", "x.example.com"))

    code, findings = check()

    assert code == 1
    assert "audit.log, line" in findings["audit"]["error"]
    assert findings["forgotten"] is None
    assert "the audit was not compared, because it is damaged" in text()[1]


def test_an_audit_that_was_cut_off_is_damaged(service, check):
    issue(service, "a.example.com", "b.example.com")
    path = service.path / "audit.log"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    code, findings = check()

    assert code == 1
    assert "it was cut after event" in findings["audit"]["error"]


def test_an_audit_file_that_is_missing_is_an_error(service, check):
    service.settings.database.prepare()
    (service.path / "audit.log").unlink(missing_ok=True)

    code, error = check()

    assert code == 1
    assert "audit.path: " in error and "does not exist" in error


def test_without_an_audit_file_only_the_database_is_checked(serve, document, check, text):
    document["audit"] = {}
    issue(serve(document), "a.example.com")

    code, findings = check()

    assert code == 0
    assert findings["audit"] is None
    assert "the audit was not compared: audit.target is not 'file'" in text()[1]


def test_the_bans_are_described_because_the_audit_lacks_them(service, check, text):
    since = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
    Bans(service.settings.database).add(Ban(kind="name", value="x.example.com", since=since))
    issue(service, "a.example.com")

    assert check()[1]["bans"] == {"count": 1, "newest": "2026-01-31T12:00:00Z"}
    output = text()[1]
    assert "the database has 1, the newest of 2026-01-31T12:00:00Z" in output
    assert "A restored backup lacks the bans that were added after it was made" in output


def test_tokens_whose_uses_are_back_after_a_restore_are_listed(serve, document, check, text):
    service = serve(token_configuration(document))
    database = service.settings.database
    spent, other, revoked = (add_token(database, uses=uses) for uses in (2, 3, 1))
    service.issue(make_csr("before.example.com"), **spent)
    service.issue(make_csr("other.example.com"), **other)
    back_up(service)
    certificate = service.issue(make_csr("after.example.com", key=shared_key()), **spent)
    # A renewal takes no use of the token.
    renew(service, certificate, shared_key(), make_csr("after.example.com"), status=200)
    service.issue(make_csr("revoked.example.com"), **revoked)
    assert "revived" not in text()[1]
    restore(service)
    assert main.main(["certs", "import", "--config", str(service.path / "config.json")]) == 0
    Tokens(make_database(service.path)).revoke(revoked["user"])

    code, findings = check()

    assert (code, findings["good"]) == (1, False)
    [found] = findings["revived_tokens"]
    expected = {"token_id": spent["user"], "requester": "web1"}
    assert found == {**expected, "uses": 2, "used": 1, "audited": 2}
    line = f"the token {spent['user']} of web1 was used 1 of 2 times in the database, but 2 times"
    assert line in text()[1]

    Tokens(make_database(service.path)).revoke(spent["user"])
    assert check()[1]["revived_tokens"] == []


def test_a_use_is_counted_once_if_a_record_is_given_with_its_copy(serve, document, check):
    service = serve(token_configuration(document))
    token = add_token(service.settings.database, uses=3)
    service.issue(make_csr("www.example.com"), **token)
    (service.path / "copy").mkdir()
    shutil.copy(service.path / "audit.log", service.path / "copy")

    code, findings = check(service.path / "audit.log", service.path / "copy" / "audit.log")

    assert (code, findings["revived_tokens"]) == (0, [])


@pytest.mark.parametrize(
    ("statement", "defect"),
    [
        ("DROP TABLE imports", "the table imports is missing"),
        ("DELETE FROM alembic_version", "there are no tables"),
        ("UPDATE alembic_version SET version_num = '0000'", "version 0000 instead of"),
        ("UPDATE alembic_version SET version_num = '0999'", "the database has version 0999"),
        ("UPDATE alembic_version SET version_num = 'abc'", "belongs to another program"),
        ("DELETE FROM certificates", "row 1 of certificate_names refers to a row of certificates"),
    ],
)
def test_defects_of_the_database_are_reported(service, check, text, statement, defect):
    issue(service, "a.example.com")
    execute(service, statement, foreign_keys=False)

    code, findings = check()

    assert code == 1
    assert defect in findings["defects"][0]
    assert defect in text()[1]


def test_a_damaged_file_is_reported(service, check):
    issue(service, *(f"host{number}.example.com" for number in range(10)))
    service.settings.database.close()
    path = service.path / "anchor.db"
    contents = bytearray(path.read_bytes())
    # The first pages have the tables' definitions.
    for page in range(40, len(contents) // 4096):
        contents[page * 4096 + 100 : page * 4096 + 200] = b"\xff" * 100
    path.write_bytes(contents)

    code, findings = check()

    assert code == 1
    assert findings and not isinstance(findings, str) and findings["defects"]


def test_a_restored_file_has_no_log_of_the_old_one(service):
    issue(service, "a.example.com")
    back_up(service)
    restore(service)

    assert not list(service.path.glob("anchor.db-*"))
