"""What the benchmarks of ACME share: a client that takes little CPU time from the service.

Clients are generators, which yield the bytes of requests and receive the responses; :func:`run`
sends them.  Accounts and certificates have P-256 keys.
"""

from __future__ import annotations

import base64
import json
import selectors
import socket
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import bench  # noqa: F401  # it adds the directory above this one to the path
from bench_load import host_name, post, read_response
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.jwk import ECKey

from tests.support import acme

# The requests of an order with one name, unless it has a challenge.
REQUESTS = 5
Returned = TypeVar("Returned")


@dataclass(frozen=True)
class Answer:
    """A response of the service."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.body))


@dataclass(frozen=True)
class Order:
    """An order as the service showed it first."""

    url: str
    authorization: str
    finalize: str


# What a client does.
Steps = Generator[bytes, Answer, Returned]


class Client:
    """An ACME client, without the network.

    Args:
        directory: the URL under which the service has ``new-nonce`` and so on.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._key = ECKey.generate_key("P-256")
        self._account: str | None = None
        self._nonce = ""

    def register(self, token: tuple[str, str] | None = None) -> Steps[None]:
        """Make the account; a token is the identifier and the secret of its external binding."""
        answer = yield _request("HEAD", f"{self._directory}/new-nonce")
        self._nonce = answer.headers["replay-nonce"]
        url = f"{self._directory}/new-account"
        content: dict[str, Any] = {"termsOfServiceAgreed": True}
        if token:
            content["externalAccountBinding"] = acme.make_binding(self._key, *token, url=url)
        answer = yield from self._post(url, content)
        self._account = answer.headers["location"]

    def new_order(self, name: str) -> Steps[Order]:
        """Order a certificate for a DNS name."""
        identifiers = [{"type": "dns", "value": name}]
        answer = yield from self._post(f"{self._directory}/new-order", {"identifiers": identifiers})
        [authorization] = answer.json["authorizations"]
        return Order(answer.headers["location"], authorization, answer.json["finalize"])

    def authorization(self, order: Order) -> Steps[dict[str, Any]]:
        """Read the authorization of an order."""
        answer = yield from self._post(order.authorization, None)
        return answer.json

    def respond(
        self, authorization: dict[str, Any], publish: Callable[[str, str], None]
    ) -> Steps[None]:
        """Publish the TXT record of the challenge dns-01, then ask for its validation.

        Args:
            authorization: the authorization.
            publish: called with the name and the text of the record.
        """
        [challenge] = [each for each in authorization["challenges"] if each["type"] == "dns-01"]
        thumbprint = _base64url(acme.public_jwk(self._key).thumbprint)
        expected = f"{challenge['token']}.{thumbprint}"
        name = f"_acme-challenge.{authorization['identifier']['value']}"
        publish(name, _base64url(sha256(expected.encode()).digest()))
        yield from self._post(challenge["url"], {})

    def finish(self, order: Order, csr: bytes) -> Steps[bytes]:
        """Get the certificate of a valid order, with its chain, in PEM."""
        yield from self._post(order.finalize, {"csr": _base64url(csr)})
        answer = yield from self._post(order.url, None)
        answer = yield from self._post(answer.json["certificate"], None)
        return answer.body

    def _post(self, url: str, payload: object) -> Steps[Answer]:
        body = acme.signed(self._key, url, payload, nonce=self._nonce, kid=self._account)
        answer = yield _request("POST", url, body)
        self._nonce = answer.headers["replay-nonce"]
        return answer


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _request(method: str, url: str, body: bytes = b"") -> bytes:
    sent = post(urlsplit(url).path, "application/jose+json", body)
    return sent.replace(b"POST", method.encode(), 1)


def make_orders(count: int) -> list[tuple[str, bytes]]:
    """Different names, and requests in DER with different keys."""
    made = []
    for name in map(host_name, range(count)):
        csr = (
            x509.CertificateSigningRequestBuilder(x509.Name([]))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        )
        made.append((name, csr.public_bytes(Encoding.DER)))
    return made


def run(port: int, works: Sequence[Steps[Returned]]) -> list[Returned]:
    """Do all works at once, in this thread; return their results."""
    results: dict[int, Returned] = {}
    with selectors.DefaultSelector() as selector:

        def go_on(number: int, answer: Answer | None) -> None:
            try:
                # A generator begins with None.
                content = works[number].send(cast(Answer, answer))
            except StopIteration as end:
                results[number] = end.value
                return
            connection = socket.create_connection(("127.0.0.1", port), 60)
            connection.sendall(content)
            selector.register(connection, selectors.EVENT_READ, (number, []))

        for number in range(len(works)):
            go_on(number, None)
        while selector.get_map():
            for ready, _ in selector.select():
                number, received = ready.data
                connection = cast(socket.socket, ready.fileobj)
                data = connection.recv(1 << 16)
                received.append(data)
                if not data:
                    selector.unregister(connection)
                    connection.close()
                    go_on(number, _parse(b"".join(received)))
    return [results[number] for number in range(len(works))]


def _parse(answer: bytes) -> Answer:
    response = read_response(answer)
    assert response.status in {200, 201}, answer
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(headers, response.read())
