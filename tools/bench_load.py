"""What benchmarks share: a server, a client that loads it, and the counters of its processes."""

from __future__ import annotations

import contextlib
import http.client
import io
import selectors
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

START_SECONDS = 30


def free_port() -> int:
    """A TCP port of the loopback interface that nothing uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return cast(int, free.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str | Path], directory: Path, port: int) -> Iterator[int]:
    """Run a server until it is no longer needed; yield its process id once it listens.

    Args:
        command: the program with its arguments.
        directory: the directory in which it runs; its output goes to ``server.log`` there.
        port: the port on which it listens.
    """
    log_path = directory / "server.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port):
            assert process.poll() is None, log_path.read_text()
            assert time.monotonic() < deadline, log_path.read_text()
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def make_csrs(count: int) -> list[bytes]:
    """Make requests with different names and keys."""
    return [
        x509.CertificateSigningRequestBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_name(number))])
        )
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(Encoding.PEM)
        for number in range(count)
    ]


def host_name(number: int) -> str:
    """The name in the request with this number."""
    return f"host{number}.example.com"


def post(path: str, content_type: str, body: bytes, headers: Iterable[str] = ()) -> bytes:
    """The bytes of a POST request; the server closes the connection after its response."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Accept: */*",
        "Connection: close",
        *headers,
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def load(port: int, requests: list[bytes], connections: int) -> tuple[list[bytes], list[float]]:
    """Send the requests, each over a new connection.

    Args:
        port: the port of the service.
        requests: the bytes of each request.
        connections: how many requests are open at a time.

    Returns:
        The bodies of the responses, in any order, and the seconds that each took.

    Raises:
        AssertionError: a response has another status than 200.
    """
    # A single thread that only sends and receives takes little CPU time from the service.
    waiting = iter(requests)
    answers: list[bytes] = []
    seconds: list[float] = []
    with selectors.DefaultSelector() as selector:

        def ask() -> None:
            request = next(waiting, None)
            if request is not None:
                started = time.perf_counter()
                connection = socket.create_connection(("127.0.0.1", port), 60)
                connection.sendall(request)
                selector.register(connection, selectors.EVENT_READ, (started, []))

        for _ in range(connections):
            ask()
        while len(answers) < len(requests):
            for ready, _ in selector.select():
                started, received = ready.data
                connection = cast(socket.socket, ready.fileobj)
                data = connection.recv(1 << 16)
                received.append(data)
                if not data:
                    seconds.append(time.perf_counter() - started)
                    selector.unregister(connection)
                    connection.close()
                    answers.append(b"".join(received))
                    ask()
    return [_body(answer) for answer in answers], seconds


class _Received:
    """A socket for ``http.client`` from which everything has been received."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)


def read_response(answer: bytes) -> http.client.HTTPResponse:
    """The response in the bytes that a server sent."""
    response = http.client.HTTPResponse(cast(socket.socket, _Received(answer)))
    response.begin()
    return response


def _body(answer: bytes) -> bytes:
    response = read_response(answer)
    assert response.status == 200, answer
    return response.read()


def verify(answers: list[bytes], ca: x509.Certificate) -> None:
    """Verify that each response is a different certificate of the CA.

    Args:
        answers: certificates in PEM.
        ca: the certificate of the CA.

    Raises:
        AssertionError: two certificates have the same serial number.
    """
    serials = set()
    for answer in answers:
        certificate = x509.load_pem_x509_certificate(answer)
        certificate.verify_directly_issued_by(ca)
        serials.add(certificate.serial_number)
    assert len(serials) == len(answers)


def tree(pid: int) -> list[int]:
    """The ids of a process and its descendants, without those that end meanwhile."""
    processes = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        # PostgreSQL starts processes that end soon.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            processes += tree(int(child))
    return processes


def cpu_seconds(pid: int) -> float:
    """The CPU seconds of a process and its descendants, user and system."""
    # Linux counts in nanoseconds for this clock of a process, but in hundredths of a second in
    # /proc/PID/stat.  The number is what clock_getcpuclockid(3) returns.
    seconds = 0.0
    for process in tree(pid):
        # One that has ended meanwhile has no clock.
        with contextlib.suppress(OSError):
            seconds += time.clock_gettime((~process << 3) | 2)
    return seconds


def proportional_memory(pid: int) -> float:
    """The memory of a process and its descendants in megabytes; shared pages count once."""
    total = 0
    for process in tree(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024
