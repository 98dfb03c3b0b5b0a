"""ACME: rows of accounts and orders, a configuration, and signed requests."""

from __future__ import annotations

import datetime
import hmac
import json
from ipaddress import ip_address

from cryptography import x509
from joserfc.jwk import ECKey

from anchor.acme.services import new_id
from anchor.auth.credentials import new_token_id
from anchor.auth.presented import Origin
from anchor.auth.results import AcmeOrder, AuthDetails, CredentialKind
from anchor.auth.token import Token, hash_secret, mac_key_of, new_secret
from anchor.jose.compact import encode_base64url
from anchor.jose.public_keys import parse_public_jwk
from anchor.store.acme_records import (
    Account,
    Authorization,
    AuthorizationStatus,
    Identifier,
    Order,
    OrderStatus,
)
from anchor.store.database.acme_accounts import AcmeAccounts
from anchor.store.database.acme_orders import AcmeOrders
from anchor.store.database.tokens import Tokens
from anchor.timestamps import utc_now
from anchor.X509.signing_request import X509Csr
from tests.support.jwt import sign_raw
from tests.support.pki import make_csr
from tests.support.pki import make_key as make_private_key

BASE_URL = "https://anchor.example.com"
URL = f"{BASE_URL}/acme/default"
DAY = datetime.timedelta(days=1)


def acme_configuration(document, **options):
    """Add ACME to a configuration: by default accounts need no tokens, and there are no challenges.

    Tests about tokens say ``open=False``.
    """
    document["authentication"]["tokens"] = {"backend": "token"}
    authority = document["registration_authority"]["default"]
    used = authority["authentication"]
    authority["authentication"] = [*([used] if isinstance(used, str) else used), "tokens"]
    authority["acme"] = {"challenges": [], "open": True} | options
    return document


def add_binding_token(database, *, names=None, uses=1, requester="machines", groups=(), **changes):
    """Store a token that can bind accounts; return its identifier and its secret."""
    secret = new_secret()
    now = utc_now().replace(microsecond=0)
    values = {"authority": "default", "expires": now + DAY, "created": now} | changes
    token = Token(
        id=new_token_id(),
        requester=requester,
        groups=tuple(groups),
        names=None if names is None else tuple(names),
        secret_hash=hash_secret(secret),
        mac_key=mac_key_of(secret),
        uses=uses,
        **values,
    )
    Tokens(database).add(token)
    return token.id, secret


def make_key():
    """The private key of an account."""
    return ECKey.generate_key("P-256")


def public_jwk(key):
    return parse_public_jwk(key.as_dict(private=False))


def add_account(database, key=None, **changes):
    """Store an account, which is bound to no token."""
    jwk = public_jwk(key or make_key())
    values = {
        "id": new_id(),
        "authority": "default",
        "key_thumbprint": jwk.thumbprint.hex(),
        "jwk": jwk.members,
        "requester": "machines",
        "created": utc_now().replace(microsecond=0),
    } | changes
    return AcmeAccounts(database).add(Account(**values))


def add_order(database, account, *names, status=OrderStatus.READY, challenges=None, **changes):
    """Store an order for DNS names and addresses.

    Args:
        database: the database.
        account: the account.
        names: the names.
        status: the status of the order.
        challenges: makes the challenges for an identifier; then the authorizations are pending, and
            otherwise valid.
        changes: other values of the order.
    """
    now = utc_now().replace(microsecond=0)
    identifiers = tuple(map(_identifier, names or ("www.example.com",)))
    values = {"id": new_id(), "expires": now + DAY, "created": now, "identifiers": identifiers}
    order = Order(account_id=account.id, status=status, **values | changes)
    authorizations = [
        Authorization(
            id=new_id(),
            order_id=order.id,
            account_id=account.id,
            identifier=identifier,
            status=AuthorizationStatus.PENDING if challenges else AuthorizationStatus.VALID,
            expires=order.expires,
            challenges=challenges(identifier) if challenges else (),
        )
        for identifier in order.identifiers
    ]
    AcmeOrders(database).add(order, authorizations, delete_after=order.expires + DAY)
    return order


def _identifier(text):
    try:
        ip_address(text)
    except ValueError:
        return Identifier("dns", text)
    return Identifier("ip", text)


