"""``audit.target: messaging``: CADF events to a real broker, which may be unavailable."""

from __future__ import annotations

import datetime
import json
import logging
import queue
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from oslo_config import cfg

from anchor.audit import message_bus, messaging_sink
from anchor.audit.events import AUTHENTICATION, REVOCATION, SIGNING, Event
from anchor.audit.message_bus import oslo_messaging
from anchor.audit.messaging_sink import MessagingSink
from anchor.errors import AuditError, ConfigurationError
from tests.support.pki import make_csr
from tests.support.servers.processes import free_port


class Listener:
    """Receives notifications from the broker."""

    def __init__(self, url):
        self.heard = []
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        self._transport = oslo_messaging.get_notification_transport(conf, url)
        self._server = oslo_messaging.get_notification_listener(
            self._transport,
            [oslo_messaging.Target(topic="notifications")],
            [self],
            executor="threading",
        )
        self._server.start()

    def info(self, _context, publisher, kind, payload, _metadata):
        self.heard.append((publisher, kind, payload))

    def wait_for(self, count):
        wait_until(lambda: len(self.heard) >= count)
        return self.heard

    def stop(self):
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()


def comes_true(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def wait_until(condition, seconds=120):
    assert comes_true(condition, seconds)


@pytest.fixture
def listener(broker):
    listener = Listener(broker.url)
    yield listener
    listener.stop()


@pytest.fixture
def serve(serve):
    """Makes services; their connections to the broker are closed after the test."""
    services = []

    def serve_and_remember(document):
        services.append(serve(document))
        return services[-1]

    yield serve_and_remember
    for service in services:
        service.settings.authorities["default"].audit.close()


@pytest.fixture
def messaged(document, broker):
    document["audit"] = {"target": "messaging", "url": broker.url}
    return document


def event(number=0, kind=SIGNING, reasons=()):
    moment = datetime.datetime.now(datetime.UTC)
    return Event(kind, moment, "default", f"user{number}", "192.0.2.7", "id", reasons)


def test_both_steps_of_a_success_arrive_as_cadf(serve, messaged, listener):
    certificate = serve(messaged).issue(make_csr("www.example.com", "www.example.com"))

    authentication, signing = listener.wait_for(2)
    assert ("anchor", "audit.auth") == authentication[:2]
    assert ("anchor", "audit.sign") == signing[:2]
    payload = signing[2]
    assert payload["typeURI"] == "http://schemas.dmtf.org/cloud/audit/1.0/event"
    assert (payload["action"], payload["outcome"]) == ("create", "success")
    assert authentication[2]["action"] == "authenticate"
    assert payload["initiator"]["name"] == "alice"
    assert payload["initiator"]["host"]["address"] == "192.0.2.7"
    assert payload["target"]["name"] == "default"
    [attached] = payload["attachments"]
    assert attached["content"]["names"] == ["DNS:www.example.com"]
    assert attached["content"]["serial"] == f"{certificate.serial_number:x}"
    assert attached["content"]["event"] == "audit.sign"


def test_a_failure_arrives_with_its_reason_and_without_secrets(serve, messaged, listener):
    serve(messaged).sign(secret="hunter2-wrong", status=401)

    [(_, kind, payload)] = listener.wait_for(1)
    assert kind == "audit.auth"
    assert payload["outcome"] == "failure"
    assert "not accepted" in payload["reason"]["reasonCode"]
    assert "hunter2" not in json.dumps(payload)


def test_without_the_broker_signing_continues_and_unsent_events_are_logged(serve, document, caplog):
    caplog.set_level(logging.INFO, "anchor.audit")
    document["audit"] = {
        "target": "messaging",
        "url": f"rabbit://guest:pa55word@127.0.0.1:{free_port()}/",
        "queue_size": 4,
        "flush_seconds": 0,
    }
    service = serve(document)

    started = time.monotonic()
    for _ in range(10):
        service.issue()
    seconds = time.monotonic() - started

    assert seconds < 5
    # Twenty events: four wait, one is being sent, and the others went to the log at once.
    logged = [record for record in caplog.records if record.name == "anchor.audit"]
    assert len(logged) >= 20 - 4 - 1
    assert json.loads(logged[-1].message)["event"] in {"audit.auth", "audit.sign"}
    assert "could not be sent" in caplog.text
    assert "pa55word" not in caplog.text


def test_waiting_events_arrive_when_the_broker_is_back(serve, messaged, broker, listener):
    service = serve(messaged)
    service.issue()
    listener.wait_for(2)

    broker.stop()
    try:
        started = time.monotonic()
        service.issue()
        assert time.monotonic() - started < 5
    finally:
        broker.start()
    service.issue()

    wait_until(lambda: len(listener.heard) >= 4)


def test_an_event_is_sent_or_in_the_log_when_the_queue_overflows():
    """A stand-in for the broker, because a real one cannot be made slow."""
    release, sent, logged = threading.Event(), [], []

    class SlowBus:
        def send(self, event):
            release.wait()
            sent.append(event)

        def close(self):
            sent.append("closed")

    trail = MessagingSink(SlowBus, 3, 60, logged.append)
    events = [event(number) for number in range(10)]
    for one in events:
        trail.record(one)
    release.set()

    trail.close()

    assert sent.pop() == "closed"
    assert sorted(one.user for one in sent + logged) == sorted(one.user for one in events)
    assert len(logged) in {6, 7}


def test_an_event_that_arrives_as_the_sender_ends_is_sent(monkeypatch):
    first, last = event(1), event(2)
    sent = []

    class Late(queue.Queue):
        is_over = False

        def get(self, **how):
            try:
                return super().get(**how)
            except queue.Empty:
                if not self.is_over:
                    self.is_over = True
                    sender.put(last)
                    sender._ending.set()
                raise

    class FakeBus:
        send = staticmethod(sent.append)
        close = staticmethod(lambda: sent.append("closed"))

    monkeypatch.setattr(messaging_sink.queue, "Queue", Late)
    sender = messaging_sink._Sender(FakeBus, 3, sent.append)
    sender.put(first)
    wait_until(lambda: "closed" in sent, 20)

    assert sent == [first, last, "closed"]


END = textwrap.dedent(
    """
    import datetime, json, logging, os, sys, time
    from pathlib import Path
    from anchor.audit.sinks import load_audit_sink
    from anchor.audit.events import SIGNING, Event

    logging.basicConfig(level="INFO", format="%(message)s", filename=sys.argv[2])
    trail = load_audit_sink(json.loads(sys.argv[1]), Path())
    moment = datetime.datetime.now(datetime.UTC)
    for number in range(20):
        trail.record(Event(SIGNING, moment, "ra", f"user{number}", "192.0.2.1", "id"))
    """
)

NO_HEARTBEAT = textwrap.dedent(
    """
    import threading

    start = threading.Thread.start
    def refuse(thread):
        if thread.name == "Rabbit-heartbeat":
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(thread)
    threading.Thread.start = refuse
    """
)


def test_a_process_that_ends_sends_waiting_events(broker, listener, tmp_path):
    options = {"target": "messaging", "url": broker.url, "flush_seconds": 60}
    subprocess.run(
        [sys.executable, "-c", END, json.dumps(options), str(tmp_path / "log")], check=True
    )

    heard = listener.wait_for(20)
    assert {f"user{n}" for n in range(20)} == {found["initiator"]["name"] for _, _, found in heard}


def test_a_process_that_ends_logs_events_that_it_cannot_send_in_time(tmp_path):
    url = f"rabbit://guest:guest@127.0.0.1:{free_port()}/"
    options = {"target": "messaging", "url": url, "flush_seconds": 0.5}
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", END, json.dumps(options), str(tmp_path / "log")], check=True
    )

    assert time.monotonic() - started < 60
    log = (tmp_path / "log").read_text()
    assert all(f'"user":"user{number}"' in log for number in range(20))


