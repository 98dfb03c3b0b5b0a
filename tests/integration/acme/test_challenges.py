"""Challenges with a real DNS and real servers, on nodes of a private network."""

from __future__ import annotations

import contextlib
import time
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.jose.compact import encode_base64url
from tests.support.acme import BASE_URL, Client, acme_configuration, public_jwk
from tests.support.pki import make_csr
from tests.support.servers.challtestsrv import challenge_servers
from tests.support.servers.dns_stub import SILENCE, DnsStub
from tests.support.servers.nodes import nodes
from tests.support.servers.processes import program
from tests.support.servers.scripted import ScriptedServer, http_server
from tests.support.service import Service

NAME = "www.example.com"
# The nodes have 10.77.0.1 to .3; the last two addresses are on the third node.
NETWORK, OF_SERVICE, OUTSIDE = "10.77.0.0/27", "10.77.0.9", "10.77.0.77"
SILENT = "10.77.0.8"
ALL = ("http-01", "dns-01", "tls-alpn-01", "dns-persist-01")


class Network:
    """Anchor on the first node, the DNS and well-behaved servers on the second, and a third."""

    def __init__(self, anchor, machine, other, servers):
        self.anchor, self.machine, self.other, self.servers = anchor, machine, other, servers


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        anchor, machine, other = stack.enter_context(nodes(3))
        for address in (OF_SERVICE, OUTSIDE):
            other.run(program("ip", "iproute2"), "address", "add", f"{address}/24", "dev", "eth0")
        directory = tmp_path_factory.mktemp("challtestsrv")
        servers = stack.enter_context(challenge_servers(machine, directory))
        servers.set_addresses("anchor.example.com", OF_SERVICE)
        yield Network(anchor, machine, other, servers)


@pytest.fixture
def start(network, document, tmp_path):
    """Starts a service on the first node; returns a client with an account."""

    def run(*, resolver=None, **options):
        address = resolver or network.servers.resolver
        configuration = acme_configuration(
            document,
            **{
                "challenges": list(ALL),
                "networks": [NETWORK],
                "resolvers": [f"{address.host}:{address.port}"],
                "issuer_domain_names": ["ca.example"],
                "challenge_seconds": 3,
                "open": True,
            }
            | options,
        )
        service = Service(tmp_path, configuration, base_url=BASE_URL)
        return NodeClient(service.http, network)

    return run


class NodeClient(Client):
    """A client with a new account of a service whose connections start at the first node."""

    def __init__(self, http, network):
        super().__init__(http)
        self.network = network
        self.register(status=201)

    def send(self, *arguments, **options):
        with self.network.anchor.entered():
            return super().send(*arguments, **options)

    def order(self, *names):
        """The URL of a new order for DNS names and addresses, and its JSON."""
        identifiers = [
            {"type": "ip" if name[0].isdigit() else "dns", "value": name} for name in names
        ]
        answer = self.post("/new-order", {"identifiers": identifiers}, status=201)
        return answer.headers["Location"], answer.json

    def challenge(self, order, kind, number=0):
        """A challenge of an order, and its key authorization."""
        url = order["authorizations"][number]
        for challenge in self.post(url, None, status=200).json["challenges"]:
            if challenge["type"] == kind:
                thumbprint = encode_base64url(public_jwk(self.key).thumbprint)
                return challenge, f"{challenge.get('token')}.{thumbprint}"
        raise AssertionError(f"there is no challenge {kind}")

    def attempt(self, name, kind="http-01", prepare=lambda _challenge, _authorization: None):
        """The result of a challenge for a name in a new order, and the URL of the order."""
        url, order = self.order(name)
        challenge, authorization = self.challenge(order, kind)
        prepare(challenge, authorization)
        return self.post(challenge["url"], {}, status=200).json, url

    def finish(self, url, *names):
        """The certificate of an order that is ready."""
        order = self.post(url, None, status=200).json
        assert order["status"] == "ready"
        csr = x509.load_pem_x509_csr(make_csr(None, *names))
        encoded = encode_base64url(csr.public_bytes(Encoding.DER))
        order = self.post(order["finalize"], {"csr": encoded}, status=200).json
        return x509.load_pem_x509_certificates(self.post(order["certificate"], None).body)[0]


def serve_http(servers):
    return lambda challenge, authorization: servers.set_http(challenge["token"], authorization)


def names_of(certificate):
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def test_http_01_leads_to_a_certificate(start, network):
    client = start()
    network.servers.set_addresses(NAME, network.machine.address)
    result, url = client.attempt(NAME, prepare=serve_http(network.servers))
    assert result["status"] == "valid", result
    assert names_of(client.finish(url, NAME)) == [NAME]


def test_http_01_of_an_address_needs_no_dns(start, network):
    client = start()
    address = network.machine.address
    result, url = client.attempt(address, prepare=serve_http(network.servers))
    assert result["status"] == "valid", result
    assert names_of(client.finish(url, address)) == [address]


