"""The pages about production work on a fresh Debian, as they stand, from the first line on.

``howto/systemd.rst`` and ``howto/nginx-and-uwsgi.rst`` install the service; other pages continue
on a copy of that machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from cryptography import x509

from tests.support.documentation import ROOT, blocks
from tests.support.servers.fresh_debian import fresh_debian
from tests.support.servers.processes import wait_for
from tests.support.servers.uwsgi_wheel import uwsgi_wheels
from tests.support.terminal import Terminal

# The address of the machine on its other network; requests from there are not from loopback.
OTHER = "10.0.2.100"


def follow(terminal, page):
    """Follow all steps; a step that fails ends the shell, and so the test."""
    for block in blocks(page, "console", "shell"):
        step(terminal, block)


def step(terminal, block):
    """Follow one block."""
    is_script = block.language == "shell"
    terminal.run("set -e" if is_script else "set +e")
    terminal.follow(block)
    terminal.run("set +e")


def at(machine, directory, replace=None):
    """A terminal of root, in the clone."""
    opened = Terminal(directory, replace, shell=machine.shell, patience=540)
    opened.run("cd /root/anchor")
    return opened


def sign(terminal, address):
    """Send a request through nginx from this address; return the answer."""
    return terminal.run(
        f"curl --silent --cacert tls-ca/CA/root-ca.crt --resolve anchor.example.com:443:{address} "
        "https://anchor.example.com/v1/sign/default -F user=anchor -F 'secret=</etc/anchor/secret' "
        "-F encoding=pem -F 'csr=<www.csr'"
    )


def clone(directory):
    """Copy the files of this repository, as a clone has them."""
    directory.mkdir()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    packed = subprocess.run(
        ["tar", "--create", "--null", "--files-from=-"],
        cwd=ROOT,
        input=files.stdout,
        check=True,
        capture_output=True,
    )
    subprocess.run(["tar", "--extract", "-C", directory], input=packed.stdout, check=True)


def offer_uwsgi(root):
    """Let pip find the compiled uwsgi: it would compile the same one."""
    shutil.copytree(uwsgi_wheels(), root / "srv/wheels")
    settings = root / "etc/xdg/pip/pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("[global]\nfind-links = /srv/wheels\n")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The changes of a machine on which both pages were followed."""
    directory = tmp_path_factory.mktemp("installed")
    with fresh_debian(directory / "machine") as machine:
        clone(machine.root / "root/anchor")
        offer_uwsgi(machine.root)
        with at(machine, directory) as terminal:
            follow(terminal, "howto/systemd.rst")
            *steps, admit = blocks("howto/nginx-and-uwsgi.rst", "console", "shell")
            for block in steps:
                step(terminal, block)
            assert "source_cidrs" in sign(terminal, OTHER)
            step(terminal, admit)
            wait_for(lambda: "BEGIN CERTIFICATE" in sign(terminal, OTHER), what="the new networks")
        machine.run("systemctl stop anchor.service nginx.service")
        assert "Result=success" in machine.run("systemctl show --property Result anchor.service")
    return machine.changes


@pytest.fixture
def machine(installed, debian):
    """A copy of that machine, after a start."""
    started = debian(installed)
    wait_for((started.root / "run/anchor/anchor.sock").exists, what="uwsgi's socket")
    return started


def test_the_service_starts_with_the_machine_and_signs_with_few_privileges(machine, tmp_path):
    with at(machine, tmp_path) as terminal:
        wait_for(lambda: "BEGIN CERTIFICATE" in sign(terminal, "127.0.0.1"), what="a certificate")
        assert "BEGIN CERTIFICATE" in sign(terminal, OTHER)

    status = machine.run("cat /proc/$(systemctl show -P MainPID anchor.service)/status")
    fields = dict(re.findall(r"^(\w+):\s+(\w+)", status, re.MULTILINE))
    assert ("1", "2") == (fields["NoNewPrivs"], fields["Seccomp"])
    assert {0} == {int(fields[name], 16) for name in ("CapEff", "CapBnd")}
    assert "0" != fields["Uid"]
    shown = machine.run("stat --format '%n %a %U' /var/lib/anchor/anchor.db*")
    assert "/var/lib/anchor/anchor.db 600 anchor" in shown
    assert "/var/lib/anchor/anchor.db-wal 600 anchor" in shown
    assert machine.run("ls /var/lib/anchor/certs").count(".crt") >= 2


def reloads(machine):
    """How often the service has replaced all its workers."""
    log = machine.run("journalctl --unit anchor.service --output cat")
    return log.count("chain reloading complete")


def test_a_next_ca_takes_over_at_its_time(machine, tmp_path):
    machine.run("echo 127.0.0.1 anchor.example.com >>/etc/hosts")
    machine.run("cp anchor/tls-ca/CA/root-ca.crt anchor/tls-ca.pem")
    page = blocks("howto/rollover.rst", "console", "shell")

    with at(machine, tmp_path, {"+2 days": "+40 seconds"}) as terminal:
        wait_for(lambda: "BEGIN CERTIFICATE" in sign(terminal, "127.0.0.1"), what="a certificate")
        before = reloads(machine)
        for block in page[:-2]:
            step(terminal, block)
        wait_for(lambda: reloads(machine) > before, what="the end of the reload")
        step(terminal, page[-2])
        terminal.run('while [ "$(date --utc +%Y-%m-%dT%H:%M:%SZ)" \\< "$FROM" ]; do sleep 1; done')
        step(terminal, page[-1])
        (tmp_path / "www.crt").write_text(sign(terminal, "127.0.0.1"))

    issued = x509.load_pem_x509_certificate((tmp_path / "www.crt").read_bytes())
    assert "CN=Anchor CA 2" == issued.issuer.rfc4514_string()


def test_keys_are_made_and_imported_in_tokens(machine, tmp_path):
    with at(machine, tmp_path) as terminal:
        terminal.run("openssl genpkey -algorithm RSA -out key.p8")
        follow(terminal, "howto/softhsm.rst")
        terminal.run(
            "softhsm2-util --init-token --free --label production --so-pin 12345678 --pin 4711"
        )
        follow(terminal, "howto/hsm.rst")
