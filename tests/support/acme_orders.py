"""Orders of ACME clients, from the new order to the certificate."""

from __future__ import annotations

import datetime
import threading

from cryptography import x509

from anchor.jose.compact import encode_base64url
from anchor.timestamps import utc_now
from anchor.X509.signing_request import X509Csr
from tests.support.acme import URL, Client, acme_configuration, add_account
from tests.support.pki import general_name, make_csr, make_key

ERROR = "urn:ietf:params:acme:error:"


class Clock:
    """The time, which a test can set forward."""

    def __init__(self):
        self.offset = datetime.timedelta()

    def __call__(self):
        return utc_now() + self.offset

    def advance(self, **amount):
        self.offset += datetime.timedelta(**amount)


def acme_with(document, *, validators=None, fixups=None, **options):
    """A configuration with ACME, and with a policy."""
    authority = document["registration_authority"]["default"]
    authority["validators"] = validators or {}
    authority["fixups"] = fixups or {}
    return acme_configuration(document, **options)


def add_client(service, **changes):
    """A client with an account, which is bound to no token unless the changes say so."""
    client = Client(service.http)
    client.row = add_account(service.settings.database, client.key, **changes)
    client.account = f"{URL}/account/{client.row.id}"
    return client


def same_client(client, service):
    """Another client with the same account, at a service with the same database."""
    other = Client(service.http, client.key)
    other.account, other.row = client.account, client.row
    other.nonces = [other.nonce()]
    return other


def identifiers(*names):
    """The identifiers for names and addresses."""
    kinds = (
        ("ip" if isinstance(general_name(name), x509.IPAddress) else "dns", name) for name in names
    )
    return [{"type": kind, "value": value} for kind, value in kinds]


def new_order(client, *names, status=201, **members):
    """The response to a new order."""
    return client.post("/new-order", {"identifiers": identifiers(*names)} | members, status=status)


def csr_text(*names, common_name=None, key=None, extensions=()):
    """A CSR as finalize expects it."""
    pem = make_csr(common_name, *names, key=key or make_key(), extensions=extensions)
    return encode_base64url(X509Csr.from_pem(pem).submitted.der)


def finalize(client, order, *names, status=200, **changes):
    """The response to the request to finalize an order, for its own names by default."""
    names = names or [each["value"] for each in order["identifiers"]]
    return client.post(order["finalize"], {"csr": csr_text(*names, **changes)}, status=status)


def download(client, order):
    """The certificates of a valid order."""
    return x509.load_pem_x509_certificates(client.post(order["certificate"], None, status=200).body)


def obtain(client, *names, **members):
    """The certificate of a new order."""
    order = new_order(client, *names, **members).json
    return download(client, finalize(client, order).json)[0]


def at_once(calls):
    """Call functions in threads that start at the same time; return their results."""
    barrier = threading.Barrier(len(calls))
    results = [None] * len(calls)

    def run(number, call):
        barrier.wait()
        results[number] = call()

    threads = [
        threading.Thread(target=run, args=(number, call)) for number, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def assert_problem(answer, kind, status, *words):
    """Assert that an answer is a problem document of a type, with words in its detail."""
    assert answer.content_type == "application/problem+json"
    assert (answer.json["type"], answer.status_int) == (ERROR + kind, status), answer.json
    assert answer.json["status"] == status
    assert "Replay-Nonce" in answer.headers
    for word in words:
        assert word in answer.json["detail"]
