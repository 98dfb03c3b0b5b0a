"""The unit of the service, run by systemd in a separate Linux kernel, as the how-to says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.support.documentation import ROOT, blocks
from tests.support.pki import make_csr, names_of
from tests.support.servers.user_mode_linux import boot_systemd

# The unit hides these directories, in which this machine may have Python and Anchor.  The test's
# drop-in makes home directories visible: with a tmpfs instead, systemd 257 admits only root.
_HIDDEN = ("/root", "/home", "/tmp", "/var/tmp")


# Processes are slow in this kernel: workers may take minutes to load.
# The page about nginx adds nginx' user to the group of the socket.
_NGINX = """
        usermod -aG anchor www-data
        mkdir -p /var/log/nginx /var/lib/nginx
        cat >/run/nginx.conf <<END
user www-data;
pid /run/nginx.pid;
events {}
http { server { listen 127.0.0.1:80;
  location / { include /etc/nginx/uwsgi_params; uwsgi_pass unix:/run/anchor/anchor.sock;
               uwsgi_read_timeout 300s; } } }
END
        nginx -c /run/nginx.conf
"""


@pytest.fixture
def printed(tmp_path):
    """The output of the page's commands, and of a request for a certificate."""
    venv, configuration, places, start = (b.text for b in blocks("howto/systemd.rst", "shell"))
    [user] = [line for line in venv.splitlines() if line.startswith("useradd")]
    (tmp_path / "csr.pem").write_bytes(make_csr("www.example.com"))
    code = sorted({str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, ROOT)})
    hidden = [path for path in code if path.startswith(_HIDDEN)]
    kept = "".join(f"mkdir -p /run/code{p}; mount --bind {p} /run/code{p}\n" for p in hidden)
    back = "".join(f"mkdir -p {p}; mount --bind /run/code{p} {p}\n" for p in hidden)
    return boot_systemd(
        tmp_path,
        f"""
        set -ex
        trap 'cat /run/anchor.log' EXIT
        cp {tmp_path}/csr.pem /run/csr.pem
        # Directories as a system has them; this machine's code may be below them.
        {kept}
        for place in {" ".join(_HIDDEN)}; do mount -t tmpfs -o mode=755 tmpfs $place; done
        {back}
        cd {ROOT}
        # In the place of the two lines that install.
        mkdir /opt/anchor
        mount --bind {sys.prefix} /opt/anchor
        mkdir -p /etc/systemd/system/anchor.service.d
        cat >/etc/systemd/system/anchor.service.d/this-machine.conf <<END
[Unit]
DefaultDependencies=no
[Service]
StandardOutput=truncate:/run/anchor.log
ProtectHome=read-only
BindReadOnlyPaths={" ".join(hidden)}
END
        # Nothing else of a system is wanted.
        printf '[Unit]\\nDefaultDependencies=no\\n' >/etc/systemd/system/network-online.target
        {user}
        {configuration}
        {places}
        {start}
        for i in $(seq 240); do
            test -S /run/anchor/anchor.sock && break
            systemctl is-active anchor.service
            sleep 0.5
        done
        pid=$(systemctl show -P MainPID anchor.service)
        grep -E "^(Uid|Seccomp|NoNewPrivs|CapEff|CapBnd):" /proc/$pid/status
        {_NGINX}
        secret=$(sed -n 's/.*"secret": "\\(.*\\)".*/\\1/p' /etc/anchor/config.json)
        fields="-F user=anchor -F secret=$secret -F encoding=pem -F csr=</run/csr.pem"
        curl -s http://127.0.0.1/v1/sign/default $fields
        systemctl reload anchor.service
        for i in $(seq 240); do
            grep -q "chain reloading complete" /run/anchor.log && break
            sleep 0.5
        done
        curl -s http://127.0.0.1/v1/sign/default $fields
        ls /var/lib/anchor/certs
        stat --format '%n %a %U' /var/lib/anchor/anchor.db*
        systemctl stop anchor.service
        systemctl show -p Result -p NRestarts anchor.service
        """,
    )


def test_the_service_signs_under_its_unit_and_ends_in_order(printed):
    issued = re.findall("-----BEGIN CERT.*?-----END CERTIFICATE-----", printed, re.DOTALL)

    assert 2 == len(issued), printed
    certificate = x509.load_pem_x509_certificate(issued[0].encode())
    assert ["www.example.com"] == names_of(certificate)
    status = dict(re.findall(r"^(\w+):\s+(\w+)", printed, re.MULTILINE))
    assert ("1", "2") == (status["NoNewPrivs"], status["Seccomp"])
    assert {0} == {int(status[name], 16) for name in ("CapEff", "CapBnd")}
    assert "0" != status["Uid"]
    assert f"{certificate.fingerprint(hashes.SHA256()).hex()}.crt" in printed
    assert "/var/lib/anchor/anchor.db 600 anchor" in printed
    assert "/var/lib/anchor/anchor.db-wal 600 anchor" in printed
    assert "Result=success" in printed
    assert "NRestarts=0" in printed
    assert "script ended with 0" in printed
