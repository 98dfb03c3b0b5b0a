"""Simultaneous requests of different users, authorities and forms: no response gets data of
another.
"""

from __future__ import annotations

import base64
import collections
import concurrent.futures
import contextlib
import datetime
import hashlib
import http.client
import json
import os
import random
import re
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from anchor.cli import main
from tests.support.pki import make_ca, make_csr, shared_key
from tests.support.servers.anchor import arguments
from tests.support.servers.processes import answers, free_port, running
from tests.support.service import Service
from tests.system.test_real_servers import ROOT

REQUESTS = 800
CONNECTIONS = 16
AUTHORITIES = {
    "blue": ("alice", "ec-p256", 5),
    "red": ("bob", "rsa-2048", 7),
    "green": ("carol", "ed25519", 9),
}
KEYS = ("ec-p256", "ec-p384", "rsa-2048", "ed25519")
KINDS = ("good",) * 5 + ("refused", "wrong secret", "garbage", "another's secret")
BOUNDARY = "------------------------d74496d66958873e"


@dataclass(frozen=True)
class Asked:
    """A request, with the texts that only its response and its record may contain."""

    number: int
    kind: str
    authority: str
    key: str
    form: str
    wants_json: bool

    @property
    def user(self):
        return AUTHORITIES[self.authority][0]

    @property
    def name(self):
        domain = "elsewhere" if self.kind == "refused" else self.authority
        return f"host{self.number}.{domain}.example"

    @property
    def address(self):
        return f"127.{1 + self.number // 40_000}.{self.number // 200 % 200}.{1 + self.number % 200}"

    @property
    def status(self):
        return {"good": 200, "refused": 400, "garbage": 400}.get(self.kind, 401)

    def secret(self):
        whose = "dave" if self.kind == "wrong secret" else self.user
        if self.kind == "another's secret":
            whose = {"alice": "bob", "bob": "carol", "carol": "alice"}[self.user]
        return f"secret of {whose}"

    def http(self):
        """The headers and the body of the request."""
        csr = make_csr(
            self.name,
            self.name,
            f"alt{self.number}.{self.authority}.example",
            key=shared_key(self.key),
        )
        if self.kind == "garbage":
            csr = b"garbage"
        headers = {"Accept": "application/json" if self.wants_json else "*/*"}
        fields = {"user": self.user, "secret": self.secret(), "encoding": "pem", "csr": csr}
        if self.form == "bare":
            credentials = base64.b64encode(f"{self.user}:{self.secret()}".encode()).decode()
            headers |= {
                "Content-Type": "application/pkcs10",
                "Authorization": f"Basic {credentials}",
            }
            return headers, csr
        if self.form == "urlencoded":
            return headers | {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(
                fields
            ).encode()
        parts = b"".join(
            b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            % (
                BOUNDARY.encode(),
                name.encode(),
                value if isinstance(value, bytes) else value.encode(),
            )
            for name, value in fields.items()
        )
        headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
        return headers, parts + b"--%s--\r\n" % BOUNDARY.encode()


@pytest.fixture(scope="module")
def asked():
    chosen = random.Random(9)
    for key in KEYS:
        # Make the keys here: several threads that ask for a key first would get different ones.
        shared_key(key)
    return [
        Asked(
            number,
            chosen.choice(KINDS),
            chosen.choice(list(AUTHORITIES)),
            chosen.choice(KEYS),
            chosen.choice(["multipart", "urlencoded", "bare"]),
            chosen.random() < 0.5,
        )
        for number in range(REQUESTS)
    ]


@pytest.fixture
def cas(tmp_path, capsys):
    """The CA of each authority; the configuration is in the same directory."""
    found = {}
    document = {
        "authentication": {},
        "signing_ca": {},
        "registration_authority": {},
        "audit": {"target": "file", "path": "audit.jsonl", "checkpoint_key_path": "audit.key"},
    }
    main.main(["audit", "init", str(tmp_path / "audit.key")])
    for authority, (user, kind, hours) in AUTHORITIES.items():
        ca = found[authority] = make_ca(tmp_path, kind, name=f"The {authority} CA")
        document["authentication"][user] = {
            "backend": "static",
            "user": user,
            "secret": f"secret of {user}",
        }
        document["signing_ca"][authority] = {
            "backend": "anchor",
            "cert_path": str(ca.cert_path),
            "key_path": str(ca.key_path),
            "output_path": f"certs/{authority}",
            "valid_hours": hours,
        }
        document["registration_authority"][authority] = {
            "authentication": user,
            "signing_ca": authority,
            "validators": {
                "standards_compliance": {},
                "common_name": {"allowed_domains": [f".{authority}.example"]},
            },
            "fixups": {"normalize_names": {}},
        }
    (tmp_path / "config.json").write_text(json.dumps(document))
    return found


@dataclass(frozen=True)
class Answer:
    """The response to a request."""

    status: int
    request_id: str
    content_type: str
    body: bytes


def by_http(port, one):
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=120, source_address=(one.address, 0)
    )
    headers, body = one.http()
    with contextlib.closing(connection):
        connection.request("POST", f"/v1/sign/{one.authority}", body, headers)
        with connection.getresponse() as answer:
            return Answer(
                answer.status,
                answer.headers["X-Request-Id"],
                answer.headers["Content-Type"],
                answer.read(),
            )


