"""The page about ACME, howto/acme.rst, works with a running service and certbot."""

from __future__ import annotations

import json
import shutil

from cryptography import x509

from anchor.app import Application
from anchor.authorities import load_authorities
from anchor.web.settings import WebSettings
from tests.support.documentation import blocks
from tests.support.servers.https_anchor import HTTPSAnchor
from tests.support.terminal import Terminal

PAGE = "howto/acme.rst"


def test_certbot_gets_its_first_certificate(tmp_path, document, private_tls):
    example, *_ = blocks(PAGE, "json")
    [created] = blocks(PAGE, "console")
    show_directory, get_certificate = blocks(PAGE, "sh")
    section = json.loads(example.text)
    section["signing_ca"] = document["signing_ca"]
    config = tmp_path / "config.json"
    config.write_text(json.dumps(section))
    shutil.copy(private_tls.ca.cert_path, tmp_path / "tls-ca.pem")
    anchor = HTTPSAnchor(tmp_path, private_tls, None)
    anchor.start()
    try:
        loaded = load_authorities(config)
        web = WebSettings(base_url=anchor.url)
        anchor.wsgi = Application(loaded.authorities, web, acme=loaded.acme)
        directories = " ".join(
            f"--{name}-dir {tmp_path}/certbot" for name in ("config", "work", "logs")
        )
        replace = {
            "https://anchor.example.com": anchor.url,
            "/etc/anchor/tls-ca.pem": tmp_path / "tls-ca.pem",
            "certbot certonly": f"certbot certonly {directories}",
        }
        with Terminal(tmp_path, replace) as terminal:
            terminal.run(f"export ANCHOR_CONF={config}")
            terminal.follow(show_directory)
            terminal.follow(created)
            terminal.follow(get_certificate)
    finally:
        anchor.stop()

    chain = (tmp_path / "certbot/live/web1.example.com/fullchain.pem").read_bytes()
    leaf, ca = x509.load_pem_x509_certificates(chain)
    leaf.verify_directly_issued_by(ca)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ["web1.example.com"] == names.get_values_for_type(x509.DNSName)
    assert not (tmp_path / "web1.token").exists()
