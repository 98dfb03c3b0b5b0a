"""Anchor behind nginx for ACME clients, in a network of its own with a DNS server."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from tests.support.acme import acme_configuration, add_binding_token
from tests.support.database import make_database
from tests.support.paths import ROOT
from tests.support.pki import CA, make_ca
from tests.support.servers.anchor import uwsgi_ini
from tests.support.servers.certificates import make_server_certificate
from tests.support.servers.nginx_site import adapted, running_nginx
from tests.support.servers.nodes import Node, nodes
from tests.support.servers.processes import program, running
from tests.support.service import small_configuration

HOURS = 6
"""How long the certificates are valid."""

CHALLENGES = ("http-01", "dns-01", "tls-alpn-01")
CHALLENGING = "challenging"
"""The authority whose clients have to fulfil challenges."""

_DNS_PORT = 8053
_MANAGEMENT_PORT = 8055


@dataclass(frozen=True)
class AcmeSite:
    """A service with ACME, and a machine for clients.

    Attributes:
        base_url: the URL of the service.
        directory: the directory of the service.
        machine: the network namespace of the clients. Every name in the DNS has its address.
        ca: the CA that issues certificates to clients.
        tls_ca: the certificate of the CA whose certificate nginx has.
        resolver: the DNS server and its port.
        dns_url: the URL at which the DNS server takes records.
    """

    base_url: str
    directory: Path
    machine: Node
    ca: CA
    tls_ca: Path
    resolver: str
    dns_url: str

    def directory_url(self, authority="default"):
        """The URL for clients."""
        return f"{self.base_url}/acme/{authority}/directory"

    def token(self, authority="default"):
        """The identifier and the secret of a new token."""
        with contextlib.closing(make_database(self.directory)) as database:
            return add_binding_token(database, authority=authority)

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


@contextlib.contextmanager
def acme_site(directory):
    """Run the service with an authority without challenges, and with one that has them."""
    ca = make_ca(directory)
    tls = directory / "tls"
    tls.mkdir()
    tls_ca = make_ca(tls, name="tls-ca")
    with contextlib.ExitStack() as stack:
        service, machine = stack.enter_context(nodes(2))
        base_url = f"https://{service.address}"
        certificate, key = make_server_certificate(tls, tls_ca, service.address)
        _write_configuration(directory, ca, base_url, service, machine)
        stack.enter_context(_dns(directory, service, machine))
        log = directory / "uwsgi.log"
        stack.enter_context(
            running(
                [*service.command, *uwsgi_ini(directory), "--processes", "2"],
                log=log,
                ready=lambda: "WSGI app 0" in log.read_text(),
                cwd=directory,
            )
        )
        site = adapted(
            {
                "listen 443 ssl;": f"listen {service.address}:443 ssl;",
                "/run/anchor/anchor.sock": str(directory / "anchor.sock"),
                "/etc/anchor/tls/anchor.crt": str(certificate),
                "/etc/anchor/tls/anchor.key": str(key),
                # All clients have the same address.
                "rate=20r/s": "rate=200r/s",
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
            resolver=f"{service.address}:{_DNS_PORT}",
            dns_url=f"http://{service.address}:{_MANAGEMENT_PORT}",
        )


def _write_configuration(directory, ca, base_url, service, machine):
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
            "resolvers": [f"{service.address}:{_DNS_PORT}"],
        }
    }
    (directory / "config.json").write_text(json.dumps(document))
    text = (ROOT / "config.py").read_text()
    text = text.replace("web = {", f'web = {{\n    "base_url": "{base_url}",', 1)
    (directory / "config.py").write_text(text)


def _dns(directory, service, machine):
    """Run a DNS server that knows the address of the clients' machine for every name."""
    log = directory / "dns.log"
    command = [
        program("pebble-challtestsrv", "pebble"),
        *("-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01", f":{_DNS_PORT}"),
        *("-defaultIPv4", machine.address, "-defaultIPv6", ""),
        *("-management", f":{_MANAGEMENT_PORT}"),
    ]
    return running(
        [*service.command, *command], log=log, ready=lambda: "management" in log.read_text()
    )
