"""``anchor request`` and ``anchor renew`` against the service behind HTTPS."""

from __future__ import annotations

import json
import ssl
import stat

import pytest
from cryptography import x509

from anchor import cli
from anchor.client.tracked import StateDirectory
from tests.pki import assert_is_leaf, names_of


class Machine:
    """A machine with a state directory of its own, on which commands are run."""

    def __init__(self, path, anchor):
        self.state = path / "state"
        self.config = anchor.client_json()
        self.directory = self.state / "certificates" / "www.example.com"

    def run(self, command, *arguments):
        return cli.main([command, "--state", str(self.state), *map(str, arguments)])

    def request(self, *arguments):
        return self.run("request", "--config", self.config, *arguments)

    def renew(self, *arguments):
        return self.run("renew", *arguments)

    def certificate(self):
        return x509.load_pem_x509_certificate((self.directory / "cert.pem").read_bytes())

    def tracked(self, name="www.example.com"):
        return StateDirectory(self.state).read(name)

    def assert_fits(self):
        """Key and certificate load into a TLS server, whichever of the files it is given."""
        for files in (
            ("fullchain.pem", "key.pem"),
            ("cert.pem", "key.pem"),
            ("combined.pem",),
        ):
            paths = [self.directory / name for name in files]
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*paths)


@pytest.fixture
def machine(tmp_path, https_anchor):
    return Machine(tmp_path, https_anchor)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_request_writes_key_certificate_and_chain_that_fit(machine, ca, capsys):
    assert 0 == machine.request("www.example.com", "192.0.2.1", "::1")

    certificate = machine.certificate()
    assert_is_leaf(certificate, issued_by=ca)
    assert ["www.example.com", "192.0.2.1", "::1"] == names_of(certificate)
    assert "CN=www.example.com" == certificate.subject.rfc4514_string()
    machine.assert_fits()
    directory = machine.directory
    chain = (directory / "chain.pem").read_bytes()
    assert [ca.certificate] == x509.load_pem_x509_certificates(chain)
    assert (directory / "cert.pem").read_bytes() + chain == (
        directory / "fullchain.pem"
    ).read_bytes()
    assert capsys.readouterr().out.startswith("www.example.com: renewed, valid until 2")


def test_only_the_owner_may_read_what_has_the_key_in_it(machine):
    assert 0 == machine.request("www.example.com")

    modes = {path.name: mode(path) for path in machine.directory.glob("*.pem")}
    assert {
        "key.pem": 0o600,
        "combined.pem": 0o600,
        "cert.pem": 0o644,
        "chain.pem": 0o644,
        "fullchain.pem": 0o644,
    } == modes


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p384"])
def test_renewal_makes_a_new_key_of_the_kind_that_was_asked_for(machine, kind):
    assert 0 == machine.request("www.example.com", "--key", kind)
    first = machine.certificate()

    assert 0 == machine.renew("--force")

    second = machine.certificate()
    assert first.public_key() != second.public_key()
    assert kind.split("-")[1].removeprefix("p") == str(second.public_key().key_size)
    assert type(first.public_key()) is type(second.public_key())
    machine.assert_fits()


def test_a_key_is_kept_when_that_is_wanted(machine):
    assert 0 == machine.request("www.example.com", "--reuse-key")
    first = machine.certificate()

    assert 0 == machine.renew("--force")

    assert first.public_key() == machine.certificate().public_key()
    assert first != machine.certificate()


def test_what_is_not_due_is_left_alone(machine, capsys):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    capsys.readouterr()

    assert 0 == machine.renew()

    assert first == machine.certificate()
    assert capsys.readouterr().out.startswith("nothing is due; the next is www.example.com, from 2")


def test_json_tells_scripts_the_same(machine, capsys):
    assert 0 == machine.request("www.example.com", "--json")
    requested = json.loads(capsys.readouterr().out)
    assert 0 == machine.renew("--json")
    (renewed,) = json.loads(capsys.readouterr().out)
    assert 0 == machine.run("list", "--json")
    (listed,) = json.loads(capsys.readouterr().out)

    assert ("renewed", "not due") == (requested["result"], renewed["result"])
    assert requested["not_after"] == renewed["not_after"] == listed["not_after"]
    assert requested["renews_from"] == renewed["renews_from"] == listed["renews_from"]
    assert "valid" == listed["state"]
