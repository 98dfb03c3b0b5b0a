"""SoftHSM 2, with tokens in the test's directory."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from anchor.ca.pkcs11 import module as pkcs11_module
from tests.support.pki import make_ca
from tests.support.servers.processes import program

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "4711-pin"


@dataclass(frozen=True)
class Tokens:
    """A directory of tokens, and the configuration file that names it."""

    directory: Path
    conf: Path

    def init(self, label="anchor", pin=PIN):
        """Initialise another token."""
        run(
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            label,
            "--pin",
            pin,
            "--so-pin",
            "12345678",
        )
        self.reload()

    def generate(self, kind, identifier, label, token="anchor"):
        """Generate a key pair in a token; ``kind`` is a key type of pkcs11-tool."""
        run(
            "pkcs11-tool", "--module", MODULE, "--token-label", token, "--login", "--pin", PIN,
            "--keypairgen", "--key-type", kind, "--usage-sign", "--id", identifier,
            "--label", label,
        )  # fmt: skip
        self.reload()

    def import_key(self, key, identifier="01", label="ca", token="anchor", pin=PIN):
        """Import a key."""
        file = self.directory.parent / "imported.p8"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        run(
            "softhsm2-util", "--import", file, "--token", token, "--label", label,
            "--id", identifier, "--pin", pin, "--force",
        )  # fmt: skip
        file.unlink()
        self.reload()

    def make_ca(self, kind="ec-p256", identifier="01", **kwargs):
        """Make a CA whose key is in the token, and in a file too."""
        ca = make_ca(self.directory.parent, kind, **kwargs)
        self.import_key(ca.key, identifier)
        return ca

    def section(self, ca, **options):
        """The options of a signing CA with its key in the token."""
        return {
            "backend": "pkcs11",
            "cert_path": str(ca.cert_path),
            "pkcs11_path": str(MODULE),
            "token_label": "anchor",
            "pin": PIN,
            "key_id": "01",
            "output_path": "certs",
        } | options

    def slot(self, label="anchor"):
        """The slot number of a token."""
        library = pkcs11_module.module_at(MODULE).library
        [slot] = [
            slot
            for slot in library.getSlotList(tokenPresent=True)
            if library.getTokenInfo(slot).label.strip() == label
        ]
        return slot

    def serial(self, label="anchor"):
        """A token's serial number."""
        library = pkcs11_module.module_at(MODULE).library
        return library.getTokenInfo(self.slot(label)).serialNumber.strip()

    def remove_tokens(self):
        """Remove the tokens."""
        self.directory.rename(self.directory.with_suffix(".away"))

    def insert_tokens(self):
        """Insert the tokens again."""
        self.directory.with_suffix(".away").rename(self.directory)

    @staticmethod
    def reload():
        """Make the module in this process read the changes of other programs."""
        module = pkcs11_module.module_at(MODULE)
        module.finalise()
        module.initialise()


def run(tool, *arguments):
    """Run one of the tools that come with SoftHSM and OpenSC."""
    package = {"softhsm2-util": "softhsm2", "pkcs11-tool": "opensc"}[tool]
    command = [program(tool, package), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(params=["true"])
def softhsm(tmp_path, monkeypatch, request):
    """A token ``anchor`` without keys; the parameter is ``library.reset_on_fork``."""
    assert MODULE.exists(), "the Debian packages softhsm2 and opensc are needed"
    directory, conf = tmp_path / "tokens", tmp_path / "softhsm2.conf"
    directory.mkdir()
    conf.write_text(
        f"directories.tokendir = {directory}\nobjectstore.backend = file\nlog.level = ERROR\n"
        f"library.reset_on_fork = {request.param}\n"
    )
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    tokens = Tokens(directory, conf)
    tokens.init()
    yield tokens
    # Log out, so that the login does not affect other tests.
    pkcs11_module.module_at(MODULE).library.lib.C_Finalize()


@pytest.fixture
def logins(monkeypatch):
    """The arguments of each login in this process."""
    import PyKCS11

    tried = []
    login = PyKCS11.Session.login

    def counted(self, *args):
        tried.append(args)
        return login(self, *args)

    monkeypatch.setattr(PyKCS11.Session, "login", counted)
    return tried
