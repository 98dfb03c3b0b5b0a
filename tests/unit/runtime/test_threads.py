"""Background threads leave the signals of the process to the main thread."""

from __future__ import annotations

import signal
import threading

import pytest

from anchor.audit.events import SIGNING, Event
from anchor.audit.messaging_sink import MessagingSink
from anchor.auth.deadline import Deadline
from anchor.runtime import threads
from anchor.timestamps import utc_now

ENDING = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}


def blocked():
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_thread_blocks_signals_and_its_starter_does_not():
    found = []
    before = blocked()

    thread = threads.start(lambda: found.append(blocked()), "a name")
    thread.join(20)

    assert found[0] >= ENDING
    assert before == blocked()
    assert (thread.name, thread.daemon) == ("a name", True)


def test_signals_stay_unblocked_if_a_thread_cannot_start(monkeypatch):
    before = blocked()

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        threads.start(lambda: None, "a name")

    assert before == blocked()


def test_backend_calls_and_sent_events_block_signals():
    masks = [Deadline(20).call(blocked)]

    class FakeBus:
        def send(self, _event):
            masks.append(blocked())

        def close(self):
            pass

    trail = MessagingSink(FakeBus, 3, 20, print)
    trail.record(Event(SIGNING, utc_now(), "default", "alice", "192.0.2.7", "id"))
    trail.close()

    assert len(masks) == 2
    assert all(mask >= ENDING for mask in masks)
