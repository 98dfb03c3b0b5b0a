"""Health, readiness, metrics and logs."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import logging
import os
import re
import signal
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from anchor import logs
from anchor.app import Application
from anchor.errors import SigningError
from anchor.metrics import labels
from anchor.metrics.registry import Metrics
from anchor.metrics.shared_counters import SharedCounters
from anchor.runtime import process_directory
from anchor.runtime.load_record import LoadRecord
from anchor.web.settings import WebSettings
from tests.support.pace import cpu_limit
from tests.support.pki import DAY, make_ca, make_csr, now
from tests.support.servers.anchor import EVERY_SERVER, ROOT, serving
from tests.support.servers.processes import descendants, wait_for
from tests.system.test_real_servers import post


def read(text):
    """The samples in Prometheus' text format, by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def metrics(service):
    """The metrics of a service, requested from this machine."""

    def ask():
        answer = service.http.get("/metrics", extra_environ={"REMOTE_ADDR": "127.0.0.1"})
        return read(answer.text)

    return ask


def number(samples, name, **labels):
    return samples[(name, *sorted(labels.items()))]


def test_the_service_is_alive(service):
    assert "ok\n" == service.http.get("/healthz", status=200).text
    assert service.http.head("/healthz", status=200)
    assert service.http.post("/healthz", status=405)


def test_a_service_that_can_issue_is_ready(service):
    text = service.http.get("/readyz", status=200).text
    found = service.http.get("/readyz", headers={"Accept": "application/json"}, status=200).json

    assert [
        "database: ok",
        "signing_ca.local.certificate: ok",
        "signing_ca.local.key: ok",
        "signing_ca.local.storage: ok",
    ] == text.splitlines()
    assert found["ready"]
    assert {"check": "signing_ca.local.key", "ready": True, "problem": None} in found["checks"]


def unready(service):
    """The problems that a service reports when it is not ready."""
    headers = {"Accept": "application/json"}
    found = service.http.get("/readyz", headers=headers, status=503).json
    assert not found["ready"]
    return {check["check"]: check["problem"] for check in found["checks"] if not check["ready"]}


def test_a_service_whose_certificates_cannot_be_stored_is_not_ready(service, tmp_path):
    (tmp_path / "certs").rmdir()

    assert {"signing_ca.local.storage": "certificates cannot be stored now"} == unready(service)
    assert str(tmp_path) not in service.http.get("/readyz", status=503).text


def test_a_service_whose_ca_is_about_to_end_is_not_ready(serve, document, tmp_path):
    ending = make_ca(tmp_path, name="Ending", not_after=now() + DAY / 48)
    document["signing_ca"]["local"] |= {
        "cert_path": str(ending.cert_path),
        "key_path": str(ending.key_path),
    }

    problems = unready(serve(document))

    assert {"signing_ca.local.certificate": "it ends too soon to issue anything"} == problems


TOKEN = """
from anchor.errors import SigningError
from anchor.ca.file_key import FileKey
from anchor.options import PrivateFile
class Token:
    def __init__(self, key_path: PrivateFile):
        self.key = FileKey(key_path).private_key()
    def private_key(self):
        return self.key
    def ready(self):
        raise {error}
"""


@pytest.mark.parametrize("error", ["SigningError('PIN 1234 refused')", "OSError('gone')"])
def test_a_service_whose_key_does_not_answer_is_not_ready(serve, document, plugins, error):
    plugins(TOKEN.format(error=error), "[anchor.signing_backends]\ntoken = trouble:Token\n")
    document["signing_ca"]["local"]["backend"] = "token"
    service = serve(document)

    assert {"signing_ca.local.key": "the key cannot be used now"} == unready(service)
    assert "1234" not in service.http.get("/readyz", status=503).text


def test_readiness_is_cheap_however_often_it_is_asked_for(service, monkeypatch):
    asked = []

    def ready(_):
        asked.append(time.monotonic())

    monkeypatch.setattr("anchor.store.certificate_files.CertificateDirectory.ready", ready)

    started = time.monotonic()
    for _ in range(20):
        service.http.get("/readyz", status=200)

    assert len(asked) <= 2 + time.monotonic() - started


