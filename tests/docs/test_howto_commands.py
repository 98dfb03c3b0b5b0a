"""The commands of how-to pages work; only paths and addresses are replaced."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.audit.checkpoints import CheckpointInterval, CheckpointKey
from anchor.audit.file_sink import FileSink
from anchor.cli.main import main
from anchor.store.bans import Ban
from anchor.store.database.bans import Bans
from anchor.store.database.engine import Database
from anchor.store.database.inspection import inspect_database, schema_differences, schema_of
from anchor.store.database.settings import locate_database
from tests.support.acme import add_account
from tests.support.audit_records import cut
from tests.support.credentials import token_file
from tests.support.documentation import LITERAL, ROOT, blocks
from tests.support.migrations import make_old
from tests.support.pki import make_ca, make_csr, now
from tests.support.servers.processes import answers, free_port, wait_for
from tests.support.terminal import Terminal


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Makes a terminal in a directory that replaces ``/etc``, ``/var`` and others."""
    root = tmp_path / "root"
    places = ("/etc/anchor", "/etc/systemd/system", "/etc/pki", "/var/lib", "/var/log", "/run")
    for place in places:
        (root / place[1:]).mkdir(parents=True)
    (tmp_path / "tools").symlink_to(ROOT / "tools")

    def opened(replace=None, **stand_ins):
        everywhere = {place: root / place[1:] for place in places}
        return Terminal(tmp_path, (replace or {}) | everywhere, stand_ins)

    return opened


def follow(terminal, page, *languages):
    for block in blocks(page, *languages):
        terminal.follow(block)


def test_the_migration_from_0_4_works(here, tmp_path):
    (tmp_path / "CA").mkdir()
    ca = make_ca(tmp_path)
    ca.cert_path.rename(tmp_path / "CA/root-ca.crt")
    ca.key_path.rename(tmp_path / "CA/root-ca-unwrapped.key")
    (tmp_path / "CA/root-ca-unwrapped.key").chmod(0o644)

    with here() as terminal:
        follow(terminal, "howto/moving-from-0.4.rst")


@pytest.fixture
def audited(serve, document, tmp_path):
    """A service with an audit file and the page's configuration."""
    [block] = blocks("howto/audit.rst", "json")
    section = json.loads(block.text)["audit"]
    section["path"] = str(tmp_path / "root/var/log/anchor/audit.jsonl")
    section["checkpoint_key_path"] = str(tmp_path / "root/etc/anchor/audit.key")
    Path(section["path"]).parent.mkdir()
    document["audit"] = section
    return lambda: serve(document)


def test_an_audit_file_is_written_verified_and_read(here, audited, tmp_path):
    made, verified, several = blocks("howto/audit.rst", "console")
    [read] = blocks("howto/audit.rst", "sh")

    with here() as terminal:
        terminal.follow(made)
        service = audited()
        service.issue(make_csr())
        service.sign(b"no request", status=400)
        terminal.run("anchor audit checkpoint >loghost.log")
        terminal.run("cp /etc/anchor/audit.key.pub . && cp /var/log/anchor/audit.jsonl .")
        terminal.follow(verified)
        assert "alice\t192.0.2.7\t" in terminal.run(read.text)

        terminal.run("cp -r /var/log/anchor web1")
        sink = FileSink(
            tmp_path / "web2/audit.jsonl",
            CheckpointKey.from_pem((tmp_path / "root/etc/anchor/audit.key").read_bytes()),
            CheckpointInterval(1000, 3600),
            "web2",
        )
        (tmp_path / "web2").mkdir()
        with (tmp_path / "loghost.log").open("a") as log:
            log.writelines(f"{sink.checkpoint()}\n" for _ in range(3))
        cut(tmp_path / "web2/audit.jsonl", 2)
        terminal.follow(several)