def test_http_01_follows_a_redirect_to_another_name(start, network):
    client = start()
    network.servers.set_addresses("first.example.com", network.other.address)
    network.servers.set_addresses("second.example.com", network.machine.address)

    def prepare(challenge, authorization):
        network.servers.set_http(challenge["token"], authorization)

    def redirect(request):
        path = request.split()[1].decode()
        return f"HTTP/1.1 302 Found\r\nLocation: http://second.example.com{path}\r\n\r\n".encode()

    with network.other.entered():
        server = http_server(redirect, network.other.address, 80)
    with server:
        result, _ = client.attempt("first.example.com", prepare=prepare)
    assert result["status"] == "valid", result


@pytest.mark.parametrize("name", [NAME, "*.example.com"])
def test_dns_01_leads_to_a_certificate(start, network, name):
    client = start()

    def prepare(_challenge, authorization):
        text = encode_base64url(sha256(authorization.encode()).digest())
        network.servers.set_text(f"_acme-challenge.{name.removeprefix('*.')}", text)

    result, url = client.attempt(name, "dns-01", prepare)
    assert result["status"] == "valid", result
    assert names_of(client.finish(url, name)) == [name]


def test_the_record_of_dns_01_may_be_in_another_zone(start, network):
    client = start()
    name, target = "delegated.example.com", "delegated.acme-records.example.net"

    def prepare(_challenge, authorization):
        network.servers.set_alias(f"_acme-challenge.{name}", target)
        text = encode_base64url(sha256(authorization.encode()).digest())
        network.servers.set_text(target, text)

    result, _ = client.attempt(name, "dns-01", prepare)
    assert result["status"] == "valid", result


def test_http_01_reaches_the_machine_that_a_name_is_an_alias_of(start, network):
    client = start()
    network.servers.set_alias("alias.example.com", "real.example.com")
    network.servers.set_addresses("real.example.com", network.machine.address)
    result, _ = client.attempt("alias.example.com", prepare=serve_http(network.servers))
    assert result["status"] == "valid", result


def test_tls_alpn_01_leads_to_a_certificate(start, network):
    client = start()
    network.servers.set_addresses("tls.example.com", network.machine.address)

    def prepare(_challenge, authorization):
        network.servers.set_tls("tls.example.com", authorization)

    result, url = client.attempt("tls.example.com", "tls-alpn-01", prepare)
    assert result["status"] == "valid", result
    assert names_of(client.finish(url, "tls.example.com")) == ["tls.example.com"]


def test_dns_persist_01_leads_to_certificates_again_and_again(start, network):
    client = start()
    name = "persist.example.com"

    def prepare(challenge, _authorization):
        [issuer] = challenge["issuer-domain-names"]
        text = f"{issuer}; accounturi={challenge['accounturi']}"
        network.servers.set_text(f"_validation-persist.{name}", text)

    result, _ = client.attempt(name, "dns-persist-01", prepare)
    assert result["status"] == "valid", result
    result, url = client.attempt(name, "dns-persist-01")
    assert result["status"] == "valid", result
    assert names_of(client.finish(url, name)) == [name]
    other = NodeClient(client.http, network)
    result, _ = other.attempt(name, "dns-persist-01")
    assert result["error"]["type"] == "urn:ietf:params:acme:error:incorrectResponse"


def test_caa_records_decide_after_the_challenge(start, network):
    client = start(caa=True)
    servers = network.servers
    for name in ("good.caa.example.com", "bad.caa.example.com"):
        servers.set_addresses(name, network.machine.address)
    servers.set_caa("good.caa.example.com", ("issue", "ca.example"))
    servers.set_caa("bad.caa.example.com", ("issue", "other.example"))
    result, _ = client.attempt("good.caa.example.com", prepare=serve_http(servers))
    assert result["status"] == "valid", result
    result, _ = client.attempt("bad.caa.example.com", prepare=serve_http(servers))
    assert result["error"]["type"] == "urn:ietf:params:acme:error:caa"
    assert "do not permit this CA" in result["error"]["detail"]


def test_a_failing_dns_is_not_taken_for_a_missing_record(start, network):
    client = start()
    network.servers.set_servfail("servfail.example.com")
    result, _ = client.attempt("servfail.example.com")
    assert result["error"]["type"] == "urn:ietf:params:acme:error:dns"
    assert "SERVFAIL" in result["error"]["detail"]


@pytest.fixture
def trap(network):
    """Servers at all addresses that Anchor must not connect to; they count connections."""
    with contextlib.ExitStack() as stack:
        servers = []
        for node, address in (
            (network.anchor, "127.0.0.1"),
            (network.anchor, network.anchor.address),
            (network.other, OF_SERVICE),
            (network.other, OUTSIDE),
        ):
            for port in (80, 443):
                with node.entered():
                    server = ScriptedServer(lambda _connection: None, address, port)
                servers.append(stack.enter_context(server))
        yield servers
        assert [server.connections for server in servers] == [0] * len(servers)


