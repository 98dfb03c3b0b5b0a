"""The AppArmor profiles, with the service in a kernel that enforces them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.pki import assert_is_leaf, make_csr
from tests.support.servers.anchor import ROOT, uwsgi_ini
from tests.support.servers.processes import program
from tests.support.servers.user_mode_linux import boot

PROFILES = ("anchor_debug", "anchor_production")

# A validator that does what an attacker in the process would try.
BURGLAR = """
import os, subprocess, sys

LOADER = "/lib64/ld-linux-x86-64.so.2"

def burglar(csr, ca: str, certs: str, run: str):
    def attempt(what, act):
        try:
            act()
        except Exception as error:
            print(f"burglar: {what}: {type(error).__name__}", file=sys.stderr, flush=True)
        else:
            print(f"burglar: {what}: done", file=sys.stderr, flush=True)

    attempt("read shadow", lambda: open("/etc/shadow").read())
    attempt("read configuration", lambda: open(os.environ["ANCHOR_CONF"]).read())
    attempt("write key", lambda: open(ca + "/root.key", "w"))
    attempt("append key", lambda: open(ca + "/root.key", "a"))
    attempt("remove key", lambda: os.unlink(ca + "/root.key"))
    attempt("replace key", lambda: os.rename(ca + "/root.crt", ca + "/root.key"))
    attempt("add certificate", lambda: open(ca + "/other.crt", "w"))
    attempt("write code", lambda: open(os.path.join(sys.prefix, "x.pth"), "w"))
    attempt("write run", lambda: open("/run/elsewhere", "w"))
    attempt("run a program", lambda: subprocess.run(["/usr/bin/id"], check=True))
    attempt("run a shell", lambda: subprocess.run(["/bin/sh", "-c", ":"], check=True))
    attempt("run bash", lambda: subprocess.run(["/bin/bash", "-c", ":"], check=True))
    python = os.path.realpath(os.path.join(sys.prefix, "bin/python3"))
    attempt("run python", lambda: subprocess.run([python, "-c", ""], check=True))
    venv = os.path.join(sys.prefix, "bin/python3")
    attempt("run the venv's python", lambda: subprocess.run([venv, "-c", ""], check=True))
    anchor = os.path.join(sys.prefix, "bin/anchor")
    attempt("run anchor", lambda: subprocess.run([anchor, "--version"], check=True))
    attempt("run through the loader", lambda: subprocess.run([LOADER, "/usr/bin/id"], check=True))
    attempt("write a program", lambda: open(run + "/program", "w").write("#!/bin/sh"))
    attempt("run its own program", lambda: (
        os.chmod(run + "/program", 0o700), subprocess.run([run + "/program"], check=True)
    ))
    for name in os.listdir(certs):
        if name.endswith(".crt"):
            attempt("read certificate", lambda: open(os.path.join(certs, name)).read())