def test_a_name_is_banned(here, service, tmp_path):
    service.issue(make_csr("www.example.com", "www.example.com"))
    started = now()
    wait_for(lambda: now() > started, what="the next second")
    service.issue(make_csr("*.example.com", "*.example.com"))
    (tmp_path / "stolen.crt").write_bytes(make_csr())

    places = {"/var/lib/anchor/anchor.db": tmp_path / "anchor.db"}
    with here(places | {"/etc/ssl/stolen.crt": tmp_path / "stolen.crt"}) as terminal:
        follow(terminal, "howto/bans.rst", "console")


@pytest.fixture
def configured(document, tmp_path):
    """The small configuration, in the directory where the terminal starts."""
    (tmp_path / "config.json").write_text(json.dumps(document))
    shutil.copy(ROOT / "config.py", tmp_path)


def test_uwsgi_and_gunicorn_serve_by_one_line(here, configured, tmp_path):
    lines = blocks("howto/nginx-and-uwsgi.rst", LITERAL)

    for block in lines:
        port = free_port()
        replace = {"127.0.0.1:5016": f"127.0.0.1:{port}", "path/to/venv": sys.prefix}
        with here({**replace, "-p 4": "-p 4 --master"}) as terminal:
            terminal.run(f"({block.text.strip()}) >{tmp_path}/log 2>&1 &")
            wait_for(lambda port=port: answers(port), what=f"{block}")


def test_a_reload_replaces_workers_and_a_bad_configuration_is_not_loaded(
    here, configured, tmp_path
):
    reload, start = blocks("howto/reload.rst", "sh")
    log = tmp_path / "log"

    with here({"/opt/anchor": sys.prefix}) as terminal:
        terminal.run("mkdir -p /run/anchor && rm -f /run/anchor.pid")
        terminal.run(f"({start.text.strip()}) >{log} 2>&1 &")
        wait_for((tmp_path / "root/run/anchor/anchor.sock").exists, what="uwsgi's socket")
        wait_for(lambda: "spawned" in log.read_text(), what="workers")
        terminal.follow(reload)
        wait_for(lambda: "chain reloading complete" in log.read_text(), what="the reload")
        (tmp_path / "config.json").write_text("{}")
        terminal.run(reload.text, code=1)
        terminal.run("kill $(cat /run/anchor.pid)")


def test_a_token_of_keystones_is_sent(here, https_anchor, document, tmp_path):
    """A script replaces ``openstack``; test_keystone.py has a real Keystone."""
    [curl] = [b for b in blocks("howto/keystone.rst", "shell") if b.text.startswith("curl")]
    (tmp_path / "host.csr").write_bytes(make_csr())
    shutil.copy(https_anchor.tls.ca.cert_path, tmp_path / "tls-ca.pem")
    replace = {
        "curl https://anchor.example.com": f"curl -sSf --cacert tls-ca.pem {https_anchor.url}",
        "sign/cloud": "sign/default",
        "user=token": "user=alice",
    }

    with here(replace, openstack="echo s3cret") as terminal:
        assert "BEGIN CERTIFICATE" in terminal.run(curl.text)


SYSTEMCTL = "echo systemctl $* >>$HOME/systemctl.log"


@pytest.fixture
def packaged(serve, document, tmp_path):
    """Makes a service with the paths of the pages, below the directory that replaces ``/``."""
    root = tmp_path / "root"

    def start(**database):
        (root / "var/lib/anchor").mkdir()
        document["database"] = {"url": f"sqlite:///{root}/var/lib/anchor/anchor.db"} | database
        document["signing_ca"]["local"]["output_path"] = f"{root}/var/lib/anchor/certs"
        main(["audit", "init", f"{root}/etc/anchor/audit.key"])
        document["audit"] = {
            "target": "file",
            "path": f"{root}/var/log/audit.jsonl",
            "checkpoint_key_path": f"{root}/etc/anchor/audit.key",
        }
        service = serve(document)
        shutil.copy(tmp_path / "config.json", root / "etc/anchor")
        return service

    return start


OWNER = {"-o anchor -g anchor": "-o root -g root"}


