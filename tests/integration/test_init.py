"""``anchor init`` makes a CA that works, with its key in a file or in a token."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.authorities import load_authorities
from anchor.ca.loading import load_signing_ca
from anchor.ca.pkcs11 import module as pkcs11_module
from anchor.cli import init, new_files
from anchor.cli.main import main
from anchor.timestamps import utc_now
from anchor.X509.signing_request import X509Csr
from tests.support.documentation import blocks
from tests.support.pki import make_csr, shared_key
from tests.support.servers.anchor import ROOT
from tests.support.servers.processes import program
from tests.support.servers.softhsm import MODULE, PIN


@pytest.fixture
def issue():
    """Issue a certificate with the CA in a directory."""

    def issue(directory):
        config = directory / "config.json"
        loaded = load_authorities(config)
        assert () == loaded.warnings
        section = json.loads(config.read_text())["signing_ca"]["local"]
        ca = load_signing_ca("local", section, directory, utc_now(), with_key=True)
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
    """True if OpenSSL verifies the chain of the leaf with all strict checks."""
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


def test_an_intermediate_can_be_issued_by_an_existing_root(tmp_path, issue):
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
    ("words", "message"),
    [
        (["--pkcs11", str(MODULE)], "--token-serial, and --pin-file belong together"),
        (["--token-serial", "x"], "--token-serial, and --pin-file belong together"),
        (
            ["--pkcs11", "x", "--token", "x", "--token-serial", "x", "--pin-file", "x"],
            "--token and --token-serial both name the token",
        ),
        (["--key-label", "x"], "--key-label goes with --pkcs11"),
        (["--root-name", "x"], "are for a new root"),
        (["--intermediate", "--root-cert", "x", "--root-key", "y", "--root-days", "9"], "new root"),
        (["--ca-only", "--user", "x"], "--user is for the configuration"),
        (["--intermediate", "--root-cert", "x"], "--root-cert and --root-key belong together"),
        (["--root-cert", "x", "--root-key", "y"], "go with --intermediate"),
        (["--intermediate", "--root-cert", "x", "--root-key", "y"], "x cannot be read"),
        (["--intermediate", "--name", "X", "--root-name", "X"], "have the same name"),
        *(
            ([*more, option, text], f"{option} should have 1 to 64 printable characters")
            for more, option in (
                ([], "--name"),
                (["--intermediate"], "--root-name"),
                ([], "--user"),
            )
            for text in ("", " ", "a\nb", "a\x7f", "\udcff", "a" * 65)
        ),
        (["--days", "0"], "--days should be from 1 to 36500"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, capsys, words, message):
    assert 1 == main(["init", str(tmp_path / "new"), *words])

    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


# ---- the options in the help


def contents(directory):
    """The contents of all files below a directory."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


CONFIGURATION = {"config.json", "config.py", "config.schema.json", "certs", "secret"}


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ([], {"CA/root-ca.crt", "CA/root-ca-unwrapped.key", *CONFIGURATION}),
        (["--ca-only"], {"CA/root-ca.crt", "CA/root-ca-unwrapped.key"}),
        (
            ["--intermediate"],
            {
                *("CA/intermediate-ca.crt", "CA/intermediate-ca.key", "CA/root-ca.crt"),
                *("root", "root/root-ca.crt", "root/root-ca.key"),
                *CONFIGURATION,
            },
        ),
        (
            ["--intermediate", "--ca-only"],
            {
                *("CA/intermediate-ca.crt", "CA/intermediate-ca.key", "CA/root-ca.crt"),
                *("root", "root/root-ca.crt", "root/root-ca.key"),
            },
        ),
        (["TOKEN"], {"CA/root-ca.crt", *CONFIGURATION}),
        (["TOKEN", "--ca-only"], {"CA/root-ca.crt"}),
    ],
    ids=lambda part: " ".join(sorted(part)),
)
def test_exactly_what_the_help_says_is_made(softhsm, tmp_path, pin_file, words, made):
    token = ["--pkcs11", str(MODULE), "--token", "anchor", "--pin-file", str(pin_file)]
    given = [each for word in words for each in (token if word == "TOKEN" else [word])]

    assert 0 == main(["init", str(tmp_path / "new"), *given])

    assert {"CA", *made} == set(contents(tmp_path / "new"))


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ([], "config.json"),
        ([], "CA/root-ca.crt"),
        ([], "CA/root-ca-unwrapped.key"),
        (["--intermediate"], "CA/intermediate-ca.crt"),
        (["--intermediate"], "CA/intermediate-ca.key"),
        (["--intermediate"], "CA/root-ca.crt"),
        (["--intermediate"], "root/root-ca.key"),
        (["--ca-only"], "CA/root-ca.crt"),
    ],
)
@pytest.mark.parametrize("kind", ["file", "link"])
def test_existing_files_are_kept_and_nothing_is_made(tmp_path, words, path, kind, capsys):
    new = tmp_path / "new"
    (new / path).parent.mkdir(parents=True)
    if kind == "file":
        (new / path).write_text("mine")
    else:
        (new / path).symlink_to("nowhere")
    before = contents(new)

    assert 1 == main(["init", str(new), *words])

    assert f"{path} is there already" in capsys.readouterr().err
    assert before == contents(new)


def test_a_file_in_place_of_the_directory_is_named(tmp_path, capsys):
    path = tmp_path / "file"
    path.write_text("kept")

    assert main(["init", str(path)]) == 1

    assert capsys.readouterr().err == f"anchor: {path} is not a directory\n"
    assert path.read_text() == "kept"


