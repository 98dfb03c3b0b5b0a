"""A machine whose token was revoked gets certificates with another one, as the page says."""

from __future__ import annotations

import contextlib
import re
import shutil

import pytest

from anchor.store.database.tokens import Tokens
from tests.integration.acme.test_clients import connect, open_path, revoke, site
from tests.support.database import make_database
from tests.support.pages import SOURCE
from tests.support.servers.acme_clients import Certbot, Dehydrated, Lego, Uacme
from tests.support.servers.acme_web_servers import Apache, Caddy

__all__ = ["open_path", "site"]

PAGE = (SOURCE / "howto/acme-clients.rst").read_text()
# The directories in the tests, by those that the page has for a client.
DIRECTORIES = {
    Certbot: ("/etc/letsencrypt", "config"),
    Lego: (".lego", "."),
    Dehydrated: ("BASEDIR", "."),
    Uacme: ("/etc/ssl/uacme", "."),
    Caddy: ("STORAGE", "storage"),
}


def replace_token(client):
    """Revoke the token of a client, and give it another one."""
    with contextlib.closing(make_database(client.site.directory)) as database:
        assert Tokens(database).revoke(client.kid)
    client.kid, client.secret = client.site.token()


def delete_account(client):
    """Delete what the page says, and nothing else."""
    documented, real = DIRECTORIES[type(client)]
    paths = re.findall(rf"``{re.escape(documented)}/(\S+)``", PAGE.partition("_another-token:")[2])
    assert len(paths) == 1, paths
    host = client.site.base_url.removeprefix("https://")
    path = client.path / real / paths[0].replace("anchor.example.com", host)
    assert path.exists(), sorted(client.path.rglob("*"))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@pytest.mark.parametrize("kind", [Certbot, Lego, Dehydrated, Uacme])
def test_a_client_without_its_account_creates_one_with_another_token(kind, site, tmp_path):
    name = f"{kind.__name__.lower()}.another.example.com"
    client = kind(site, tmp_path / "client")
    client.issue(name)
    first = connect(client, name)

    replace_token(client)
    if kind is Certbot:
        client.authenticator = (*client.authenticator, "--force-renewal")
    with pytest.raises(AssertionError, match=r"account is revoked|already registered"):
        client.issue(name)
    delete_account(client)
    client.issue(name)

    assert first != connect(client, name)


@pytest.mark.parametrize("kind", [Caddy, Apache])
def test_a_web_server_creates_another_account_with_another_token(kind, site, open_path):
    server = kind(site, open_path / "server", f"{kind.__name__.lower()}.another.example.com")
    with server.running() as process:
        first = server.wait_for_certificate()
        if kind is Apache:
            server.activate(process, first)

    replace_token(server)
    revoke(server, open_path)
    if kind is Caddy:
        delete_account(server)
        server.forget_when_to_ask()
    with server.running():
        server.wait_for_certificate(other_than=first)