def test_a_broker_that_accepts_and_never_answers_delays_nobody(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rabbit://guest:guest@127.0.0.1:{silent.getsockname()[1]}/"
        options = {"target": "messaging", "url": url, "flush_seconds": 0.5, "queue_size": 5}
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-c", END, json.dumps(options), str(tmp_path / "log")], check=True
        )

    assert time.monotonic() - started < 60
    log = (tmp_path / "log").read_text()
    assert all(f'"user":"user{number}"' in log for number in range(20))


def test_a_process_that_ends_and_cannot_start_threads_sends_waiting_events(
    broker, listener, tmp_path
):
    """As with Python 3.12.0 to 3.12.2; the driver starts a thread for its heartbeat."""
    options = {"target": "messaging", "url": broker.url, "flush_seconds": 60}
    subprocess.run(
        [sys.executable, "-c", NO_HEARTBEAT + END, json.dumps(options), str(tmp_path / "log")],
        check=True,
    )

    assert len(listener.wait_for(20)) == 20


def test_each_process_sends_by_itself_after_a_fork(broker, listener, tmp_path):
    fork = END.replace("moment =", "os.fork() and os.wait()\nmoment =")
    warmed = fork.replace(
        "os.fork()",
        'trail.record(Event(SIGNING, datetime.datetime.now(datetime.UTC), "ra", "first", "", ""))\n'
        "os.fork()",
    )
    options = {"target": "messaging", "url": broker.url, "flush_seconds": 60}
    subprocess.run(
        [sys.executable, "-c", warmed, json.dumps(options), str(tmp_path / "log")], check=True
    )

    assert len(listener.wait_for(41)) == 41