def test_optional_files_that_exist_are_kept(tmp_path, issue):
    new = tmp_path / "new"
    (new / "certs").mkdir(parents=True)
    (new / "certs/old.crt").write_text("old")
    (new / "config.py").write_text((ROOT / "config.py").read_text() + "\n# mine\n")
    (new / "config.schema.json").write_text("{}")
    before = contents(new)

    assert 0 == main(["init", str(new)])

    after = contents(new)
    assert before == {path: after[path] for path in before}
    issue(new)


def test_ca_only_ignores_an_existing_configuration(tmp_path):
    (tmp_path / "config.json").write_text("mine")

    assert 0 == main(["init", str(tmp_path), "--ca-only"])

    assert "mine" == (tmp_path / "config.json").read_text()
    assert {"CA", "config.json"} == {path.name for path in tmp_path.iterdir()}


# ---- after a failure


def objects_in(softhsm):
    """The labels of all objects in the token."""
    module = pkcs11_module.module_at(MODULE)
    module.finalise()
    module.initialise()
    session = module.library.openSession(softhsm.slot())
    session.login(PIN)
    labels = [
        session.getAttributeValue(each, [module.pykcs11.CKA_LABEL])[0]
        for each in session.findObjects()
    ]
    session.logout()
    session.closeSession()
    return labels


@pytest.mark.parametrize("trouble", ["name", "root name", "directory", "file", "interrupt", "disk"])
@pytest.mark.parametrize("token", [True, False])
def test_a_failed_init_leaves_neither_a_key_nor_a_file(
    softhsm, tmp_path, pin_file, monkeypatch, trouble, token
):
    new = tmp_path / "new"
    words = []
    if token:
        words += ["--pkcs11", str(MODULE), "--token", "anchor", "--pin-file", str(pin_file)]
    match trouble:
        case "name":
            words += ["--name", "n" * 65]
        case "root name":
            words += ["--intermediate", "--name", "X", "--root-name", "X"]
        case "directory":
            new.write_text("a file where the directory should be")
        case "file":
            new.mkdir()
            (new / "certs").write_text("a file where a directory should be")
        case "interrupt":
            monkeypatch.setattr(init.create_ca, "certify", interrupted)
        case "disk":
            monkeypatch.setattr(new_files, "write_new", full_after(1))
    before = contents(tmp_path)

    assert 0 != main(["init", str(new), *words])

    # The directory also contains the token's files.
    ours = {path for path in contents(tmp_path) if path.startswith("new")}
    assert {path for path in before if path.startswith("new")} == ours
    assert [] == objects_in(softhsm)
    if token and trouble == "name":
        assert 0 == main(["init", str(new), *words[:-2]])
        assert ["anchor-ca", "anchor-ca"] == objects_in(softhsm)


def test_nobody_else_may_write_in_its_directories_under_any_umask(tmp_path):
    """Anyone who can write in the directory of the CA's key can replace the key."""
    before = os.umask(0)
    try:
        assert 0 == main(["init", str(tmp_path / "new"), "--intermediate"])
    finally:
        os.umask(before)

    made = [tmp_path / "new", *(tmp_path / "new").rglob("*")]
    assert [] == [path for path in made if path.stat().st_mode & 0o022]


def test_a_full_disk_is_reported_with_the_file(tmp_path, capsys):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        assert 1 == main(["init", str(tmp_path / "new")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    key = tmp_path / "new" / "CA" / "root-ca-unwrapped.key"
    assert f"anchor: {key}: File too large" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def interrupted(*_):
    raise KeyboardInterrupt


def full_after(count):
    """Make the disk full after this many files."""
    real, written = new_files.write_new, []

    def write_new(path, contents, mode):
        if len(written) == count:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        real(path, contents, mode)

    return write_new


def test_keys_of_others_in_the_token_stay(softhsm, tmp_path, pin_file):
    softhsm.import_key(shared_key(), "02", "other")
    words = ["--pkcs11", str(MODULE), "--token", "anchor", "--pin-file", str(pin_file)]
    before = objects_in(softhsm)

    assert 1 == main(["init", str(tmp_path / "new"), *words, "--name", "n" * 65])
    assert 1 == main(["init", str(tmp_path / "new"), *words, "--key-label", "other"])

    assert before == objects_in(softhsm)


def test_a_token_can_be_named_by_its_serial_number(softhsm, tmp_path, issue, pin_file):
    serial = softhsm.serial()
    softhsm.init()
    words = ["--pkcs11", str(MODULE), "--token-serial", serial, "--pin-file", str(pin_file)]

    assert 0 == main(["init", str(tmp_path / "new"), *words])

    section = json.loads((tmp_path / "new/config.json").read_text())["signing_ca"]["local"]
    assert serial == section["token_serial"]
    assert "token_label" not in section
    issue(tmp_path / "new")


def shell_examples(page):
    """The commands of a how-to."""
    return [block.text for block in blocks(f"howto/{page}", "sh")]


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


def test_the_documented_way_to_an_intermediate_works(tmp_path, issue):
    first, second = shell_examples("intermediate.rst")

    run_shell(first, tmp_path)
    (tmp_path / "pki/root").rename(tmp_path / "root")
    run_shell(second, tmp_path)

    issue(tmp_path / "pki")
    assert (True, "") == verified_by_openssl(tmp_path / "pki", "CA/intermediate-ca.crt")
    root = certificate_in(tmp_path / "root/root-ca.crt")
    certificate_in(tmp_path / "new/CA/intermediate-ca.crt").verify_directly_issued_by(root)