"""
DENIED = (
    *("read shadow", "write key", "append key", "remove key", "replace key", "add certificate"),
    *("write run", "run a program", "read certificate"),
    *("run a shell", "run bash", "run python", "run the venv's python", "run anchor"),
    *("run through the loader", "run its own program"),
)


@pytest.mark.parametrize("hsm", ["false", "true"])
@pytest.mark.parametrize("name", PROFILES)
def test_the_parser_takes_the_profile(name, hsm, tmp_path):
    text = (ROOT / "tools/apparmor" / name).read_text()
    assert 1 == text.count("$ANCHOR_HSM=false")
    (tmp_path / name).write_text(text.replace("$ANCHOR_HSM=false", f"$ANCHOR_HSM={hsm}"))
    finished = subprocess.run(
        [program("apparmor_parser", "apparmor"), "-Q", "-K", tmp_path / name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == finished.returncode, finished.stderr


def adapted(name, directory, *, hsm=False):
    """The profile with the paths of this machine."""
    text = (ROOT / "tools/apparmor" / name).read_text()
    for variable, value in {
        "ANCHOR_VENV": sys.prefix,
        "ANCHOR_PYTHON": sys.base_prefix,
        "ANCHOR_CONFIG": f"{directory}/config",
        "ANCHOR_CA": "/run/anchor/CA",
        "ANCHOR_CERTS": "/run/anchor/certs",
        "ANCHOR_DATABASE": "/run/anchor/state/anchor.db",
        "ANCHOR_DATABASE_DIRECTORY": "/run/anchor/state",
        "ANCHOR_RUN": "/run/anchor/sock",
        "ANCHOR_HSM_STATE": "/run/anchor/tokens",
    }.items():
        text, count = re.subn(rf"(?m)^@{{{variable}}}=.*$", f"@{{{variable}}}={value}", text)
        assert 1 == count, variable
    text = text.replace("$ANCHOR_HSM=false", f"$ANCHOR_HSM={'true' if hsm else 'false'}")
    # The tests' Anchor is an editable install, so its code is in the clone.
    return text.replace(
        "  include if exists <local", f"  {ROOT}/anchor/{{,**}} mr,\n  include if exists <local"
    )


def served(name, directory, ca, prepare):
    """Run the confined service and return its output.

    Args:
        directory: contains config/config.json and the file profile.
        prepare: a shell script that runs before the service.
    """
    config = directory / "config"
    shutil.copy(ROOT / "config.py", config)
    (directory / "csr.pem").write_bytes(make_csr())
    if name == "anchor_production":
        # Copy the ini file to the configuration, as an operator does.
        shutil.copy(ROOT / "tools/uwsgi/anchor.ini", config)
        *start, _ini = uwsgi_ini("/run/anchor/sock")
        port, command = 5020, [*start, "anchor.ini", "--http-socket", "127.0.0.1:5020"]
    else:
        port, command = 5016, [program("pecan", "pecan"), "serve", "config.py"]
    return boot(
        directory,
        f"""
        set -e
        mkdir -p /run/anchor/certs /run/anchor/sock /run/anchor/state /run/anchor/CA
        cp "{ca.cert_path}" /run/anchor/CA/root.crt
        {prepare}
        apparmor_parser -r -K {directory}/profile
        cd {config}
        export ANCHOR_CONF={config}/config.json
        {" ".join(map(str, command))} &
        for i in $(seq 240); do
            curl -s -o /dev/null http://127.0.0.1:{port}/healthz && break
            kill -0 $!
            sleep 0.5
        done
        cat /proc/$!/attr/current
        for i in 1 2; do
            curl -s -F user=alice -F secret=s3cret -F encoding=pem \\
                -F "csr=<{directory}/csr.pem" http://127.0.0.1:{port}/v1/sign/default
        done
        curl -s http://127.0.0.1:{port}/readyz
        ls /run/anchor/certs
        echo "stored: $(python3 -c "{COUNT}")"
        kill $!
        wait $! || true
        """,
    )


DATABASE = {"url": "sqlite:////run/anchor/state/anchor.db"}
COUNT = (
    "import sqlite3; "
    "database = sqlite3.connect('/run/anchor/state/anchor.db'); "
    "print(*database.execute('SELECT count(*) FROM certificates').fetchone())"
)


@pytest.mark.parametrize("name", PROFILES)
def test_the_confined_service_signs_and_can_do_nothing_else(name, document, ca, tmp_path):
    config = tmp_path / "config"
    offer(config / "site")
    document["database"] = DATABASE
    document["signing_ca"]["local"] |= {
        "cert_path": "/run/anchor/CA/root.crt",
        "key_path": "/run/anchor/CA/root.key",
        "output_path": "/run/anchor/certs",
    }
    places = {"ca": "/run/anchor/CA", "certs": "/run/anchor/certs", "run": "/run/anchor/sock"}
    document["registration_authority"]["default"]["validators"] = {"burglar": places}
    (config / "config.json").write_text(json.dumps(document))
    (tmp_path / "profile").write_text(adapted(name, tmp_path))
    printed = served(
        name,
        tmp_path,
        ca,
        f"""
        install -m 600 "{ca.key_path}" /run/anchor/CA/root.key
        export PYTHONPATH={config}/site
        """,
    )

    assert f"{name} (enforce)" in printed, printed
    issued = re.findall("-----BEGIN CERT.*?-----END CERTIFICATE-----", printed, re.DOTALL)
    assert 2 == len(issued), printed
    assert_is_leaf(x509.load_pem_x509_certificate(issued[0].encode()), issued_by=ca)
    assert "signing_ca.local.storage: ok" in printed
    assert "stored: 2" in printed
    outcomes = dict(re.findall(r"burglar: (.*): (\w+)", printed))
    assert dict.fromkeys(DENIED, "PermissionError") == {
        what: outcomes.get(what) for what in DENIED
    }, printed
    assert "done" == outcomes["read configuration"]
    denials = [line for line in printed.splitlines() if "DENIED" in line]
    for path in ("/etc/shadow", "/run/anchor/CA/root.key", "/bin/dash", "/bin/bash"):
        assert any(path in line and f'profile="{name}"' in line for line in denials), printed
    # The service itself needs none of these.
    programs = ("/bin/id", "/bin/dash", "/bin/bash", "/bin/python", "/bin/anchor", "ld-linux")
    expected = ("/etc/shadow", "/run/anchor/CA/", "/run/elsewhere", "x.pth", ".crt", "/program")
    assert [] == [line for line in denials if not any(path in line for path in expected + programs)]


@pytest.mark.parametrize("name", PROFILES)
def test_the_confined_service_signs_with_a_key_in_an_hsm(name, softhsm, document, tmp_path):
    ca = softhsm.make_ca()
    config = tmp_path / "config"
    config.mkdir()
    (config / "softhsm2.conf").write_text(
        softhsm.conf.read_text().replace(str(softhsm.directory), "/run/anchor/tokens")
    )
    document["database"] = DATABASE
    document["signing_ca"]["local"] = softhsm.section(
        ca, cert_path="/run/anchor/CA/root.crt", output_path="/run/anchor/certs"
    )
    (config / "config.json").write_text(json.dumps(document))
    (tmp_path / "profile").write_text(adapted(name, tmp_path, hsm=True))

    printed = served(
        name,
        tmp_path,
        ca,
        f"""
        cp -r {softhsm.directory} /run/anchor/tokens
        export SOFTHSM2_CONF={config}/softhsm2.conf
        """,
    )

    assert f"{name} (enforce)" in printed, printed
    issued = re.findall("-----BEGIN CERT.*?-----END CERTIFICATE-----", printed, re.DOTALL)
    assert 2 == len(issued), printed
    assert_is_leaf(x509.load_pem_x509_certificate(issued[0].encode()), issued_by=ca)
    assert "stored: 2" in printed
    assert [] == [line for line in printed.splitlines() if "DENIED" in line]


def offer(site):
    """Install the validator as a distribution."""
    metadata = site / "trouble-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "trouble.py").write_text(BURGLAR)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1.0\n")
    entry = "[anchor.validators]\nburglar = trouble:burglar\n"
    (Path(metadata) / "entry_points.txt").write_text(entry)