@pytest.mark.parametrize(
    ("peer", "networks", "status"),
    [
        ("127.0.0.1", None, 200),
        ("127.9.9.9", None, 200),
        ("::1", None, 200),
        ("::ffff:127.0.0.1", None, 200),
        ("192.0.2.7", None, 403),
        ("", None, 403),
        ("192.0.2.7", ["192.0.2.0/24"], 200),
        ("127.0.0.1", ["192.0.2.0/24"], 403),
        ("127.0.0.1", [], 403),
    ],
)
def test_the_metrics_are_for_the_configured_networks(serve, document, peer, networks, status):
    service = serve(document, **({} if networks is None else {"metrics_networks": networks}))

    answer = service.http.get(
        "/metrics",
        extra_environ={"REMOTE_ADDR": peer},
        headers={"X-Forwarded-For": "127.0.0.1"},
        status=status,
    )
    assert (status == 200) == ("anchor_requests_total" in answer.text)


def test_each_outcome_is_counted(serve, document, tmp_path):
    document["registration_authority"]["default"]["validators"] = {"standards_compliance": {}}
    service = serve(document)
    for status, given in (
        (200, {}),
        (200, {}),
        (400, {"csr": make_csr("a..b")}),
        (400, {"csr": b"nonsense"}),
        (400, {"encoding": "morse"}),
        (401, {"secret": "wrong"}),
        (401, {"secret": None}),
    ):
        service.sign(status=status, **given)
    (tmp_path / "certs").rename(tmp_path / "elsewhere")
    service.sign(status=500)

    text = service.http.get("/metrics", extra_environ={"REMOTE_ADDR": "127.0.0.1"}).text
    samples = read(text)
    outcomes = {
        dict(key[1:])["outcome"]: value
        for key, value in samples.items()
        if key[0] == "anchor_requests_total" and value
    }
    assert {"issued": 2, "refused": 1, "malformed": 2, "unauthenticated": 2, "failed": 1} == (
        outcomes
    )
    refused = {"authority": "default", "check": "standards_compliance"}
    assert 1 == number(samples, "anchor_refusals_total", **refused)
    assert 2 == number(
        samples,
        "anchor_authentication_failures_total",
        authentication="static",
        kind="unauthenticated",
    )
    assert 2 == number(samples, "anchor_certificates_issued_total", signing_ca="local")
    assert 2 == number(samples, "anchor_certificates_in_force", signing_ca="local")
    assert 2 == number(samples, "anchor_signing_seconds_count", signing_ca="local")
    assert 2 == number(samples, "anchor_signing_seconds_bucket", signing_ca="local", le="+Inf")
    assert 0 < number(samples, "anchor_signing_seconds_sum", signing_ca="local") < 60
    left = number(samples, "anchor_ca_remaining_seconds", signing_ca="local")
    assert 364 * 86400 < left < 366 * 86400


def test_an_unknown_check_is_counted_as_other(service, metrics, monkeypatch):
    from anchor.errors import Failure, ValidationFailed

    def refuse(*_):
        raise ValidationFailed([Failure('"}\n', "no")])

    monkeypatch.setattr("anchor.policy.policy.Policy.evaluate", refuse)
    service.sign(status=400)

    assert 1 == number(metrics(), "anchor_refusals_total", authority="default", check="other")


def test_certificates_leave_the_count_when_they_end(document, service, ca):
    clock = [now()]
    authorities = service.settings.authorities
    counted = Metrics(authorities, clock=lambda: clock[0])
    application = Application(authorities, WebSettings(), counted)

    def in_force():
        [family] = [f for f in counted.families() if f.name == "anchor_certificates_in_force"]
        return family.samples[0].value

    import webtest

    http_door = webtest.TestApp(application, extra_environ={"REMOTE_ADDR": "192.0.2.7"}, lint=False)
    form = {"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": make_csr()}
    for _ in range(3):
        http_door.post("/v1/sign/default", form, status=200)

    assert 3 == in_force()
    clock[0] += DAY * 0.98
    assert 3 == in_force()
    clock[0] += DAY * 0.03
    assert 0 == in_force()


def test_many_processes_count_together_and_none_that_ends_takes_its_counts_along(tmp_path):
    def child():
        tally = SharedCounters(tmp_path, ["a", "b"])
        for _ in range(1000):
            tally.add(0)
        tally.add(1, 0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(3):
        children = []
        for _ in range(4):
            pid = os.fork()
            if not pid:
                child()
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)

    rows = SharedCounters(tmp_path, ["a", "b"]).rows()
    assert [12000, 6] == [sum(column) for column in zip(*rows, strict=True)]
    assert len(rows) <= 4


