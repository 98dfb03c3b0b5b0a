"""A graceful reload of uwsgi and gunicorn under load, with valid and invalid configurations."""

from __future__ import annotations

import collections
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cryptography import x509

from tests.support.pki import make_ca, make_csr
from tests.support.servers.anchor import ROOT, uwsgi_ini
from tests.support.servers.processes import (
    alive,
    answers,
    children,
    free_port,
    program,
    running,
    wait_for,
)

PATIENCE = 240


class Load:
    """Clients that request certificates without a pause, and the responses."""

    def __init__(self, port):
        self._port = port
        self._stopped = threading.Event()
        self._form = urlencode(
            {"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": make_csr()}
        )
        self._answers = collections.deque()
        self._threads = [threading.Thread(target=self._work) for _ in range(3)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _work(self):
        while not self._stopped.is_set():
            asked = time.monotonic()
            self._answers.append((asked, self._ask()))

    def _ask(self):
        """The validity of the certificate in hours, or the error."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request(
                "POST",
                "/v1/sign/default",
                self._form,
                {"Content-Type": "application/x-www-form-urlencoded"},
            )
            with connection.getresponse() as answer:
                body = answer.read()
                if answer.status != 200:
                    return answer.status
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()
        certificate = x509.load_pem_x509_certificate(body)
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        return round(life.total_seconds() / 3600)

    def since(self, moment):
        """The responses to requests that were sent after this time."""
        return [answer for asked, answer in list(self._answers) if asked > moment]

    @property
    def all(self):
        """The different responses so far."""
        return set(self.since(0))

    def latest(self, count=40):
        """The different responses to requests that are sent from now on."""
        now = time.monotonic()
        wait_for(lambda: len(self.since(now)) >= count, what="answers")
        return set(self.since(now))


@pytest.fixture
def directory(tmp_path, document):
    shutil.copy(ROOT / "config.py", tmp_path)
    del document["signing_ca"]["local"]["output_path"]
    write(tmp_path, document, valid_hours=24)
    return tmp_path


def write(directory, document, **options):
    """Replace the configuration, as editors and deployment tools do."""
    document["signing_ca"]["local"] |= options
    (directory / "new.json").write_text(json.dumps(document))
    (directory / "new.json").rename(directory / "config.json")


def uwsgi(directory, port, *, under=()):
    return running(
        [*under, *uwsgi_ini(directory), *("--http-socket", f"127.0.0.1:{port}")],
        log=directory / "server.log",
        ready=lambda: answers(port),
        cwd=directory,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )


def failures(log):
    return log.read_text().count("valid_hours: should be")


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path)
    with connection.getresponse() as answer:
        text = answer.read().decode()
        assert answer.status == 200, text
    connection.close()
    return text


def assert_says_that_the_reload_failed(port, log):
    wait_for(lambda: "so the service still has the old one" in log.read_text(), what="the line")
    ready, metrics = ask(port, "/readyz"), ask(port, "/metrics")
    assert re.search(
        r"(?m)^configuration: the new one could not be loaded at [-0-9]{10}T[:0-9]{8}Z, "
        r"the old one is in use; the log has the reason$",
        ready,
    )
    assert "\nanchor_config_reload_failed{} 1\n" in metrics
    # One line, however many requests there were.
    assert 1 == log.read_text().count("so the service still has the old one")


def assert_says_that_all_is_well(port):
    wait_for(lambda: "configuration" not in ask(port, "/readyz"), what="a ready service")
    metrics = ask(port, "/metrics")
    assert "\nanchor_config_reload_failed{} 0\n" in metrics
    [loaded] = re.findall(r"(?m)^anchor_config_loaded_timestamp_seconds{} ([0-9.e+]+)$", metrics)
    assert time.time() - 300 < float(loaded) <= time.time()


def replace_the_workers(process, reload):
    """Reload until all current workers have ended.

    The request to reload is repeated, because uwsgi ignores it during another reload.
    """
    old = children(process.pid)
    deadline = time.monotonic() + PATIENCE
    while remaining := alive(old):
        assert time.monotonic() < deadline, f"there is no end of {remaining}"
        reload()
        again = time.monotonic() + 3
        while alive(old) and time.monotonic() < again:
            time.sleep(0.05)


@pytest.mark.parametrize("how", ["SIGHUP", "touch"])
def test_a_reload_under_load_fails_no_request(directory, document, how):
    port = free_port()
    # uwsgi compares whole seconds.
    moments = itertools.count(int(time.time()) + 60, 60)
    with uwsgi(directory, port) as process, Load(port) as load:
        log = directory / "server.log"

        def reload():
            if how == "SIGHUP":
                process.send_signal(signal.SIGHUP)
            else:
                os.utime(directory / "config.json", (moment := next(moments), moment))

        assert {24} == load.latest()

        write(directory, document, valid_hours=12)
        replace_the_workers(process, reload)
        assert {12} == load.latest()

        write(directory, document, valid_hours="a while")
        reload()
        wait_for(lambda: failures(log) or reload(), what="a failure")
        assert {12} == load.latest(200)
        assert "Traceback" not in log.read_text()
        assert_says_that_the_reload_failed(port, log)

        write(directory, document, valid_hours=6)
        replace_the_workers(process, reload)
        assert {6} == load.latest()
        assert_says_that_all_is_well(port)
        assert {24, 12, 6} == load.all
        assert process.poll() is None


@pytest.mark.parametrize("told", [signal.SIGHUP, signal.SIGTERM])
def test_a_worker_that_ends_responds_on_a_connection_it_has_just_accepted(directory, told):
    slow_accept = [
        program("strace", "strace"),
        *("-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=accept4"),
        # Microseconds between accepting the connection and uwsgi's next step.
        *("-e", "inject=accept4:delay_exit=50000"),
    ]
    port = free_port()
    with uwsgi(directory, port, under=slow_accept) as process, Load(port) as load:
        assert {24} == load.latest()
        for worker in children(process.pid):
            os.kill(worker, told)
            wait_for(lambda worker=worker: not alive([worker]), what="the worker's end")
            assert {24} == load.latest()
        assert {24} == load.all


def test_a_ca_is_replaced_under_load(directory, document):
    second = make_ca(directory, name="second", not_after=None)
    port = free_port()
    with uwsgi(directory, port) as process, Load(port) as load:
        assert {24} == load.latest()

        write(
            directory,
            document,
            valid_hours=12,
            cert_path=str(second.cert_path),
            key_path=str(second.key_path),
        )

        def reload():
            process.send_signal(signal.SIGHUP)

        replace_the_workers(process, reload)
        assert {12} == load.latest()
        assert {24, 12} == load.all


def test_a_broken_configuration_stops_the_first_start(directory, document):
    write(directory, document, valid_hours="a while")
    port = free_port()

    with pytest.raises(pytest.fail.Exception, match="ended with"), uwsgi(directory, port):
        pytest.fail("it started")  # pragma: no cover

    assert "valid_hours: should be a valid number" in (directory / "server.log").read_text()


IMAGE = json.loads(re.search(r"(?m)^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text())[1])


def gunicorn(directory, port, *, settings=True):
    """gunicorn, started as in the image but with another port, optionally without Anchor's
    settings.
    """
    options = [option for option in IMAGE[1:] if not option.startswith("--bind=")]
    if not settings:
        options = [option for option in options if not option.startswith("--config=")]
    assert len(options) == len(IMAGE) - (2 if settings else 3)
    return running(
        [program("gunicorn", "gunicorn, from PyPI"), f"--bind=127.0.0.1:{port}", *options],
        log=directory / "server.log",
        ready=lambda: answers(port),
        cwd=directory,
        env=os.environ | {"ANCHOR_CONF": str(directory / "config.json")},
    )


BROKEN = {
    "config.json is not JSON": lambda directory: (directory / "config.json").write_text("{"),
    "config.json is gone": lambda directory: (directory / "config.json").unlink(),
    "an option is wrong": lambda directory: (directory / "config.json").write_text(
        (directory / "config.json").read_text().replace('"valid_hours": 24', '"valid_hours": "x"')
    ),
    "the CA's key is gone": lambda directory: [
        path.rename(path.with_suffix(".away")) for path in directory.glob("*.key")
    ],
    "config.py cannot be run": lambda directory: (directory / "config.py").write_text("1 / 0"),
    "config.py has a wrong logging": lambda directory: (directory / "config.py").write_text(
        (directory / "config.py").read_text().replace("anchor.logs.Lines", "anchor.logs.Nothing")
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_gunicorn_goes_on_with_what_it_loaded_when_the_configuration_breaks(
    directory, document, broken
):
    port = free_port()
    with gunicorn(directory, port) as process, Load(port) as load:
        log = directory / "server.log"
        assert {24} == load.latest()

        BROKEN[broken](directory)
        old = children(process.pid)
        for worker in old:
            os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not alive(old), what="the workers to be gone")
        assert {24} == load.latest()

        old = children(process.pid)
        events = log.read_text().count("audit.sign")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: not alive(old), what="other workers")
        assert {24} == load.latest()
        assert "the service goes on with the configuration it had" in log.read_text()
        assert_says_that_the_reload_failed(port, log)
        # The audit continues as well.
        assert log.read_text().count("audit.sign") > events
        assert process.poll() is None


def test_gunicorn_reloads_a_corrected_configuration(directory, document):
    port = free_port()
    with gunicorn(directory, port) as process, Load(port) as load:
        assert {24} == load.latest()
        served = 24
        for hours in ("a while", 12, "longer", 6):
            write(directory, document, valid_hours=hours)
            old = children(process.pid)
            process.send_signal(signal.SIGHUP)
            wait_for(lambda old=old: not alive(old), what="other workers")
            served = hours if isinstance(hours, int) else served
            assert {served} == load.latest()
        assert_says_that_all_is_well(port)
        assert {24, 12, 6} == load.all


def test_a_broken_configuration_stops_gunicorns_start(directory, document):
    write(directory, document, valid_hours="a while")

    for settings in (True, False):
        with (
            pytest.raises(pytest.fail.Exception, match="ended with"),
            gunicorn(directory, free_port(), settings=settings),
        ):
            pytest.fail("it started")  # pragma: no cover

        assert "valid_hours: should be a valid number" in (directory / "server.log").read_text()


def test_gunicorn_without_our_settings_does_not_end_over_a_worker_that_dies(directory, document):
    port = free_port()
    with gunicorn(directory, port, settings=False) as process, Load(port) as load:
        log = directory / "server.log"
        wait_for(lambda: log.read_text().count("serving default") == 2, what="both workers")
        assert {24} == load.latest()
        write(directory, document, valid_hours="a while")
        [first, *_] = children(process.pid)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: failures(log) > 1, what="two failures")
        assert process.poll() is None
        assert {24} == load.latest()

        write(directory, document, valid_hours=12)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: load.latest() == {12}, what="the mended configuration")


def test_gunicorn_reloads_with_a_key_in_a_token(directory, document, softhsm):
    document["signing_ca"]["local"] = softhsm.section(softhsm.make_ca())
    write(directory, document, valid_hours=24)
    port = free_port()
    with gunicorn(directory, port) as process, Load(port) as load:
        assert {24} == load.latest()
        for hours in (12, 6):
            write(directory, document, valid_hours=hours)
            old = children(process.pid)
            process.send_signal(signal.SIGHUP)
            wait_for(lambda old=old: not alive(old), what="other workers")
            assert {hours} == load.latest()
        old = children(process.pid)
        os.kill(old[0], signal.SIGKILL)
        wait_for(lambda: not alive(old[:1]), what="the worker to be gone")
        assert {6} == load.latest()
