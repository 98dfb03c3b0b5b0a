"""Anchor behind nginx for ACME clients, in a network of its own with a DNS server."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from anchor.acme.certificate_ids import CertificateId
from anchor.store.database.acme_orders import AcmeOrders
from tests.support.acme import acme_configuration, add_binding_token
from tests.support.database import make_database
from tests.support.paths import ROOT
from tests.support.pki import CA, make_ca
from tests.support.servers.anchor import uwsgi_ini
from tests.support.servers.certificates import make_server_certificate
from tests.support.servers.challtestsrv import ChallengeServers, challenge_servers
from tests.support.servers.nginx_site import adapted, running_nginx
from tests.support.servers.nodes import Node, nodes
from tests.support.servers.processes import running
from tests.support.service import small_configuration

HOURS = 6
"""How long the certificates are valid."""

CHALLENGES = ("http-01", "dns-01", "tls-alpn-01")
_SOCKETS = ("anchor.sock", "second.sock")
CHALLENGING = "challenging"
"""The authority whose clients have to fulfil challenges."""


@dataclass(frozen=True)
class AcmeSite:
    """A service with ACME, and a machine for clients.

    Attributes:
        base_url: the URL of the service.
        directory: the directory of the service.
        machine: the network namespace of the clients.
        ca: the CA that issues certificates to clients.
        tls_ca: the certificate of the CA whose certificate nginx has.
        dns: the DNS server.
    """

    base_url: str
    directory: Path
    machine: Node
    ca: CA
    tls_ca: Path
    dns: ChallengeServers

    def directory_url(self, authority="default"):
        """The URL for clients."""
        return f"{self.base_url}/acme/{authority}/directory"

    def token(self, authority="default"):
        """The identifier and the secret of a new token."""
        with contextlib.closing(make_database(self.directory)) as database:
            return add_binding_token(database, authority=authority)

    def issued(self, name):
        """All certificates for a name so far."""
        paths = (self.directory / "certs").glob("*.crt")
        certificates = [x509.load_pem_x509_certificate(path.read_bytes()) for path in paths]
        return [each for each in certificates if dns_names(each) == [name]]

    def is_replaced(self, certificate):
        """True if an order names a certificate as the one that it replaces."""
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        identifier = CertificateId(issuer.value.key_identifier, certificate.serial_number)
        with contextlib.closing(make_database(self.directory)) as database:
            return AcmeOrders(database).is_replaced(str(identifier))

    def run(self, *arguments, **environment):
        """Run a command on the clients' machine; it must succeed. Return its output.

        Args:
            arguments: the command.
            environment: more environment variables.
        """
        return self.machine.run(
            "env", *(f"{name}={value}" for name, value in environment.items()), *arguments
        ).stdout

    @property
    def log(self):
        """What the service wrote."""
        return (self.directory / "uwsgi.log").read_text()


def dns_names(certificate):
    """The DNS names of a certificate."""
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return extension.value.get_values_for_type(x509.DNSName)


@contextlib.contextmanager
def acme_site(directory):
    """Run the service with an authority without challenges, and with one that has them."""
    ca = make_ca(directory)
    tls = directory / "tls"
    tls.mkdir()
    tls_ca = make_ca(tls, name="tls-ca")
    with contextlib.ExitStack() as stack:
        service, machine, dns = stack.enter_context(nodes(3))
        base_url = f"https://{service.address}"
        certificate, key = make_server_certificate(tls, tls_ca, service.address)
        _write_configuration(directory, ca, base_url, machine, dns)
        servers = stack.enter_context(challenge_servers(dns, directory))
        log = directory / "uwsgi.log"
        stack.enter_context(
            running(
                [*service.command, *uwsgi_ini(directory), *_two_processes(directory)],
                log=log,
                ready=lambda: "WSGI app 0" in log.read_text(),
                cwd=directory,
            )
        )
        site = adapted(
            {
                "listen 443 ssl;": f"listen {service.address}:443 ssl;",
                # nginx takes them in turn, so a nonce comes to the process that has not made it.
                "server unix:/run/anchor/anchor.sock;": "".join(
                    f"server unix:{directory}/{name};" for name in _SOCKETS
                ),
                "/etc/anchor/tls/anchor.crt": str(certificate),
                "/etc/anchor/tls/anchor.key": str(key),
            }
        )
        listening = (directory / "nginx.pid").exists
        stack.enter_context(running_nginx(directory, site, listening, under=service.command))
        yield AcmeSite(
            base_url=base_url,
            directory=directory,
            machine=machine,
            ca=ca,
            tls_ca=tls_ca.cert_path,
            dns=servers,
        )


def _two_processes(directory):
    """Options for two processes, each with its own socket."""
    return [
        *("--processes", "2", "--socket", directory / _SOCKETS[1]),
        *("--map-socket", "0:1", "--map-socket", "1:2"),
    ]


def _write_configuration(directory, ca, base_url, machine, dns):
    document = small_configuration(ca)
    document["signing_ca"]["local"]["valid_hours"] = HOURS
    acme_configuration(
        document,
        profiles={
            "machines": {"description": f"valid for {HOURS} hours"},
            "short": {"description": "valid for an hour", "valid_hours": 1},
        },
    )
    authorities = document["registration_authority"]
    authorities[CHALLENGING] = authorities["default"] | {
        "acme": {
            "challenges": list(CHALLENGES),
            "networks": [f"{machine.address}/32"],
            "resolvers": [dns.address],
        }
    }
    (directory / "config.json").write_text(json.dumps(document))
    text = (ROOT / "config.py").read_text()
    text = text.replace("web = {", f'web = {{\n    "base_url": "{base_url}",', 1)
    (directory / "config.py").write_text(text)