def test_a_backup_is_restored_and_the_check_names_the_forgotten_certificate(
    here, packaged, tmp_path
):
    files, backup, _, unpack, restore, _, check, start = blocks("howto/backup.rst", "sh")
    (tmp_path / "backups").mkdir()
    (tmp_path / "root/var/log/anchor").mkdir()

    with here({"/var/backups": tmp_path / "backups", **OWNER}, systemctl=SYSTEMCTL) as terminal:
        service = packaged()
        service.issue(make_csr("old.example.com", "old.example.com"))
        terminal.follow(files)
        terminal.follow(backup)
        service.issue(make_csr("new.example.com", "new.example.com"))
        service.settings.database.close()
        terminal.run("rm /etc/anchor/config.json")
        terminal.follow(unpack)
        terminal.follow(restore)
        checked = terminal.run(check.text, code=1)
        listed = terminal.run("anchor certs")
        terminal.follow(start)

    assert not any(name.endswith(".key") for name in archived(tmp_path / "backups"))
    assert re.search(r"forgotten: 1 certificate .*\n.* DNS:new\.example\.com", checked), checked
    assert "old.example.com" in listed
    assert "new.example.com" not in listed
    assert ["systemctl stop anchor", "systemctl start anchor"] == (
        (tmp_path / "systemctl.log").read_text().splitlines()
    )


def test_a_server_is_restored_to_the_version_of_its_backup(
    here, postgresql_server, postgresql_url, tmp_path, monkeypatch
):
    _, _, backup, _, _, restore, _, _ = blocks("howto/backup.rst", "sh")
    location = locate_database({"url": postgresql_url}, tmp_path)
    name = location.url.database
    words = ("shared_keys", "--if-exists", "--owner anchor")
    replace = {f"{before} anchor": f"{before} {name}" for before in words}
    replace |= {"--dbname=anchor": f"--dbname={name}", "/var/backups": tmp_path}
    make_old(location, "0003", monkeypatch).close()

    with here(replace, sudo='shift 2; exec "$@"') as terminal:
        terminal.run(f"export PGHOST={postgresql_server.directory} PGUSER=postgres")
        terminal.run(f"export PGPORT={postgresql_server.port}")
        terminal.follow(backup)
        _migrate(location)
        terminal.follow(restore)

    with inspect_database(location) as connection:
        assert schema_of(connection) == "0003"
    # The next upgrade.
    _migrate(location)
    with inspect_database(location) as connection:
        assert schema_differences(connection) == []


def _migrate(location):
    database = Database(location)
    database.prepare()
    database.close()


def archived(directory):
    """The names in the archive of the page."""
    with tarfile.open(directory / "anchor-files.tar.gz") as archive:
        return archive.getnames()


def test_an_upgrade_migrates_the_database_and_imports_the_files(here, packaged, tmp_path):
    upgrade, importing = blocks("howto/upgrade.rst", "sh")
    replace = {"/opt/anchor/bin/pip": "echo pip"}

    with here(replace, systemctl=SYSTEMCTL) as terminal:
        packaged().issue(make_csr("www.example.com", "www.example.com"))
        shown = terminal.run(upgrade.text)
        terminal.run("rm /var/lib/anchor/anchor.db*")
        imported = terminal.run(importing.text)

    assert re.search("schema ([0-9]+), this version of Anchor has \\1", shown), shown
    assert re.search(" 1  certificates$", shown, re.MULTILINE), shown
    assert imported.startswith("imported 1 certificate")


def test_the_owner_of_the_tables_upgrades_them_for_the_services_user(
    postgresql_server, postgresql_url, tmp_path, monkeypatch
):
    [grant] = blocks("howto/upgrade.rst", "text")
    name = postgresql_url.rpartition("/")[2]
    owner = f"owner_of_{name}"
    postgresql_server.sql(f"CREATE ROLE {owner} LOGIN")
    postgresql_server.sql(f"ALTER DATABASE {name} OWNER TO {owner}", database="postgres")
    of_owner = locate_database(
        {"url": postgresql_url.replace("//anchor@", f"//{owner}@")}, tmp_path
    )
    make_old(of_owner, "0003", monkeypatch).close()
    postgresql_server.sql(grant.text, database=name, user=owner)

    _migrate(of_owner)
    postgresql_server.sql(grant.text, database=name, user=owner)

    database = Database(locate_database({"url": postgresql_url}, tmp_path))
    add_account(database)
    Bans(database).add(Ban(kind="requester", value="alice", since=now()))
    database.close()


