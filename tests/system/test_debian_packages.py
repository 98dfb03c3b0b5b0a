"""The Debian packages, installed on a fresh Debian with systemd as the how-to says."""

from __future__ import annotations

import shutil

import pytest
from cryptography import x509

from tests.support.documentation import blocks
from tests.support.pki import names_of
from tests.support.servers.fresh_debian import fresh_debian

PAGE = "howto/debian.rst"
CLIENT_COMMANDS = ("request", "renew", "list", "forget")
CERTIFICATE = "/var/lib/anchor-client/certificates/www.example.com/cert.pem"


def put_packages(machine, packages, *names):
    # dpkg need not wait for the disk of a machine that ends with the test.
    (machine.root / "etc/dpkg/dpkg.cfg.d/test").write_text("force-unsafe-io\n")
    for name in names:
        shutil.copy(packages[name], machine.root / "root")


@pytest.fixture(scope="module")
def node(tmp_path_factory, debian_packages):
    """A machine on which the page was followed, up to the first certificate."""
    *service, request = (block.text for block in blocks(PAGE, "shell"))
    [client] = (block.text for block in blocks(PAGE, "json"))
    with fresh_debian(tmp_path_factory.mktemp("node") / "machine") as machine:
        put_packages(machine, debian_packages, "anchor", "anchor-client")
        with (machine.root / "etc/hosts").open("a") as hosts:
            hosts.write("127.0.0.1 anchor.example.com\n")
        for step in service:
            printed = machine.run("set -e\n" + step.replace("--silent", "--silent --show-error"))
            if "apt-get install" in step:
                installed = printed
                state = machine.run(
                    "systemctl is-enabled anchor;"
                    "systemctl show -P ActiveState -P ConditionResult anchor"
                )
        machine.run("cp tls-ca/CA/root-ca.crt /etc/anchor/tls-ca.pem")
        machine.run("install -m 600 /etc/anchor/secret /etc/anchor/client-secret")
        (machine.root / "etc/anchor/client.json").write_text(client)
        listed = machine.run("set -e\n" + request)
        yield machine, installed, state, listed


def test_the_page_leads_from_the_packages_to_a_certificate(node):
    machine, installed, state, listed = node

    assert "the service starts once there is a CA and a configuration" in installed
    assert ["enabled", "inactive", "no"] == state.split()
    assert "www.example.com" in listed
    certificate = x509.load_pem_x509_certificate((machine.root / CERTIFICATE[1:]).read_bytes())
    assert ["www.example.com"] == names_of(certificate)
    machine.run(f"openssl verify -CAfile /etc/anchor/CA/root-ca.crt {CERTIFICATE}")


def test_the_files_have_owners_and_modes(node):
    machine, *_ = node
    shown = machine.run(
        "stat --format '%n %U:%G %a' /etc/anchor /etc/anchor/CA/root-ca-unwrapped.key"
        " /etc/anchor/config.json /etc/anchor/tls/anchor.key /var/lib/anchor /var/log/anchor"
        " /var/lib/anchor/anchor.db /run/anchor"
    )

    assert [
        "/etc/anchor root:anchor 750",
        "/etc/anchor/CA/root-ca-unwrapped.key root:anchor 440",
        "/etc/anchor/config.json root:anchor 640",
        "/etc/anchor/tls/anchor.key root:root 600",
        "/var/lib/anchor anchor:anchor 750",
        "/var/log/anchor anchor:anchor 750",
        "/var/lib/anchor/anchor.db anchor:anchor 600",
        "/run/anchor anchor:anchor 750",
    ] == shown.splitlines()
    assert "anchor:x:" in machine.run("getent passwd anchor")
    assert machine.run("getent passwd anchor").endswith(":/nonexistent:/usr/sbin/nologin\n")


def test_the_units_are_valid_and_the_timer_is_enabled(node):
    machine, *_ = node
    units = "anchor.service anchor-renew.service anchor-renew.timer anchor-renewd.service"

    assert "" == machine.run(f"systemd-analyze verify {units}")
    states = machine.run(f"systemctl is-enabled {units}", code=None).split()
    assert ["enabled", "static", "enabled", "disabled"] == states
    machine.run("systemctl start anchor-renew.service")
    assert "active\n" == machine.run("systemctl is-active anchor-renew.timer")


def test_the_profile_is_valid_and_fits_the_program_of_the_unit(node):
    machine, *_ = node
    profile = (machine.root / "etc/apparmor.d/anchor_production").read_text()
    unit = machine.run("systemctl show -P ExecStart anchor")

    machine.run("apt-get install -y -q apparmor")
    machine.run("apparmor_parser --skip-kernel-load --skip-cache /etc/apparmor.d/anchor_production")
    [venv] = [line for line in profile.splitlines() if line.startswith("@{ANCHOR_VENV}")]
    assert f"path={venv.split('=')[1]}/bin/uwsgi ;" in unit


def test_nothing_refers_to_the_machine_that_built_it(node, debian_packages):
    machine, *_ = node

    assert "" == machine.run(
        "grep -rlI '/tmp/tmp' /usr/lib/anchor /etc/anchor /usr/bin/anchor", code=1
    )
    shebang = (machine.root / "usr/lib/anchor/bin/anchor").read_text().splitlines()[0]
    assert "#!/usr/lib/anchor/bin/python3" == shebang


def test_an_upgrade_restarts_the_service_and_a_purge_keeps_the_ca(node, debian_packages):
    machine, *_ = node
    before = machine.run("systemctl show -P MainPID anchor")
    key = machine.run("sha256sum /etc/anchor/CA/root-ca-unwrapped.key")

    machine.run("dpkg -i ./anchor-client_*.deb ./anchor_*.deb")
    after = machine.run("systemctl show -P MainPID anchor")
    machine.run(
        "curl -sf --retry 20 --retry-all-errors --cacert tls-ca/CA/root-ca.crt https://anchor.example.com/readyz"
    )
    removed = machine.run("apt-get remove -y anchor")
    gone = machine.run("systemctl is-active anchor", code=None)
    purged = machine.run("apt-get purge -y anchor")

    assert before != after
    assert "0\n" != after
    assert "inactive\n" == gone
    assert "kept" not in removed
    assert "anchor: kept /etc/anchor; " in purged
    assert "anchor: kept /var/lib/anchor; " in purged
    assert key == machine.run("sha256sum /etc/anchor/CA/root-ca-unwrapped.key")
    machine.run("test ! -e /etc/anchor/anchor.ini -a ! -e /etc/apparmor.d/anchor_production")
    assert "www.example.com" in machine.run("anchor list")


def test_the_client_alone_has_its_commands_and_says_what_others_need(tmp_path, debian_packages):
    with fresh_debian(tmp_path / "machine") as machine:
        put_packages(machine, debian_packages, "anchor-client")
        machine.run("apt-get update -q && apt-get install -y -q ./anchor-client_*.deb")

        for command in CLIENT_COMMANDS:
            assert f"usage: anchor {command}" in machine.run(f"anchor {command} --help")
        machine.run("anchor renew --quiet && anchor-certmonger --help")
        assert "anchor 1" in machine.run("anchor --version")
        refused = [machine.run(f"anchor {line}", code=1) for line in ("schema", "token list")]
        machine.run("test ! -e /usr/lib/anchor/bin/uwsgi")
        machine.run("apt-get purge -y anchor-client && test ! -e /usr/lib/anchor")

    assert 2 == sum("anchor: this command needs the library sqlalchemy" in text for text in refused)