def test_threads_of_a_process_count_together(tmp_path):
    tally = SharedCounters(tmp_path, ["a"])

    def work():
        for _ in range(20000):
            tally.add(0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [[80000]] == tally.rows()


def test_services_that_count_other_things_do_not_disturb_each_other(tmp_path):
    SharedCounters(tmp_path, ["a", "b"]).add(0)
    SharedCounters(tmp_path, ["a", "c"]).add(0, 5)

    rows = SharedCounters(tmp_path, ["a", "b"]).rows()
    assert [1, 0] == [sum(column) for column in zip(*rows, strict=True)]


def test_a_process_that_cannot_share_its_counts_keeps_them(tmp_path, caplog):
    tally = SharedCounters(tmp_path / "missing", ["a"])
    tally.add(0)

    assert [[1]] == tally.rows()
    assert "counts for itself" in caplog.text


def test_counting_costs_microseconds(service):
    started = time.process_time()
    authority = service.settings.authorities["default"]
    counted = Metrics(service.settings.authorities)
    error = SigningError("x")
    for _ in range(1000):
        counted.failed(authority, error)

    assert time.process_time() - started < cpu_limit(0.03)


def test_directories_of_services_that_are_gone_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    gone = tmp_path / f"anchor-metrics-{os.getuid()}" / "999999999_1-abc"
    gone.mkdir(parents=True, mode=0o700)
    gone.parent.chmod(0o700)

    made = process_directory.prepare(None, tmp_path / "config.json")

    assert not gone.exists()
    assert made.is_dir()
    assert made == process_directory.prepare(None, tmp_path / "config.json")
    assert made != process_directory.prepare(None, tmp_path / "other.json")


def test_a_directory_of_another_user_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / f"anchor-metrics-{os.getuid()}").mkdir(mode=0o777)
    (tmp_path / f"anchor-metrics-{os.getuid()}").chmod(0o777)

    assert process_directory.prepare(None, tmp_path / "config.json") is None


def ask(service, path):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path)
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode()


@pytest.mark.parametrize("server", EVERY_SERVER)
def test_the_metrics_are_right_under_each_server(server, document, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(document))
    with serving(server, tmp_path) as service:
        for _ in range(24):
            assert 200 == post(service, make_csr())[0]
        assert 401 == post(service, make_csr(), secret="wrong")[0]

        for _ in range(8):
            samples = read(ask(service, "/metrics")[1])
            issued = {"authority": "default", "outcome": "issued"}
            assert 24 == number(samples, "anchor_requests_total", **issued)
            assert 24 == number(samples, "anchor_certificates_in_force", signing_ca="local")
        assert (200, "ok\n") == ask(service, "/healthz")
        assert 200 == ask(service, "/readyz")[0]