def test_a_sqlite_database_moves_to_postgresql(here, packaged, postgresql_url, tmp_path):
    url = postgresql_url.replace("+psycopg", "")
    # The server of the tests has no certificate.
    replace = {
        "postgresql://anchor@db1.example.com/anchor?sslmode=verify-full": f"{url}?sslmode=prefer"
    }
    secret = tmp_path / "root/etc/anchor/db-password"

    with here(replace, systemctl=SYSTEMCTL) as terminal:
        packaged().issue(make_csr("www.example.com", "www.example.com"))
        secret.write_text("s3cret\n")
        secret.chmod(0o600)
        terminal.run("export ANCHOR_CONF=/etc/anchor/config.json")
        follow(terminal, "howto/sqlite-to-postgresql.rst", "sh")
        configured = terminal.run("cat $ANCHOR_CONF")
        assert "?sslmode=verify-full&sslrootcert=/etc/anchor/db-ca.pem" in configured
        terminal.run("rm /var/lib/anchor/anchor.db*")
        assert "DNS:www.example.com" in terminal.run("anchor certs")


def test_a_node_shows_which_database_it_uses(here, packaged, postgresql_url):
    _, show = blocks("howto/several-nodes.rst", "sh")
    url = postgresql_url.replace("+psycopg", "")

    with here() as terminal:
        packaged(url=url).issue(make_csr())
        shown = terminal.run(show.text)

    assert f"{url.partition('://')[2]} (PostgreSQL" in shown
    assert re.search(" 1  certificates$", shown, re.MULTILINE), shown


@pytest.fixture
def client(https_anchor, tmp_path):
    """The page's ``/etc/anchor/client.json``, for the service of this test."""
    path = tmp_path / "root/etc/anchor/client.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    https_anchor.client_json(path, secret_file="secret")
    (path.parent / "secret").write_text("s3cret\n")
    (path.parent / "secret").chmod(0o600)
    return path


def test_machines_renew_without_certmonger(three_ways_in, here, client, https_anchor, tmp_path):
    token_url = f"{https_anchor.url}/v1/sign/tokens"
    token_file(client.with_name("token"))
    shutil.copy(https_anchor.tls.ca.cert_path, client.with_name("tls-ca.pem"))
    request, by_token, timer, daemon, container, hook = blocks("howto/renewal.rst", "shell")
    stand_ins = {"systemctl": SYSTEMCTL, "nginx": "echo nginx $* >>$HOME/nginx.log"}
    replace = {"-o postgres": "-o root", "https://anchor.example.com/v1/sign/web": token_url}

    with here(replace, **stand_ins) as terminal:
        terminal.run("export ANCHOR_CLIENT_CONF=/etc/anchor/client.json")
        terminal.run("export ANCHOR_STATE=/var/lib/anchor-client")
        terminal.follow(request)
        [text] = [b.text for b in blocks("howto/renewal.rst", "nginx") if "fullchain" in b.text]
        for path in re.findall(r"(/\S+);", text):
            terminal.run(f"test -s {path}")
        terminal.follow(by_token)
        for block in (timer, daemon):
            terminal.follow(block)
        script(terminal, "entry", container)
        terminal.run("HOSTNAME=pod1.example.com ./entry")
        terminal.run("test -s /run/anchor/certificates/pod1.example.com/key.pem")
        terminal.run("mkdir /var/lib/postgresql")
        script(terminal, "hook", hook)
        terminal.run("anchor request db.example.com --hook $PWD/hook")
        terminal.run(
            "openssl x509 -in /var/lib/postgresql/server.crt -noout -checkhost db.example.com"
        )

    assert [
        "systemctl reload nginx",
        "systemctl daemon-reload",
        "systemctl enable --now anchor-renew.timer",
        "systemctl daemon-reload",
        "systemctl enable --now anchor-renewd.service",
        "systemctl reload postgresql",
    ] == (tmp_path / "systemctl.log").read_text().splitlines()
    assert "nginx -g daemon off;" in (tmp_path / "nginx.log").read_text()