@contextlib.contextmanager
def server(kind, directory):
    """A server with several threads, or with several processes that have several threads each."""
    port = free_port()
    config_py = directory / "config.py"
    config_py.write_text((ROOT / "config.py").read_text())
    command = arguments(kind, port, config_py)
    if kind == "uwsgi":
        command += ["--threads", "4"]
    with running(
        command,
        log=directory / "server.log",
        ready=lambda: answers(port),
        cwd=directory,
        env=os.environ | {"GUNICORN_CMD_ARGS": "--threads 4 --worker-class gthread"},
    ):
        yield lambda one: by_http(port, one)


@contextlib.contextmanager
def in_this_process(directory):
    document = json.loads((directory / "config.json").read_text())
    http = Service(directory, document).http

    def ask(one):
        headers, body = one.http()
        answer = http.post(
            f"/v1/sign/{one.authority}",
            body,
            headers=headers,
            extra_environ={"REMOTE_ADDR": one.address},
            status="*",
        )
        return Answer(
            answer.status_int,
            answer.headers["X-Request-Id"],
            answer.headers["Content-Type"],
            answer.body,
        )

    yield ask


@pytest.mark.parametrize("kind", ["uwsgi", "gunicorn", "threads"])
def test_every_response_and_every_event_belongs_to_its_request(kind, tmp_path, cas, asked):
    place = in_this_process(tmp_path) if kind == "threads" else server(kind, tmp_path)
    with place as ask, concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        answers = list(pool.map(ask, asked))

    assert REQUESTS == len({answer.request_id for answer in answers})
    events = collections.defaultdict(list)
    for line in (tmp_path / "audit.jsonl").read_text().splitlines():
        event = json.loads(line)
        if "address" in event:
            events[event["address"]].append(event)
    assert {one.address for one in asked} == set(events)
    serials = set()
    for one, answer in zip(asked, answers, strict=True):
        assert one.status == answer.status, answer.body
        # The host name contains the number of the request.
        if one.status != 200:
            said = re.findall(rb"host(\d+)", answer.body)
            assert {int(number) for number in said} <= {one.number}
        record = events[one.address]
        assert {answer.request_id} == {event["request_id"] for event in record}
        assert {one.authority} == {event["authority"] for event in record}
        assert {one.user} == {event["user"] for event in record}
        assert _expected_outcomes(one) == [(event["event"], event["outcome"]) for event in record]
        if one.wants_json and one.status != 200:
            assert answer.request_id == json.loads(answer.body)["request_id"]
        if one.kind in ("good", "refused"):
            assert _key_hash(one) == record[-1]["requested"]["key"]
            assert f"DNS:{one.name}" == record[-1]["requested"]["names"][0]
        if one.status == 200:
            serials.add(_check(one, answer, record[-1], cas, tmp_path))
    assert len(serials) == sum(one.status == 200 for one in asked)


def _expected_outcomes(one):
    if one.status == 401:
        return [("audit.auth", "failure")]
    outcome = "success" if one.status == 200 else "failure"
    return [("audit.auth", "success"), ("audit.sign", outcome)]


def _key_hash(one):
    key = shared_key(one.key).public_key()
    return hashlib.sha256(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()


def _check(one, answer, event, cas, path):
    """Return the serial number of a certificate after checking that it matches the request."""
    pem = answer.body
    if one.wants_json:
        pem = json.loads(answer.body)["certificate"].encode()
    certificate = x509.load_pem_x509_certificate(pem)
    certificate.verify_directly_issued_by(cas[one.authority].certificate)
    [common_name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    assert one.name == common_name.value
    assert [one.name, f"alt{one.number}.{one.authority}.example"] == names.get_values_for_type(
        x509.DNSName
    )
    assert shared_key(one.key).public_key() == certificate.public_key()
    assert life // datetime.timedelta(hours=1) == AUTHORITIES[one.authority][2]
    assert (fingerprint, f"{certificate.serial_number:x}") == (
        event["fingerprint"],
        event["serial"],
    )
    assert [f"DNS:{one.name}"] == event["names"][:1]
    assert pem == (path / "certs" / one.authority / f"{fingerprint}.crt").read_bytes()
    return certificate.serial_number