FORBIDDEN = {
    "loopback": "127.0.0.1",
    "metadata": "169.254.169.254",
    "own address": "10.77.0.1",
    "address of the service": OF_SERVICE,
    "address outside of the networks": OUTSIDE,
    "IPv6 loopback": "::1",
    "link-local": "fe80::1",
    "unspecified": "0.0.0.0",
    "NAT64": "64:ff9b::7f00:1",
    "6to4": "2002:7f00:1::1",
}


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_name_with_a_forbidden_address_is_not_connected_to(start, network, trap, kind, case):
    client = start()
    network.servers.set_addresses("trap.example.com", FORBIDDEN[case])
    result, _ = client.attempt("trap.example.com", kind)
    assert result["error"]["type"] == "urn:ietf:params:acme:error:connection"
    assert result["error"]["detail"] == (
        "trap.example.com has no address in the networks that this CA may connect to"
    )


@pytest.mark.parametrize("case", ["own address", "address outside of the networks"])
def test_a_forbidden_address_itself_is_not_connected_to(start, trap, case):
    client = start()
    result, _ = client.attempt(FORBIDDEN[case])
    assert "no address in the networks" in result["error"]["detail"]


@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_redirect_to_a_name_with_a_forbidden_address_is_not_followed(start, network, trap, case):
    client = start()
    network.servers.set_addresses("start.example.com", network.other.address)
    network.servers.set_addresses("trap.example.com", FORBIDDEN[case])
    response = b"HTTP/1.1 302 Found\r\nLocation: http://trap.example.com/\r\n\r\n"
    with network.other.entered():
        server = http_server(lambda _: response, network.other.address, 80)
    with server:
        result, _ = client.attempt("start.example.com")
    assert server.connections == 1
    assert "trap.example.com has no address in the networks" in result["error"]["detail"]


@pytest.mark.parametrize("target", ["127.0.0.1", "169.254.169.254", "10.77.0.1", "[::ffff:7f00:1]"])
def test_a_redirect_to_an_address_is_not_followed(start, network, trap, target):
    client = start()
    network.servers.set_addresses("start.example.com", network.other.address)
    response = f"HTTP/1.1 302 Found\r\nLocation: http://{target}/\r\n\r\n".encode()
    with network.other.entered():
        server = http_server(lambda _: response, network.other.address, 80)
    with server:
        result, _ = client.attempt("start.example.com")
    assert "should have a DNS name as its host" in result["error"]["detail"]


def test_a_second_answer_of_the_dns_cannot_lead_elsewhere(start, network, trap):
    """DNS rebinding: the address that was checked is the one that is connected to."""
    answers = iter([network.machine.address])

    def answer(name, kind):
        if name == "rebind.example.com" and kind == "A":
            return [next(answers, "127.0.0.1")]
        return []

    with network.other.entered():
        stub = DnsStub(answer, network.other.address)
    with stub:
        client = start(resolver=stub.address)
        result, _ = client.attempt("rebind.example.com", prepare=serve_http(network.servers))
        assert result["status"] == "valid", result
        asked = [kind for name, kind, _ in stub.queries if name == "rebind.example.com"]
        assert sorted(asked) == ["A", "AAAA"]
        result, _ = client.attempt("rebind.example.com", prepare=serve_http(network.servers))
        assert "no address in the networks" in result["error"]["detail"]


def test_forbidden_addresses_are_left_out_if_a_name_has_others(start, network, trap):
    client = start()
    network.servers.set_addresses("both.example.com", "127.0.0.1", network.machine.address, "::1")
    result, _ = client.attempt("both.example.com", prepare=serve_http(network.servers))
    assert result["status"] == "valid", result


def test_the_second_address_is_used_if_the_first_does_not_answer(start, network):
    client = start()
    network.servers.set_addresses("two.example.com", SILENT, network.machine.address)
    result, _ = client.attempt("two.example.com", prepare=serve_http(network.servers))
    assert result["status"] == "valid", result


def test_machines_that_do_not_answer_cost_the_configured_time_only(start, network):
    client = start(challenge_seconds=1)
    network.servers.set_addresses("silent.example.com", SILENT, "10.77.0.7", "10.77.0.6")
    begin = time.monotonic()
    result, _ = client.attempt("silent.example.com")
    assert time.monotonic() - begin < 3
    assert result["error"]["detail"] == "port 80 of silent.example.com: no answer in time"


def test_a_machine_without_a_server_is_named_without_its_address(start, network):
    client = start()
    network.servers.set_addresses("closed.example.com", network.other.address)
    result, _ = client.attempt("closed.example.com")
    assert result["error"]["detail"] == "port 80 of closed.example.com: the connection is refused"
    assert network.other.address not in str(result)


def test_a_name_of_the_service_that_no_resolver_answers_for_costs_a_part_of_the_time(
    start, network
):
    def answer(name, kind):
        if name == "anchor.example.com":
            return SILENCE
        return [network.machine.address] if kind == "A" else []

    with network.other.entered():
        stub = DnsStub(answer, network.other.address)
    with stub:
        client = start(resolver=stub.address)
        result, _ = client.attempt(NAME, prepare=serve_http(network.servers))
    assert result["status"] == "valid", result
