"""A CA, a configuration and a service, in the test's process."""

from __future__ import annotations

import io
import json
import logging
from types import SimpleNamespace

import pytest
from cryptography import x509

from anchor.timestamps import utc_now
from tests.support.pki import make_ca, make_csr


@pytest.fixture
def ca(tmp_path):
    """A CA with a P-256 key."""
    return make_ca(tmp_path)


@pytest.fixture
def document(ca):
    """A small configuration in the long form, which a test may change."""
    return small_configuration(ca)


def small_configuration(ca):
    """A configuration with one authority, whose certificates this CA signs."""
    return {
        "authentication": {"static": {"backend": "static", "user": "alice", "secret": "s3cret"}},
        "signing_ca": {
            "local": {
                "backend": "anchor",
                "cert_path": str(ca.cert_path),
                "key_path": str(ca.key_path),
                "output_path": "certs",
            }
        },
        "registration_authority": {
            "default": {"authentication": "static", "signing_ca": "local", "validators": {}}
        },
    }


class Service:
    """A configured service, called as a WSGI application."""

    def __init__(self, path, document, *, clock=utc_now, **web):
        # These take a second to import, and most files of tests do without a service.
        import webtest

        from anchor.app import Application
        from anchor.authorities import load_authorities
        from anchor.web.settings import WebSettings

        config = path / "config.json"
        config.write_text(json.dumps(document))
        self.path = path
        self.settings = load_authorities(config, clock=clock)
        application = Application(
            self.settings.authorities, WebSettings(**web), acme=self.settings.acme
        )
        self.http = webtest.TestApp(
            application, extra_environ={"REMOTE_ADDR": "192.0.2.7"}, lint=False
        )

    def sign(self, csr=None, *, authority="default", status=None, headers=None, **fields):
        """Send a request; fields that are None are left out."""
        form = {"user": "alice", "secret": "s3cret", "encoding": "pem"} | fields
        form["csr"] = make_csr() if csr is None else csr
        form = {name: value for name, value in form.items() if value is not None}
        return self.http.post(f"/v1/sign/{authority}", form, headers=headers, status=status or "*")

    def issue(self, csr=None, **kwargs):
        """Return the certificate for a request that is accepted."""
        answer = self.sign(csr, status=200, **kwargs)
        return x509.load_pem_x509_certificate(answer.body)


@pytest.fixture
def serve(tmp_path):
    """Makes a :class:`Service` from a configuration."""
    return lambda document, **web: Service(tmp_path, document, **web)


@pytest.fixture
def service(serve, document):
    """The service of the fixture ``document``."""
    return serve(document)


@pytest.fixture(autouse=True)
def audit_log():
    """The text that the audit logger writes; without a handler, no service starts."""
    logger = logging.getLogger("anchor.audit")
    propagate, handlers = logger.propagate, logger.handlers[:]
    kept = io.StringIO()
    _set_level(logger)
    logger.addHandler(logging.StreamHandler(kept))
    yield kept
    _set_level(logger)
    logger.propagate, logger.handlers[:] = propagate, handlers


def _set_level(logger):
    # Setting it empties a cache of each logger.
    if logger.level != logging.INFO:
        logger.setLevel(logging.INFO)


@pytest.fixture
def audit(caplog):
    """The audit events so far: each call of ``events`` reads them again."""
    caplog.set_level(logging.INFO, "anchor.audit")

    def events():
        return [
            json.loads(record.message) for record in caplog.records if record.name == "anchor.audit"
        ]

    return SimpleNamespace(events=events)
