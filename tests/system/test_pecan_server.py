"""Pecan's server, behind `pecan serve` and `anchor serve`: its address and its output."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from wsgiref.simple_server import WSGIServer

import pytest

from anchor.errors import ConfigurationError
from anchor.runtime import pecan_serve
from tests.support.servers.anchor import ROOT
from tests.support.servers.processes import free_port, program, running

COMMANDS = ["pecan serve config.py", "anchor serve"]


@pytest.fixture
def directory(tmp_path, document):
    (tmp_path / "config.json").write_text(json.dumps(document))
    return tmp_path


def configure(directory, host, port):
    """Write a config.py with this address."""
    text = (ROOT / "config.py").read_text()
    text, number = re.subn(r"^server = .*$", f"server = {{'host': {host!r}, 'port': {port!r}}}",
                           text, flags=re.MULTILINE)  # fmt: skip
    assert 1 == number
    (directory / "config.py").write_text(text)


def command(line):
    name, *arguments = line.split()
    return [program(name, name), *arguments]


def start(line, directory):
    """Run a command that must not start the service; return its result."""
    return subprocess.run(
        command(line), cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )


def assert_one_clear_line(finished, *words):
    assert 1 == finished.returncode
    [line] = finished.stderr.splitlines()
    assert line.startswith("anchor: server")
    for word in words:
        assert word in line


@pytest.mark.parametrize("line", COMMANDS)
def test_a_port_that_is_in_use_is_reported_in_one_line(directory, line):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        configure(directory, "127.0.0.1", port)

        assert_one_clear_line(start(line, directory), str(port), "Address already in use")


@pytest.mark.parametrize("line", COMMANDS)
def test_an_invalid_port_is_reported_in_one_line(directory, line):
    configure(directory, "127.0.0.1", "65536")

    assert_one_clear_line(start(line, directory), "'65536'", "from 1 to 65535")


@pytest.mark.parametrize("line", COMMANDS)
def test_an_address_of_another_machine_is_reported_in_one_line(directory, line):
    configure(directory, "192.0.2.1", free_port())

    assert_one_clear_line(start(line, directory), "192.0.2.1")


@pytest.fixture
def refusal(monkeypatch):
    """The error about an address, without a process."""
    # A refused address has set it.
    monkeypatch.setattr(WSGIServer, "address_family", WSGIServer.address_family)

    def refused(host, port):
        with pytest.raises(ConfigurationError) as raised:
            pecan_serve.prepare({"host": host, "port": port})
        [line] = str(raised.value).splitlines()
        assert line.startswith("server")
        return line

    return refused


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_port_in_use_is_refused_on_each_address(refusal, host):
    family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    with socket.create_server(address, family=family) as other:
        port = str(other.getsockname()[1])

        refused = refusal(host, port)

    assert port in refused
    assert "Address already in use" in refused


@pytest.mark.parametrize("taken", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_on_ipv4_only_is_refused_for_all_addresses(refusal, taken):
    with socket.create_server((taken, 0)) as other:
        port = str(other.getsockname()[1])

        refused = refusal("::", port)

    assert f"[::]:{port}" in refused
    assert "Address already in use" in refused


@pytest.mark.parametrize("port", ["0", "65536", "-1", "99999999999", "http", "", "50 16"])
def test_an_invalid_port_is_refused(refusal, port):
    refused = refusal("127.0.0.1", port)

    assert repr(port) in refused
    assert "from 1 to 65535" in refused


@pytest.mark.parametrize("host", [
    "192.0.2.1", "2001:db8::1", "nowhere.invalid", "[::1]", "a" * 80, "*", "fe80::1%lo", "::1%lo",
    "http://127.0.0.1",
])  # fmt: skip
def test_an_address_of_another_machine_is_refused(refusal, host):
    assert host in refusal(host, str(free_port()))


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("::", ["::1", "127.0.0.1"]),
        ("0.0.0.0", ["127.0.0.1"]),
    ],
)
def test_it_listens_where_it_is_told_and_says_so_at_once(directory, line, host, asked):
    port = free_port()
    configure(directory, host, port)
    log = directory / "log"

    # The log is a file, so Python buffers lines unless it is told otherwise.
    with running(
        command(line),
        log=log,
        ready=lambda: "serving on" in log.read_text(),
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
    ):
        for address in asked:
            connection = http.client.HTTPConnection(address, port, timeout=10)
            with contextlib.closing(connection):
                connection.request("GET", "/healthz")
                assert 200 == connection.getresponse().status


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_an_invalid_port_option_is_reported(directory, port):
    configure(directory, "127.0.0.1", free_port())

    finished = start(f"anchor serve --port {port}", directory)

    assert finished.returncode == 2
    *usage, message = finished.stderr.splitlines()
    assert usage[0].startswith("usage: anchor serve ")
    assert message == (
        f"anchor serve: argument --port: '{port}' is not a port: a number from 1 to 65535 is needed"
    )


def test_an_address_with_a_zone_is_reported_in_one_line(directory):
    """Pecan passes the address to wsgiref without the number of its zone."""
    zones = [
        f"{ip_address(bytes.fromhex(words[0]))}%{words[5]}"
        for line in Path("/proc/net/if_inet6").read_text().splitlines()
        if (words := line.split())[0].startswith("fe80")
    ]
    configure(directory, (zones or ["fe80::1%lo"])[0], free_port())

    assert_one_clear_line(start("anchor serve", directory), "fe80:")


def test_an_invalid_configuration_is_reported_without_a_traceback(directory):
    configure(directory, "127.0.0.1", free_port())
    (directory / "config.json").write_text("{}")

    for line in COMMANDS:
        finished = start(line, directory)

        assert 1 == finished.returncode
        assert "Traceback" not in finished.stderr
        assert "registration_authority" in finished.stderr


def test_other_servers_are_not_mistaken_for_pecans(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/gunicorn", "anchor.wsgi:application"])
    assert not pecan_serve.is_serving()

    monkeypatch.setattr(sys, "argv", ["/usr/bin/pecan", "serve", "config.py"])
    assert pecan_serve.is_serving()


def test_the_section_may_be_missing_a_part():
    with pytest.raises(ConfigurationError, match=r"server\.port: None is not a port"):
        pecan_serve.prepare({"host": "127.0.0.1"})
    with pytest.raises(ConfigurationError, match=r"server\.host: None is not an address"):
        pecan_serve.prepare({"port": 5016})
