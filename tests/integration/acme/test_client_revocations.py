"""Real ACME clients revoke their certificates, and learn that they should replace them."""

from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives import hashes

from anchor.store.database.bans import Bans
from tests.support.acme import certificate_id
from tests.support.database import make_database
from tests.support.servers.acme_clients import AcmeForPython, Certbot, Dehydrated, Lego, Uacme
from tests.support.servers.acme_site import acme_site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The service and the clients' machine, for all tests."""
    with acme_site(tmp_path_factory.mktemp("acme")) as served:
        yield served


def revoke(client, name):
    """Revoke the current certificate, in the way of the client."""
    chain, key = client.files(name)
    match client:
        case Certbot():
            client.revoke(name)
        case Lego():
            client._lego(name, "revoke")
        case Dehydrated():
            client._dehydrated("--revoke", chain.resolve())
        case Uacme():
            client._uacme("revoke", chain)
        case AcmeForPython():
            client.revoke(chain, key)


@pytest.mark.parametrize(
    ("kind", "banned"),
    [
        (Certbot, "certificate"),
        (Lego, "certificate"),
        (Dehydrated, "certificate"),
        (Uacme, "certificate"),
        (AcmeForPython, "key"),
    ],
)
def test_a_client_revokes_its_certificate(kind, banned, site, tmp_path):
    name = f"{kind.__name__.lower()}.example.com"
    client = kind(site, tmp_path / "client")
    client.issue(name)
    certificate = client.certificate(name)

    revoke(client, name)

    with contextlib.closing(make_database(site.directory)) as database:
        ban = Bans(database).all()[-1]
    assert (ban.kind, ban.until) == (banned, None)
    if banned == "certificate":
        assert ban.value == certificate.fingerprint(hashes.SHA256()).hex()
    url = f"{site.base_url}/acme/default/explanation/{certificate_id(certificate)}"
    page = site.run("curl", "--silent", "--fail", "--cacert", site.tls_ca, url)
    assert f"{certificate.serial_number:x}" in page