def script(terminal, name, block):
    """Write a code block to an executable file."""
    terminal.follow(dataclasses.replace(block, caption=name))


def test_certmonger_gets_a_certificate(here, certmonger, client, https_anchor, tmp_path):
    secret, add, request, chain = blocks("howto/certmonger.rst", "shell")
    helper = Path(sys.executable).with_name("anchor-certmonger")
    replace = {
        "/usr/bin/anchor-certmonger": helper,
        "'https://anchor.example.com/": f"'{https_anchor.url}/",
    }
    shutil.copy(https_anchor.tls.ca.cert_path, client.with_name("tls-ca.pem"))
    stand_ins = {"systemctl": SYSTEMCTL, "editor": 'echo s3cret >"$1"'}

    with here(replace, **stand_ins) as terminal:
        for name, value in certmonger.environment.items():
            if name.startswith(("CERTMONGER", "DBUS")):
                terminal.run(f"export {name}={value}")
        for block in (secret, add, request):
            terminal.follow(block)
        script(terminal, "post-save", chain)
        terminal.run("./post-save")
        shown = terminal.run("openssl verify -CAfile /etc/pki/ca.pem /etc/pki/web-fullchain.pem")

    assert shown.endswith("OK\n")
    assert "systemctl reload nginx" in (tmp_path / "systemctl.log").read_text()


def test_a_stolen_ca_is_replaced_and_its_certificates_are_not_trusted(here, packaged, ca, tmp_path):
    stop, keep, make, compare, start, refuse, look_up = blocks("howto/stolen-ca-key.rst", "sh")
    audit = tmp_path / "root/var/log/anchor"
    replace = {"/root/incident": tmp_path / "incident", **OWNER}

    with here(replace, systemctl=SYSTEMCTL) as terminal:
        service = packaged()
        old = service.issue(make_csr("www.example.com", "www.example.com"))
        service.settings.database.close()
        terminal.follow(stop)
        audit.mkdir()
        for path in (tmp_path / "root/var/log").glob("audit.jsonl*"):
            shutil.copy(path, audit)
        terminal.follow(keep)
        terminal.follow(make)
        assert "fingerprint=" in terminal.run(compare.text).lower()
        use_ca_in(tmp_path / "root/etc/anchor", tmp_path / "root/etc/anchor/config.json")
        terminal.follow(start)
        for name in ("old-certificate.pem", "seen.pem"):
            (tmp_path / name).write_bytes(old.public_bytes(Encoding.PEM))
        terminal.follow(refuse)
        assert "DNS:www.example.com" in terminal.run(look_up.text)
        forged = make_ca(tmp_path, name="forged", issuer=ca, ca=False)
        shutil.copy(forged.cert_path, tmp_path / "seen.pem")
        terminal.run(look_up.text, code=1)

    assert "www.example.com" in (tmp_path / "incident/in-force.jsonl").read_text()
    assert ["systemctl stop anchor", "systemctl start anchor"] == (
        (tmp_path / "systemctl.log").read_text().splitlines()
    )


def use_ca_in(directory, config):
    """Let a configuration have its CA at the page's paths."""
    (directory / "CA").mkdir()
    document = json.loads(config.read_text())
    document["signing_ca"]["local"] |= {
        "cert_path": f"{directory}/CA/root-ca.crt",
        "key_path": f"{directory}/CA/root-ca-unwrapped.key",
    }
    config.write_text(json.dumps(document))
