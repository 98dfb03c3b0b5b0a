"""A machine that has certificates from the service."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import time
from pathlib import Path

from cryptography import x509

from anchor.cli import main
from anchor.client.tracking import StateDirectory

ANCHOR = Path(sys.executable).with_name("anchor")


class Machine:
    """A machine with its own state directory, on which tests run the client's commands."""

    def __init__(self, path, anchor):
        self.state = path / "state"
        self.config = anchor.client_json()
        self.directory = self.state / "certificates" / "www.example.com"

    def run(self, command, *arguments):
        return main.main([command, "--state", str(self.state), *map(str, arguments)])

    def request(self, *arguments):
        return self.run("request", "--config", self.config, *arguments)

    def renew(self, *arguments):
        return self.run("renew", *arguments)

    def certificate(self):
        return x509.load_pem_x509_certificate((self.directory / "cert.pem").read_bytes())

    def tracked(self, name="www.example.com"):
        return StateDirectory(self.state).read(name)

    def assert_key_matches(self):
        """Require that a TLS server can load the key and the certificate from each set of files."""
        for files in (
            ("fullchain.pem", "key.pem"),
            ("cert.pem", "key.pem"),
            ("combined.pem",),
        ):
            paths = [self.directory / name for name in files]
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*paths)

    def start(self, command, *arguments, prefix=(), **options):
        """Start the command as a process."""
        return subprocess.Popen(
            [*prefix, ANCHOR, command, "--state", self.state, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | options.pop("variables", {}),
            **options,
        )

    def force_renewal_due(self, name="www.example.com"):
        """Change the state so that the service asked for a renewal hours ago."""
        tracked = self.tracked(name)
        StateDirectory(self.state).write(tracked.after(renew_after=time.time() - 36000))

    def leftovers(self):
        """The names of temporary files, which a finished run removes."""
        return sorted(path.name for path in self.state.rglob(".*") if path.name != ".lock")
