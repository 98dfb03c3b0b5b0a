"""The page on renewals without a secret: its script works as it stands there."""

from __future__ import annotations

import re
import shutil

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.support.documentation import blocks
from tests.support.pki import key_pem, make_csr, make_key, shared_key
from tests.support.terminal import Terminal

PAGE = "howto/renewal-without-secret.rst"
NAMES = ("www.example.com", "www.example.com", "b.example.com", "192.0.2.1")

SIGN = """
curl -sSf --cacert ca.pem -F user=alice -F secret=s3cret -F encoding=pem -F 'csr=<web.csr' \
    -o web.crt https://anchor.example.com/v1/sign/default
"""


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256"])
def test_the_script_renews_certificates_of_rsa_and_ecdsa_keys(https_anchor, tmp_path, kind):
    settings, script, commands = blocks(PAGE, "sh")
    shutil.copy(https_anchor.tls.ca.cert_path, tmp_path / "ca.pem")
    (tmp_path / "web.key").write_bytes(key_pem(shared_key(kind)))
    (tmp_path / "web.csr").write_bytes(make_csr(*NAMES, key=shared_key(kind)))

    with Terminal(tmp_path, {"https://anchor.example.com": https_anchor.url}) as terminal:
        terminal.run(SIGN)
        first = x509.load_pem_x509_certificate((tmp_path / "web.crt").read_bytes())
        terminal.follow(settings)
        terminal.follow(script)
        assert re.search("CN ?= ?www.example.com", terminal.run(commands.text))
        second = x509.load_pem_x509_certificate((tmp_path / "web.crt").read_bytes())
        # The key of the second certificate signs the next proof.
        terminal.run(commands.text)

        (tmp_path / "web.key").write_bytes(key_pem(make_key()))
        refused = terminal.run("./renew-with-openssl", code=1)

    assert "its signature is wrong" in refused
    assert second.subject == first.subject and second.serial_number != first.serial_number
    alternative_names = [
        each.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for each in (first, second)
    ]
    assert alternative_names[0] == alternative_names[1]


def test_ecdsa_signatures_with_short_numbers_are_padded(tmp_path):
    """One of 128 signatures has a number with a leading zero byte, or with two."""
    _, script, _ = blocks(PAGE, "sh")
    start, end = script.text.index("ecdsa_numbers() {"), script.text.index("sign() {")
    numbers = [(1, 2), (2**255, 2**256 - 1), (2**247, 2**8), (0xAB << 240, 2**252 + 5)]

    with Terminal(tmp_path) as terminal:
        terminal.run(script.text[start:end])
        for pair in numbers:
            (tmp_path / "signature").write_bytes(encode_dss_signature(*pair))
            found = terminal.run("ecdsa_numbers <signature | od -An -v -tx1 | tr -d ' \\n'")
            assert found == "".join(f"{number:064x}" for number in pair)