def signed(key, url, payload, *, nonce=None, kid=None, **header):
    """A signed request as the body of a POST.

    Args:
        key: the private key.
        url: the URL of the request.
        payload: the members of the payload; None for POST-as-GET.
        nonce: the nonce; None for none, as in inner requests.
        kid: the URL of the account; None to send the key itself.
        header: more members of the header, which replace these.
    """
    members = {"alg": "ES256", "url": url}
    if nonce is not None:
        members["nonce"] = nonce
    members |= {"kid": kid} if kid else {"jwk": key.as_dict(private=False)}
    members |= header
    content = b"" if payload is None else json.dumps(payload).encode()
    text = sign_raw(json.dumps(members).encode(), content, key, members["alg"])
    protected, content, signature = text.split(".")
    return json.dumps({"protected": protected, "payload": content, "signature": signature}).encode()


def make_binding(key, token_id, secret, url=f"{URL}/new-account", algorithm="HS256"):
    """The externalAccountBinding of a key to a token (RFC 8555 section 7.3.4)."""
    header = {"alg": algorithm, "kid": token_id, "url": url}
    protected = encode_base64url(json.dumps(header).encode())
    payload = encode_base64url(json.dumps(key.as_dict(private=False)).encode())
    message = f"{protected}.{payload}".encode()
    mac = hmac.digest(mac_key_of(secret), message, f"sha{algorithm[2:]}")
    return {"protected": protected, "payload": payload, "signature": encode_base64url(mac)}


class Client:
    """An ACME client at a service in this process.

    Args:
        http: the WebTest application.
        key: the private key of the account.
    """

    def __init__(self, http, key=None, authority="default"):
        self.http = http
        self.key = key or make_key()
        self.url = f"{BASE_URL}/acme/{authority}"
        self.account = None
        self.nonces = []

    def nonce(self):
        """A nonce of the last response, or a new one."""
        if self.nonces:
            return self.nonces.pop()
        return self.http.head(self._path(f"{self.url}/new-nonce")).headers["Replay-Nonce"]

    def post(self, url, payload, *, key=None, kid=None, nonce=None, status="*", **header):
        """Send a signed request; a path is below the URL of the directory."""
        url = url if url.startswith("http") else self.url + url
        if kid is None and key is None:
            kid = self.account
        body = signed(key or self.key, url, payload, nonce=nonce or self.nonce(), kid=kid, **header)
        return self.send(url, body, status=status)

    def send(self, url, body, *, status="*", content_type="application/jose+json"):
        """Send a body as it is."""
        url = url if url.startswith("http") else self.url + url
        answer = self.http.post(
            self._path(url), body, headers={"Content-Type": content_type}, status=status
        )
        if "Replay-Nonce" in answer.headers:
            self.nonces = [answer.headers["Replay-Nonce"]]
        return answer

    def register(self, *, binding=None, status=201, **payload):
        """Create an account, or find the one of the key."""
        if binding is not None:
            payload["externalAccountBinding"] = make_binding(
                self.key, *binding, url=f"{self.url}/new-account"
            )
        answer = self.post("/new-account", payload, key=self.key, status=status)
        self.account = answer.headers.get("Location", self.account)
        return answer

    @staticmethod
    def _path(url):
        assert url.startswith(BASE_URL), url
        return url.removeprefix(BASE_URL)


def issue_for(services, account, *names, key=None, order=None):
    """A certificate for an account, issued as finalize does it; the order is then valid."""
    names = names or ("www.example.com",)
    database = services.orders.database
    order = order or add_order(database, account, *names)
    identity = AuthDetails(
        account.requester,
        account.groups,
        token_id=account.token_id,
        credential=CredentialKind.ACME,
        order=AcmeOrder(account.id, order.id),
    )
    csr = X509Csr.from_pem(make_csr(None, *names, key=key or make_private_key()))
    origin = Origin(address="192.0.2.7", request_id=new_id(), door="acme")
    issued = services.authority.issue(identity, csr, origin)
    services.orders.complete(order.id, issued.not_after)
    return issued


def certificate_id(certificate):
    """The identifier of RFC 9773 section 4.1."""
    authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    number = certificate.serial_number
    serial = number.to_bytes(number.bit_length() // 8 + 1, "big")
    return f"{encode_base64url(authority.value.key_identifier)}.{encode_base64url(serial)}"