@pytest.mark.parametrize("kind", [AUTHENTICATION, SIGNING, REVOCATION])
@pytest.mark.parametrize("reasons", [(), ("no", "and no again")])
def test_what_is_sent_is_valid_cadf(kind, reasons):
    document = message_bus.as_cadf(event(1, kind, reasons))

    assert {"id", "eventTime", "action", "outcome", "initiator", "target"} <= set(document)
    json.dumps(document)


def test_errors_about_the_url_never_quote_it(serve, document, monkeypatch):
    for section, message in (
        ({}, "exactly one of 'url'"),
        ({"url": "nosuch://user:pa55word@host"}, "audit.url: is not usable"),
        ({"url": "rabbit://user:pa55word@host", "topic": ""}, "audit.topic"),
    ):
        document["audit"] = {"target": "messaging", **section}
        with pytest.raises(ConfigurationError) as refused:
            serve(document)
        assert message in str(refused.value)
        assert "pa55word" not in str(refused.value)


def test_worker_processes_send_waiting_events_when_they_are_stopped(workers, messaged, listener):
    # As in anchor.ini.  By default uwsgi kills a worker within a request, and the last request may
    # still run after its client has the response.
    gracefully = ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all")
    server = workers(messaged, "--enable-threads", *gracefully)
    csr = make_csr()
    statuses = [server.sign(csr)[0] for _ in range(12)]
    server.stop()

    assert statuses == [200] * 12

    def given_up():
        # On a busy machine the broker may be slow; events that were not sent are in the log.
        return server.log.read_text().count("an audit event could not be sent")

    arrived = comes_true(lambda: len(listener.heard) + given_up() >= 24)
    assert arrived, (len(listener.heard), server.log.read_text())
    assert listener.heard


# ---- neither broker nor log


class Away:
    """A broker and a log, each of which fails while its attribute is True."""

    def __init__(self):
        self.log_is_away = self.broker_is_away = True
        self.logged, self.sent = [], []

    def send(self, one):
        if self.broker_is_away:
            raise OSError("amqp://guest:pa55word@127.0.0.1 is away")
        self.sent.append(one)

    def close(self):
        pass

    def log(self, one):
        if self.log_is_away:
            raise AuditError("no space left on device")
        self.logged.append(one)


def fill(trail):
    """Record events until one fails; return how many succeeded."""
    for number in range(100):
        try:
            trail.record(event(number))
        except AuditError:
            return number
    return None


@pytest.mark.parametrize("back", ["log_is_away", "broker_is_away"])
def test_with_broker_and_log_away_requests_fail_once_the_queue_is_full_and_nothing_is_lost(
    back, caplog
):
    away = Away()
    trail = MessagingSink(lambda: away, 3, 60, away.log)

    accepted = fill(trail)
    assert accepted in {3, 4}

    setattr(away, back, False)
    wait_until(lambda: len(away.sent + away.logged) == accepted)
    trail.record(event(100))
    trail.close()
    found = [one.user for one in away.sent + away.logged]
    assert sorted(found) == sorted([f"user{number}" for number in (*range(accepted), 100)])
    assert "pa55word" not in caplog.text


def test_a_process_that_ends_with_both_away_says_so_and_ends(caplog):
    away = Away()
    trail = MessagingSink(lambda: away, 3, 0.1, away.log)
    accepted = fill(trail)

    trail.close()

    wait_until(lambda: caplog.text.count("an audit event is lost") >= accepted)


def test_a_log_that_loses_events_is_refused_as_for_the_target_log(document, serve, audit_log):
    document["audit"] = {"target": "messaging", "url": "fake://"}
    trail = serve(document).settings.authorities["default"].audit
    trail.check()

    logging.getLogger("anchor.audit").setLevel(logging.WARNING)

    with pytest.raises(ConfigurationError, match="would lose audit events"):
        trail.check()