def test_workers_that_are_killed_lose_no_count(document, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(document))
    with serving("uwsgi.ini", tmp_path) as service:
        for round_ in range(1, 4):
            for _ in range(10):
                assert 200 == post(service, make_csr())[0]
            samples = read(ask(service, "/metrics")[1])
            found = number(samples, "anchor_certificates_issued_total", signing_ca="local")
            assert 10 * round_ == found
            for worker in descendants(service.process.pid)[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            wait_for(lambda: ask_when_there(service), what="new workers")
        # A worker that is still starting ignores the signal.
        wait_for(lambda: all_loaded(service), what="all new workers")


def all_loaded(service):
    workers = descendants(service.process.pid)[1:]
    loaded = all(f"pid: {worker} (default app)" in service.log for worker in workers)
    return loaded and len(workers) == 2 * os.cpu_count()


def ask_when_there(service):
    with contextlib.suppress(OSError, http.client.HTTPException):
        return ask(service, "/healthz")


def test_counts_in_a_configured_directory_outlive_a_restart(document, tmp_path):
    config = (ROOT / "config.py").read_text()
    option = '"metrics_directory": "counts",\n    "metrics_networks"'
    (tmp_path / "config.py").write_text(config.replace('"metrics_networks"', option))
    (tmp_path / "config.json").write_text(json.dumps(document))
    for expected in (1, 2):
        with serving("uwsgi", tmp_path) as service:
            assert 200 == post(service, make_csr())[0]
            samples = read(ask(service, "/metrics")[1])
            assert expected == number(samples, "anchor_certificates_in_force", signing_ca="local")


def known_metrics(service):
    """All metrics of a service that has loaded its configuration."""
    loads = LoadRecord()
    loads.succeeded()
    return Metrics(service.settings.authorities, loads=loads).families()


def exposed(service):
    """The names and labels of all metrics."""
    families = known_metrics(service)
    return {
        sample.name: {label for label, _ in sample.labels} for f in families for sample in f.samples
    }


def test_the_dashboard_shows_every_metric_and_no_other(service):
    dashboard = json.loads((ROOT / "tools/grafana/anchor.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = dashboard["templating"]["list"]
    queries = [variable["query"] for variable in variables if variable["type"] == "query"]
    known = exposed(service)

    shown = {name for text in (*expressions, *queries) for name in re.findall(r"anchor_\w+", text)}
    assert known.keys() == shown
    for text in expressions:
        labels = known[re.findall(r"anchor_\w+", text)[0]] | {"job"}
        grouped = {
            label for group in re.findall(r"by \(([^)]*)\)", text) for label in group.split(", ")
        }
        assert grouped <= labels, text
        assert set(re.findall(r"(\w+)=~", text)) <= labels, text
        assert 0 == text.count("(") - text.count(")"), text


def test_every_metric_is_in_the_reference(service):
    page = (ROOT / "doc/source/reference/metrics.rst").read_text()
    families = known_metrics(service)

    for family in families:
        assert f"``{family.name}``" in page
        assert family.samples
        for label in family.samples[0].labels:
            assert f"``{label[0]}``" in page
    for word in (*labels.OUTCOMES, labels.ISSUED, labels.FAILED):
        assert f"``{word}``" in page


@pytest.fixture
def logged():
    """The output of a formatter for log records."""
    stream = io.StringIO()
    logger = logging.Logger("anchor.test")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)

    def through(formatter):
        handler.setFormatter(formatter)
        return logger, stream

    return through


def test_a_line_of_text_names_the_request_it_is_about(logged):
    logger, stream = logged(logs.Text())
    logger.info("before")
    token = logs.REQUEST_ID.set("abc123")
    logger.info("during")
    logs.REQUEST_ID.reset(token)

    before, during = stream.getvalue().splitlines()
    assert before.endswith("INFO anchor.test: before")
    assert during.endswith("INFO anchor.test [abc123]: during")


def test_no_message_starts_a_new_line_or_controls_a_terminal(logged):
    logger, stream = logged(logs.Text())
    logger.info("name %s", "x\n2026-01-01 INFO anchor: forged\x1b[2J\x9b")

    assert 1 == len(stream.getvalue().splitlines())
    assert r"x\x0a2026-01-01 INFO anchor: forged\x1b[2J\x9b" in stream.getvalue()


def test_a_line_of_json_has_all_parts(logged):
    logger, stream = logged(logs.JSON())
    token = logs.REQUEST_ID.set("abc123")
    try:
        raise ValueError("broken\n")
    except ValueError:
        logger.exception("it %s", "failed")
    finally:
        logs.REQUEST_ID.reset(token)

    [line] = stream.getvalue().splitlines()
    found = json.loads(line)
    assert ("ERROR", "anchor.test", "it failed", "abc123") == (
        found["level"],
        found["logger"],
        found["message"],
        found["request_id"],
    )
    assert "ValueError: broken" in found["exception"]
    assert found["time"].endswith("+00:00")


def test_every_log_line_of_a_request_carries_the_id_of_its_answer(service, caplog):
    seen = []
    caplog.set_level(logging.INFO)

    class Listener(logging.Handler):
        def emit(self, record):
            seen.append((record.name, logs.REQUEST_ID.get()))

    listener = Listener()
    logging.getLogger().addHandler(listener)
    try:
        answer = service.sign(b"nonsense", status=400)
        logging.getLogger("anchor.after").warning("nothing")
    finally:
        logging.getLogger().removeHandler(listener)

    assert {answer.headers["X-Request-Id"]} == {
        request_id for name, request_id in seen if name != "anchor.after"
    }
    assert ("anchor.after", None) in seen


def test_a_service_can_log_in_json(document, tmp_path):
    config = (ROOT / "config.py").read_text()
    console = '"formatter": "plain"'
    assert console in config
    (tmp_path / "config.py").write_text(config.replace(console, '"formatter": "json"'))
    (tmp_path / "config.json").write_text(json.dumps(document))
    with serving("uwsgi", tmp_path) as service:
        status, _ = post(service, b"nonsense")
        assert 400 == status
        wait_for(lambda: '"anchor.web.problems"' in service.log, what="the line in the log")
        [line] = [line for line in service.log.splitlines() if '"anchor.web.problems"' in line]

    assert json.loads(line)["request_id"] in json.loads(line)["message"]
