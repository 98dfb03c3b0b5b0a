"""Benchmark: CPU time per certificate, for the service under load and for the signature alone.

The service runs under uwsgi with the sample policy, static authentication and an audit file, and
stores certificates in SQLite; two further lines show files beside it, and PostgreSQL without the
CPU time of its server.  Every certificate is verified.  On a busy or slow machine the times change,
but not the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench_load import (
    cpu_seconds,
    free_port,
    load,
    make_csrs,
    post,
    proportional_memory,
    running,
    verify,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from anchor.X509 import create_ca

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))
from tests.support.servers.postgresql import postgresql  # noqa: E402  # it is not installed

MANY_CONNECTIONS = 64
CA_KEYS = ("rsa-2048", "rsa-4096", "ec-p256")
BOUNDARY = "------------------------d74496d66958873e"


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="per kind of CA key")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--keys", nargs="+", default=CA_KEYS, choices=create_ca.KEYS)
    parser.add_argument("--hsm-seconds", type=float, default=2, help="per figure with a token")
    parser.add_argument("--split-only", choices=create_ca.KEYS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.split_only:
        print_split(options.split_only, options.directory, min(100, options.requests))
        return
    # Remove the files only at the end: after many files were removed, ext4 is slow for minutes at
    # making new ones.
    with tempfile.TemporaryDirectory() as name:
        print_all(options, Path(name))
    print("\nWith the CA's key in a token, against the module's bare C_Sign", flush=True)
    # It sets environment variables for the module, so it runs in a separate process.
    run_script("bench_hsm.py", str(options.hsm_seconds))


def run_script(name: str, *arguments: str) -> None:
    """Run another script of this directory."""
    subprocess.run([sys.executable, Path(__file__).with_name(name), *arguments], check=True)


def print_all(options: argparse.Namespace, directory: Path) -> None:
    """Measure each kind of CA key under load, then step by step."""
    print(
        f"{options.requests} certificates each, {options.connections} connections, 2 workers, "
        f"data in {directory.parent}"
    )
    print()
    print("CPU of the whole service for a certificate; all requests differ, and so do their keys")
    print()
    print(
        "CA key     stored in         bare signature  service CPU   ratio  median, 1 conn."
        f"  99th perc., {options.connections:2}  99th perc., {MANY_CONNECTIONS}  memory"
    )
    for kind in options.keys:
        print_row(kind, "SQLite", options, directory / f"{kind}-load", {})
    last = options.keys[-1]
    print_row(last, "SQLite and files", options, directory / f"{last}-files", {}, files=True)
    try:
        with postgresql(directory, durable=True) as server:
            section = {"url": server.url}
            print_row(last, "PostgreSQL", options, directory / f"{last}-postgresql", section)
    except pytest.fail.Exception as error:
        print(f"{last:9}  PostgreSQL: {error}")
    # In a separate process: it needs this module.
    acme = [
        "bench_acme.py",
        str(options.requests),
        str(options.connections),
        str(directory / "acme"),
    ]
    run_script(*acme)

    for kind in options.keys:
        # In a separate process: it configures logging, and changes the current directory.
        split_directory = str(directory / f"{kind}-split")
        subprocess.run(
            [
                *(sys.executable, __file__, "--split-only", kind, "--directory", split_directory),
                *("--requests", str(options.requests)),
            ],
            check=True,
        )


def print_row(
    kind: str,
    stored: str,
    options: argparse.Namespace,
    directory: Path,
    database: dict[str, str],
    *,
    files: bool = False,
) -> None:
    """Measure one kind of CA key and one store, and print a line of the table."""
    ca = configure(directory, kind, database, files=files)
    row = measure(ca, options.requests, options.connections, directory)
    print(
        f"{kind:9}  {stored:16}  {row.bare * 1e3:11.3f} ms"
        f"  {row.cpu * 1e3:8.3f} ms  {row.cpu / row.bare:6.2f}"
        f"  {row.median * 1e3:12.2f} ms  {row.percentile * 1e3:11.2f} ms"
        f"  {row.percentile_of_many * 1e3:11.2f} ms  {row.memory:4.0f} MB",
        flush=True,
    )


def print_split(kind: str, directory: Path, repeated: int) -> None:
    """Print the CPU time of each step of a request, which runs so often in each round."""
    from bench_split import split  # noqa: PLC0415  # it needs this module

    configure(directory, kind)
    steps = split(directory, repeated)
    print(f"\n{kind}: CPU of each step, in microseconds")
    for step, seconds in steps:
        print(f"  {step:36} {seconds * 1e6:8.1f}")


@dataclass(frozen=True)
class Row:
    """The result for one kind of CA key: seconds, and megabytes of all processes together."""

    bare: float
    cpu: float
    median: float
    percentile: float
    percentile_of_many: float
    memory: float


def measure(ca: x509.Certificate, count: int, connections: int, directory: Path) -> Row:
    """Measure a configured service under load, and the bare signature with its CA's key."""
    key = load_pem_private_key((directory / "CA/root-ca-unwrapped.key").read_bytes(), None)
    first, alone = min(100, count), min(count, max(50, count // 10))
    requests = iter([sign_request(csr) for csr in make_csrs(first + 2 * count + alone)])

    def send(number: int, connections: int) -> tuple[list[bytes], list[float]]:
        return load(port, list(itertools.islice(requests, number)), connections)

    with serving(directory) as (port, pid):
        send(first, connections)
        bare = [bare_signature(key)]
        started = cpu_seconds(pid)
        answers, slow = send(count, connections)
        ended = cpu_seconds(pid)
        bare.append(bare_signature(key))
        more, slowest = send(count, MANY_CONNECTIONS)
        last, quick = send(alone, 1)
        memory = proportional_memory(pid)
    verify(answers + more + last, ca)
    return Row(
        min(bare),
        (ended - started) / count,
        statistics.median(quick),
        percentile_99(slow),
        percentile_99(slowest),
        memory,
    )


def percentile_99(seconds: list[float]) -> float:
    """The time that one request of a hundred exceeds."""
    return statistics.quantiles(seconds, n=100)[98]


def configure(
    directory: Path,
    kind: str,
    database: dict[str, str] | None = None,
    *,
    files: bool = False,
) -> x509.Certificate:
    """Write the sample configuration, with a CA key of this kind and an audit file.

    Args:
        directory: where the service runs.
        kind: the kind of the CA's key.
        database: the section ``database``; by default a SQLite file.
        files: True to store certificates in files too.
    """
    (directory / "CA").mkdir(parents=True)
    pair = create_ca.make_root("Bench CA", kind, 30)
    (directory / "CA/root-ca.crt").write_bytes(pair.certificate_pem)
    key = directory / "CA/root-ca-unwrapped.key"
    key.write_bytes(pair.key_pem)
    key.chmod(0o400)
    document = json.loads((ROOT / "config.json").read_bytes())
    document["database"] = database or {}
    if not files:
        del document["signing_ca"]["local"]["output_path"]
    (directory / "config.json").write_text(json.dumps(document))
    text = (ROOT / "config.py").read_text()
    audit = '"audit": {"class": "anchor.logs.Lines"}'
    to_a_file = '"audit": {"class": "anchor.logs.Lines", "filename": "audit.log"}'
    assert audit in text
    (directory / "config.py").write_text(text.replace(audit, to_a_file))
    return x509.load_pem_x509_certificate(pair.certificate_pem)


def request_body(csr: bytes) -> bytes:
    """A form, encoded as curl encodes it."""
    fields = {"user": b"myusername", "secret": b"simplepassword", "encoding": b"pem", "csr": csr}
    parts = b"".join(
        b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (BOUNDARY.encode(), name.encode(), value)
        for name, value in fields.items()
    )
    return parts + b"--%s--\r\n" % BOUNDARY.encode()


def sign_request(csr: bytes) -> bytes:
    """The bytes of an HTTP request with this form."""
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    return post("/v1/sign/default", content_type, request_body(csr))


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[tuple[int, int]]:
    """Run the service under uwsgi; yield its port and the process id of the master."""
    port = free_port()
    uwsgi = [
        Path(sys.executable).with_name("uwsgi"),
        *("--http-socket", f"127.0.0.1:{port}", "--venv", sys.prefix, "--pecan", "config.py"),
        *("-p", "2", "--master", "--die-on-term", "--need-app", "--disable-logging"),
    ]
    with running(uwsgi, directory, port) as pid:
        yield port, pid


def bare_signature(key: object) -> float:
    """CPU seconds of one signature with the CA's key."""
    rounds = 200
    started = time.process_time()
    for _ in range(rounds):
        if isinstance(key, rsa.RSAPrivateKey):
            key.sign(b"x" * 500, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            key.sign(b"x" * 500, ec.ECDSA(hashes.SHA256()))
    return (time.process_time() - started) / rounds


if __name__ == "__main__":
    main()
