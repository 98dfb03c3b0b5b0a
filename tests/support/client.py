"""The fixtures for a machine that requests certificates, and for its daemon."""

from __future__ import annotations

import pytest

from tests.support.machine import Machine


@pytest.fixture
def machine(tmp_path, https_anchor):
    """A machine that is configured for the service behind HTTPS and has no certificates yet."""
    return Machine(tmp_path, https_anchor)


@pytest.fixture
def secret_only(machine, https_anchor):
    """Renewals of the machine use the secret, not the certificate."""
    machine.config = https_anchor.client_json(renew_with_certificate=False)


@pytest.fixture
def daemon(machine):
    """Starts the renewal daemon as a process, which the fixture stops after the test."""
    processes = []

    def start(*arguments):
        process = machine.start("renew", "--daemon", *arguments)
        processes.append(process)
        assert process.stdout.readline().startswith("keeping ")
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
