"""``anchor init``: what it makes is a CA that works, in a file or in a token."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor import settings, signers
from anchor.cli import main
from anchor.registration_authority import utc_now
from anchor.X509.signing_request import X509Csr
from tests.pki import a_key, key_pem, make_csr
from tests.servers.anchor import ROOT
from tests.servers.processes import program
from tests.servers.softhsm import MODULE, PIN, Tokens


@pytest.fixture
def issue():
    """A certificate from the CA that was made in a directory."""

    def issue(directory):
        config = directory / "config.json"
        proved = settings.load(config)
        assert () == proved.warnings
        section = json.loads(config.read_text())["signing_ca"]["local"]
        ca = signers.configure("local", section, directory, utc_now(), with_key=True)
        csr = X509Csr.from_pem(make_csr("host.example.com", "host.example.com"))
        issued = ca.issue(csr, utc_now())
        (directory / "leaf.crt").write_bytes(issued.certificate.public_bytes(Encoding.PEM))
        return issued.certificate

    return issue


@pytest.fixture
def pin_file(tmp_path):
    file = tmp_path / "pin"
    file.write_text(f"{PIN}\n")
    file.chmod(0o400)
    return file


def verified_by_openssl(directory, *untrusted):
    """Whether OpenSSL, at its strictest, finds the way from the leaf to the root."""
    options = [word for path in untrusted for word in ("-untrusted", path)]
    finished = subprocess.run(
        [
            *(program("openssl", "openssl"), "verify", "-x509_strict"),
            *("-CAfile", "CA/root-ca.crt", *options, "leaf.crt"),
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    return finished.returncode == 0, finished.stderr


def certificate_in(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize("kind", ["ec-p256", "ed25519", "rsa-2048"])
def test_a_root_signs_what_openssl_verifies(tmp_path, issue, kind):
    assert 0 == main(["init", str(tmp_path / "new"), "--key", kind])

    issue(tmp_path / "new")

    assert (True, "") == verified_by_openssl(tmp_path / "new")


@pytest.mark.parametrize("kind", ["ec-p256", "ed25519"])
def test_an_intermediate_signs_while_its_root_is_offline(tmp_path, issue, kind):
    new = tmp_path / "new"
    assert 0 == main(["init", str(new), "--intermediate", "--key", kind])
    (new / "root").rename(tmp_path / "offline")

    issue(new)

    assert (True, "") == verified_by_openssl(new, "CA/intermediate-ca.crt")
    root, intermediate = (
        certificate_in(new / f"CA/{name}.crt") for name in ("root-ca", "intermediate-ca")
    )
    assert root == certificate_in(tmp_path / "offline" / "root-ca.crt")
    assert 0o400 == (tmp_path / "offline" / "root-ca.key").stat().st_mode & 0o777
    constraints = intermediate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (True, True, 0) == (
        constraints.critical,
        constraints.value.ca,
        constraints.value.path_length,
    )
    usage = intermediate.extensions.get_extension_for_class(x509.KeyUsage)
    assert (True, True, True, False) == (
        usage.critical,
        usage.value.key_cert_sign,
        usage.value.crl_sign,
        usage.value.digital_signature,
    )
    its = intermediate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    roots = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert roots.value.digest == its.value.key_identifier
    assert intermediate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)


def test_an_intermediate_can_be_issued_by_a_root_that_is_there(tmp_path, issue):
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o400)
    first, second = tmp_path / "first", tmp_path / "second"
    words = ["--intermediate", "--root-passphrase-file", str(passphrase)]
    assert 0 == main(["init", str(first), *words])
    assert b"ENCRYPTED" in (first / "root/root-ca.key").read_bytes()
    root = ["--root-cert", first / "root/root-ca.crt", "--root-key", first / "root/root-ca.key"]

    assert 0 == main(["init", str(second), *words, *map(str, root), "--name", "Second CA"])

    issue(second)
    assert (True, "") == verified_by_openssl(second, "CA/intermediate-ca.crt")
    assert not (second / "root").exists()


def test_an_intermediate_does_not_outlive_its_root(tmp_path):
    main(["init", str(tmp_path), "--intermediate", "--root-days", "10", "--days", "20"])

    root, intermediate = (
        certificate_in(tmp_path / f"CA/{name}.crt") for name in ("root-ca", "intermediate-ca")
    )
    assert root.not_valid_after_utc == intermediate.not_valid_after_utc


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "rsa-2048"])
@pytest.mark.parametrize("intermediate", [False, True])
def test_a_key_is_made_in_a_token_and_signs_there(
    softhsm, tmp_path, issue, pin_file, kind, intermediate
):
    new = tmp_path / "new"
    words = ["--pkcs11", str(MODULE), "--token", "anchor", "--pin-file", str(pin_file)]
    words += ["--intermediate"] if intermediate else []

    assert 0 == main(["init", str(new), "--key", kind, *words])

    issue(new)
    untrusted = ["CA/intermediate-ca.crt"] if intermediate else []
    assert (True, "") == verified_by_openssl(new, *untrusted)
    assert [] == list((new / "CA").glob("*.key"))
    section = json.loads((new / "config.json").read_text())["signing_ca"]["local"]
    assert ("pkcs11", str(pin_file)) == (section["backend"], section["pin_file"])
    assert PIN not in (new / "config.json").read_text()


def test_a_key_in_a_token_is_never_made_twice(softhsm, tmp_path, pin_file, capsys):
    words = ["--pkcs11", str(MODULE), "--token", "anchor", "--pin-file", str(pin_file)]
    assert 0 == main(["init", str(tmp_path / "one"), *words])

    assert 1 == main(["init", str(tmp_path / "two"), *words])
    assert "has a key of that name already" in capsys.readouterr().err
    assert 0 == main(["init", str(tmp_path / "three"), *words, "--key-label", "another"])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--pkcs11", str(MODULE)], "--pkcs11, --token and --pin-file belong together"),
        (["--intermediate", "--root-cert", "x"], "--root-cert and --root-key belong together"),
        (["--root-cert", "x", "--root-key", "y"], "go with --intermediate"),
        (["--intermediate", "--root-cert", "x", "--root-key", "y"], "x cannot be read"),
        (["--intermediate", "--name", "X", "--root-name", "X"], "have the same name"),
        (["--days", "0"], "--days is from 1 to 36500"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, capsys, words, complaint):
    assert 1 == main(["init", str(tmp_path / "new"), *words])

    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def shell_examples(page):
    """The commands of a how-to, but for those that install something."""
    text = (ROOT / "doc/source/howto" / page).read_text()
    blocks = re.findall(r"\.\. code-block:: sh\n\n((?:    .*\n|\n)+)", text)
    return [block for block in blocks if "pip install" not in block]


def run_shell(commands, directory):
    finished = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=directory,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def test_the_documented_way_into_a_token_works(tmp_path, monkeypatch, issue):
    conf = tmp_path / "softhsm2.conf"
    (tmp_path / "own").mkdir()
    conf.write_text(f"directories.tokendir = {tmp_path}/own\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    (tmp_path / "key.p8").write_bytes(key_pem(a_key()))
    made, imported = shell_examples("softhsm.rst")

    run_shell(made, tmp_path)
    run_shell(imported, tmp_path)

    Tokens.reload()
    issue(tmp_path / "hsm")
    assert (True, "") == verified_by_openssl(tmp_path / "hsm")


def test_the_documented_way_to_an_intermediate_works(tmp_path, issue):
    first, second = shell_examples("intermediate.rst")

    run_shell(first, tmp_path)
    (tmp_path / "pki/root").rename(tmp_path / "root")
    run_shell(second, tmp_path)

    issue(tmp_path / "pki")
    assert (True, "") == verified_by_openssl(tmp_path / "pki", "CA/intermediate-ca.crt")
    root = certificate_in(tmp_path / "root/root-ca.crt")
    certificate_in(tmp_path / "new/CA/intermediate-ca.crt").verify_directly_issued_by(root)
