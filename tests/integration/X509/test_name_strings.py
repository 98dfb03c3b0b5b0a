"""Names in any string type, as OpenSSL reads them in certificates."""

from __future__ import annotations

import subprocess

from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import der
from tests.support.properties import examples
from tests.support.servers.processes import program
from tests.unit.X509.test_hostile_properties import BURST
from tests.unit.X509.test_name_strings import (
    certified,
    directory_strings,
    document,  # noqa: F401  # a fixture
    value,
)


def openssl_subject(certificate):
    """The values of the subject as OpenSSL prints them, without escapes."""
    done = subprocess.run(
        [
            program("openssl", "openssl"),
            "x509",
            "-noout",
            "-subject",
            "-nameopt",
            "utf8,sep_multiline,space_eq,oid",
        ],
        input=certificate.public_bytes(Encoding.PEM),
        capture_output=True,
        check=True,
    )
    lines = done.stdout.decode("utf-8").removeprefix("subject=\n").removesuffix("\n").split("\n")
    return [line.partition(" = ")[2] for line in lines]


@settings(BURST, max_examples=examples(25))
@given(wanted=st.lists(directory_strings(), min_size=1, max_size=4))
def test_openssl_reads_the_requested_text(service, ca, wanted):
    subject = der.name(*((oid, value(text, tag), tag) for oid, text, tag in wanted))

    assert [text for _, text, _ in wanted] == openssl_subject(certified(service, ca, subject))
