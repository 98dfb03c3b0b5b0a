"""p11-kit: SoftHSM through ``p11-kit-client.so`` or ``p11-kit-proxy.so``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from anchor.ca.pkcs11 import module as pkcs11_module
from tests.support.servers.processes import program
from tests.support.servers.softhsm import MODULE

_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
CLIENT = _LIBRARIES / "pkcs11/p11-kit-client.so"
PROXY = _LIBRARIES / "p11-kit-proxy.so"


@pytest.fixture(params=[CLIENT, PROXY], ids=["client", "proxy"])
def p11_kit(softhsm, tmp_path, monkeypatch, request):
    """A module of p11-kit that provides the token ``anchor``; the test runs with each module."""
    assert request.param.exists(), "the Debian packages p11-kit and p11-kit-modules are needed"
    # The client reads the address of its server only once, when it is loaded.
    pkcs11_module.module_at.cache_clear()
    with _behind(request.param, tmp_path / "p11-kit", monkeypatch):
        yield request.param
        pkcs11_module.module_at(request.param).library.lib.C_Finalize()
        pkcs11_module.module_at.cache_clear()


@contextlib.contextmanager
def _behind(module, socket, monkeypatch):
    if module == PROXY:
        # Debian's softhsm2 registers itself with p11-kit.
        yield
        return
    command = [program("p11-kit", "p11-kit"), "server", "-f", "-n", socket]
    server = subprocess.Popen(
        [*command, "--provider", MODULE, "pkcs11:token=anchor"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # The server prints its address once it listens.
        assert "P11_KIT_SERVER_ADDRESS" in server.stdout.readline()
        monkeypatch.setenv("P11_KIT_SERVER_ADDRESS", f"unix:path={socket}")
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=10)
