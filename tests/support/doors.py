"""Every way to ask for a certificate, with the credentials that it takes."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.parse
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from sqlalchemy import func, select
from sqlalchemy import text as sql

from anchor.store.acme_records import Identifier, Order, OrderStatus
from anchor.store.database.acme_orders import AcmeOrders
from anchor.store.database.certificates import Selection
from anchor.store.database.tables import USED_CREDENTIALS
from anchor.store.database.tokens import Tokens
from tests.support import jwt
from tests.support.acme import BASE_URL, URL, Client, add_account, add_order
from tests.support.pki import make_csr, shared_key
from tests.support.renewal import der, make_proof
from tests.support.tokens import add_token

BARE = {"Content-Type": "application/pkcs10"}


def basic(user="alice", secret="s3cret"):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


@dataclass
class Visit:
    """A requester at a service, with a credential of each kind.

    Attributes:
        service: the service.
        csr: the request that the requester sends, in PEM.
        old: the certificate that the requester has, of the key that all tests share.
        names: the limit of the token; None for no limit.
        now: the time at the service, in seconds since 1970; None for the machine's.
    """

    service: object
    csr: bytes
    old: object
    names: tuple[str, ...] | None = None
    now: int | None = None
    token: dict = field(init=False)
    jwt: str = field(init=False)
    proof: str = field(init=False)
    acme_client: Client = field(init=False)
    order: Order = field(init=False)
    nonce: str = field(init=False)

    def __post_init__(self):
        database = self.service.settings.database
        # A use for the ACME account, and another for a certificate.
        self.token = add_token(database, names=self.names, expires=None, uses=2)
        self.jwt = jwt.make_token(jti=self.token["user"])
        times = {} if self.now is None else {"iat": self.now, "exp": self.now + 300}
        url = f"{BASE_URL}/v1/renew/default"
        self.proof = make_proof(self.old, shared_key(), self.csr, url=url, **times)
        self.acme_client = Client(self.service.http)
        account = add_account(
            database,
            self.acme_client.key,
            requester="web1",
            allowed_names=self.names,
            token_id=self.token["user"],
        )
        self.acme_client.account = f"{URL}/account/{account.id}"
        # Whatever the names are: the policy decides about them once more with the CSR.
        self.order = add_order(database, account, identifiers=identifiers_of(self.csr))
        self.nonce = self.acme_client.nonce()

    def post(self, path, body, *, headers=None, certificate=None):
        environ = {}
        if certificate is not None:
            pem = certificate.public_bytes(Encoding.PEM)
            environ["ANCHOR_CLIENT_CERTIFICATE"] = urllib.parse.quote(pem)
        return self.service.http.post(
            path, body, headers=headers, extra_environ=environ, status="*"
        )

    def form(self):
        return self.post("/v1/sign/default", {"encoding": "pem", "csr": self.csr, **self.token})

    def json(self):
        form = {"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": self.csr}
        return self.post("/v1/sign/default", form, headers={"Accept": "application/json"})

    def bare(self):
        return self.post("/v1/sign/default", self.csr, headers=BARE | basic())

    def bare_token(self):
        headers = BARE | basic(self.token["user"], self.token["secret"])
        return self.post("/v1/sign/default", der(self.csr), headers=headers)

    def bearer(self):
        headers = BARE | {"Authorization": f"Bearer {self.jwt}"}
        return self.post("/v1/sign/default", self.csr, headers=headers)

    def renew_proof(self):
        form = {"encoding": "pem", "csr": self.csr, "proof": self.proof}
        return self.post("/v1/renew/default", form)

    def renew_tls(self):
        return self.post("/v1/renew/default", self.csr, headers=BARE, certificate=self.old)

    def est_enroll(self):
        return self._est("simpleenroll", headers=BARE | basic())

    def est_enroll_token(self):
        headers = BARE | basic(self.token["user"], self.token["secret"])
        return self._est("simpleenroll", headers=headers)

    def est_enroll_tls(self):
        # Without User-Agent, a refusal has no text.
        headers = {**BARE, "User-Agent": "libest"}
        return self._est("simpleenroll", headers=headers, certificate=self.old)

    def est_reenroll(self):
        return self._est("simplereenroll", headers=BARE, certificate=self.old)

    def acme(self):
        """The answer is the order, with a URL of its certificate."""
        csr = {"csr": jwt.b64(der(self.csr))}
        return self.acme_client.post(f"/order/{self.order.id}/finalize", csr, nonce=self.nonce)

    def _est(self, operation, **kwargs):
        body = base64.b64encode(der(self.csr))
        return self.post(f"/.well-known/est/default/{operation}", body, **kwargs)

    def order_is_ready(self):
        orders = AcmeOrders(self.service.settings.database)
        return orders.find(self.order.id).status is OrderStatus.READY

    def spent(self):
        """The number of uses of the token, and of other credentials that are good once.

        A nonce of ACME is no credential: each request has one.
        """
        database = self.service.settings.database
        content = jwt.unb64(self.nonce)[:-16]
        nonce = hashlib.sha256(b"acme nonce" + content).hexdigest()
        query = select(func.count()).where(USED_CREDENTIALS.c.key != nonce)
        with database.read() as connection:
            used = connection.execute(query).scalar()
        return Tokens(database).find(self.token["user"]).used - 1 + used


DOORS = (
    "form",
    "json",
    "bare",
    "bare_token",
    "bearer",
    "renew_proof",
    "renew_tls",
    "est_enroll",
    "est_enroll_token",
    "est_enroll_tls",
    "est_reenroll",
    "acme",
)
RENEWALS = ("renew_proof", "renew_tls", "est_enroll_tls", "est_reenroll")
WITH_TOKEN = ("form", "bare_token", "est_enroll_token", "acme")


def configuration(document, directory):
    """The configuration, with an authentication for each kind of credential."""
    document["authentication"] |= {
        "tokens": {"backend": "token"},
        "jobs": jwt.oidc_section(directory, single_use=True),
    }
    document["registration_authority"]["default"] |= {
        "authentication": ["static", "tokens", "jobs"],
        "max_failures": 1000,
        "max_address_failures": 1000,
        "renewal": {"grace_hours": 24},
        "acme": {"challenges": []},
    }
    return document


def identifiers_of(csr):
    """The names in a request in PEM, as an order has them; there may be none."""
    request = x509.load_pem_x509_csr(csr)
    common = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    names = [attribute.value.lower() for attribute in common]
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names += extension.value.get_values_for_type(x509.DNSName)
    return tuple(Identifier("dns", name) for name in dict.fromkeys(names))


def stored(service):
    """How many certificates the inventory has."""
    return service.settings.authorities["default"].inventory.count(Selection())


def forget(database):
    """Delete the bans, the failures and the used credentials."""
    with database.write() as connection:
        for table in ("bans", "ban_keys", "failures", "used_credentials"):
            connection.execute(sql(f"DELETE FROM {table}"))  # no input


def failed_checks(answer):
    """The text of a refusal, from text or from JSON."""
    return json.loads(answer.text)["detail"] if "json" in answer.content_type else answer.text


def good_csr():
    return make_csr("www.example.com", "www.example.com")
