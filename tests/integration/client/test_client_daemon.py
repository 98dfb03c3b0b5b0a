"""``anchor renew --daemon`` as a process."""

from __future__ import annotations

import signal
import time

from anchor.client.daemon import LONGEST_SLEEP
from tests.support.servers.processes import wait_for


def test_the_daemon_renews_due_certificates_and_ends_on_sigterm(machine, daemon):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    machine.force_renewal_due()

    process = daemon()
    wait_for(lambda: machine.certificate() != first, what="a renewal")

    line = process.stdout.readline()
    assert line.startswith("www.example.com: renewed with the certificate, valid until 2")
    process.send_signal(signal.SIGTERM)
    assert 0 == process.wait(30)
    machine.assert_key_matches()
    assert [] == machine.leftovers()


def test_sighup_starts_a_cycle_at_once(machine, daemon):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    process = daemon()
    machine.force_renewal_due()

    def renewed():
        # The signal can arrive before the daemon sleeps.
        process.send_signal(signal.SIGHUP)
        return machine.certificate() != first

    before = time.monotonic()
    wait_for(renewed, what="a renewal")
    # Without the signal it would sleep for a minute.
    assert time.monotonic() - before < LONGEST_SLEEP - 5
    assert process.poll() is None


def test_the_daemon_retries_while_the_service_is_unavailable(machine, daemon, https_anchor):
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()
    machine.force_renewal_due()
    https_anchor.stop()
    process = daemon()
    assert "is not available: Connection refused" in process.stderr.readline()

    https_anchor.start()

    wait_for(lambda: machine.certificate() != first, what="a renewal")
    assert "www.example.com: renewed" in process.stdout.readline()
