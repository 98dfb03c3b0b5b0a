"""The page about tokens, howto/tokens.rst, works with a running service."""

from __future__ import annotations

import json
import re

from tests.support.documentation import blocks
from tests.support.servers.anchor import serving
from tests.support.terminal import Terminal

PAGE = "howto/tokens.rst"


def test_a_machine_gets_its_certificate_with_a_token(tmp_path, document):
    [example] = blocks(PAGE, "json")
    document["authentication"] = json.loads(example.text)["authentication"]
    authority = json.loads(example.text)["registration_authority"]["default"]
    document["registration_authority"]["default"] = authority
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))
    created, listed_and_revoked = blocks(PAGE, "console")
    [used] = blocks(PAGE, "shell")
    [shown_id] = set(re.findall(r"\btk_\w{16}\b", created.text + listed_and_revoked.text))

    with serving("pecan", tmp_path, {"ANCHOR_CONF": str(config)}) as service:
        replace = {
            "https://anchor.example.com": service.url,
            "/var/lib/anchor/anchor.db": tmp_path / "anchor.db",
        }
        with Terminal(tmp_path, replace) as terminal:
            terminal.run(f"export ANCHOR_CONF={config}")
            terminal.follow(created)
            token = json.loads((tmp_path / "web1.token").read_text())
            terminal.follow(used)
            terminal.run("openssl x509 -in web1.crt -noout -checkhost web1.example.com")
            terminal.replace[shown_id] = token["id"]
            terminal.follow(listed_and_revoked)
