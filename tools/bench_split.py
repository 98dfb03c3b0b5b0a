"""Where the time of a certificate goes: each step of a request by itself, in one process.

Every step is repeated, and the best of several rounds counts, so that a busy machine disturbs
little.  The steps are those of the service; what lies between them shows as the remainder.
"""

from __future__ import annotations

import io
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pecan
from anchor.ca.blank import CertificateTemplate
from bench import BOUNDARY, bare_signature, make_csrs, request_body
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.app import Application
from anchor.audit.events import SIGNING, Event, describe_certificate
from anchor.authority import RegistrationAuthority
from anchor.ca import verify_issued
from anchor.ca.backends import KeySigner
from anchor.ca.template import build_template
from anchor.web.forms import read_form
from anchor.web.request import Request
from anchor.X509 import csr_reader
from anchor.X509.csr_reader import read_csr
from anchor.X509.signatures import algorithm
from anchor.X509.signing_request import X509Csr

ROUNDS = 7
REPEATED = 100


def split(directory: Path) -> list[tuple[str, float]]:
    """The steps of a request that is new to a configuration, in seconds of CPU each."""
    os.chdir(directory)
    # The audit's logger has a level of its own, without which nothing starts.
    logging.getLogger("anchor").setLevel(logging.ERROR)
    application = pecan.load_app("config.py")
    authority = application.root.authorities["default"]
    pem = make_csrs(1)[0]
    body = request_body(pem)
    steps = _steps(application, authority, pem, body)
    named = [(name, cpu(step)) for name, step in steps]
    again = cpu(lambda: answer(application, body))

    def as_if_new() -> None:
        csr_reader.forget()
        answer(application, body)

    whole = cpu(as_if_new)
    signer = authority.signing_ca.generations[0].signer
    assert isinstance(signer, KeySigner)
    return [
        *named,
        ("the rest: Pecan, WebOb, glue", whole - sum(seconds for _, seconds in named)),
        ("the whole request", whole),
        ("the whole of one that came before", again),
        ("the bare signature, for comparison", bare_signature(signer.key)),
    ]


def _steps(
    application: Application, authority: RegistrationAuthority, pem: bytes, body: bytes
) -> list[tuple[str, Callable[[], object]]]:
    environ = environment(body)
    request = Request(environ)
    signing_ca = authority.signing_ca
    ca, signer = signing_ca.generations[0].ca, signing_ca.generations[0].signer
    profile = signing_ca.profile
    assert isinstance(signer, KeySigner)
    csr = read_csr(pem, "pem")
    identity = authority.authenticator.authenticate("default", "myusername", "simplepassword")

    def approve(csr: X509Csr) -> X509Csr:
        context = authority.policy.context(identity, request, authority.conf)
        return authority.policy.approve(csr, context)

    approved = approve(csr)
    blank = build_template(approved, ca, profile, authority.clock())
    used = algorithm(signer.key, profile.signing_hash)
    der = blank.sign(used)
    issued = signer.issue(approved, ca, profile, authority.clock())
    encoded = issued.certificate.public_bytes(Encoding.PEM)

    def new_blank() -> CertificateTemplate:
        # Of a copy of the request nothing is remembered.
        return blank._replace(csr=replace(approved))

    def read_and_prove_possession() -> None:
        assert X509Csr.from_pem(pem).submitted.signature_is_valid

    def prove() -> None:
        verify_issued.verify_issued(der, new_blank(), ca)

    def audit() -> None:
        details = describe_certificate(issued, "0" * 64, approved)
        for _ in ("authentication", "signing"):
            now = authority.clock()
            authority.audit.record(Event(SIGNING, now, "bench", "u", "a", "r", details=details))

    return [
        ("HTTP form", lambda: read_form(Request(environment(body)), body)),
        ("routing", lambda: application.root.find("POST", "/v1/sign/default")),
        (
            "authentication",
            lambda: authority.authenticator.authenticate("d", "myusername", "simplepassword"),
        ),
        ("parsing and proof of possession", read_and_prove_possession),
        ("validation and fixups", lambda: approve(replace(csr))),
        (
            "building",
            lambda: build_template(replace(approved), ca, profile, authority.clock()),
        ),
        ("signing", lambda: new_blank().sign(used)),
        ("reading back", prove),
        ("storage", lambda: signing_ca.store.put(secrets.token_hex(32), encoded)),
        ("audit", audit),
    ]


def cpu(step: Callable[[], object]) -> float:
    """CPU seconds of a step, user and system."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(REPEATED):
            step()
        best = min(best, (time.process_time() - started) / REPEATED)
    return best


def environment(body: bytes) -> dict[str, object]:
    """A request as uwsgi hands it over."""
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/sign/default",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY}",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_ACCEPT": "*/*",
        "HTTP_HOST": "127.0.0.1:5016",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "5016",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
    }


def answer(application: Application, body: bytes) -> None:
    """One request through the WSGI door."""
    statuses: list[str] = []
    chunks = application(environment(body), lambda status, *_: statuses.append(status))
    assert statuses[0].startswith("200"), b"".join(chunks)
