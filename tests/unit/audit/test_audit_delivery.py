"""``audit.target: log``: a request whose event cannot be written fails, and no event is lost."""

from __future__ import annotations

import io
import json
import logging
import logging.handlers
import os
import queue
import resource
import signal
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from anchor import logs
from anchor.audit import reliable_handlers
from anchor.audit.events import SIGNING, Event
from anchor.audit.log_sink import LogSink
from anchor.errors import AuditError, ConfigurationError
from anchor.timestamps import utc_now

EVENT = Event(SIGNING, utc_now(), "default", "alice", "192.0.2.1", "4711")


class Logger:
    """The audit logger, which a test configures."""

    def __init__(self):
        self.it = logging.getLogger("anchor.audit")
        self.it.handlers.clear()
        self.it.propagate = False
        self.made = []

    def to(self, *handlers):
        self.it.handlers[:] = handlers
        self.made += handlers
        return self


@pytest.fixture
def logger(audit_log):
    logger = Logger()
    yield logger
    logging.disable(logging.NOTSET)
    logger.it.disabled = False
    logger.it.filters.clear()
    for handler in logger.made:
        handler.close()


def record(**changed):
    LogSink().record(EVENT._replace(**changed))


def users(text):
    return [json.loads(line)["user"] for line in text.splitlines() if line]


# ---- configurations that lose events


class Quiet(logging.Handler):
    """A handler that ignores errors, as a third-party one may."""

    def emit(self, record):
        pass


class QuietStream(logging.StreamHandler):
    """Swallows the errors of a stream."""

    def emit(self, record):
        with suppress(OSError):
            super().emit(record)


def no_level(logger):
    logger.to(logging.StreamHandler(io.StringIO())).it.setLevel(logging.WARNING)


def disabled(logger):
    logger.to(logging.StreamHandler(io.StringIO())).it.disabled = True


def switched_off(logger):
    logger.to(logging.StreamHandler(io.StringIO()))
    logging.disable(logging.INFO)


def no_handler(logger):
    logger.to()


def logger_filter(logger):
    logger.to(logging.StreamHandler(io.StringIO())).it.addFilter(lambda _: False)


def handler_filter(logger):
    handler = logging.StreamHandler(io.StringIO())
    handler.addFilter(lambda _: False)
    logger.to(handler)


def handler_level(logger):
    handler = logging.StreamHandler(io.StringIO())
    handler.setLevel(logging.WARNING)
    logger.to(handler)


def lines_level(logger):
    handler = logs.Lines()
    handler.setLevel(logging.ERROR)
    logger.to(handler)


def null(logger):
    logger.to(logging.NullHandler())


def memory(logger):
    target = logging.StreamHandler(io.StringIO())
    logger.to(logging.handlers.MemoryHandler(1000, target=target))


def queued(logger):
    logger.to(logging.handlers.QueueHandler(queue.Queue()))


def by_socket(logger):
    logger.to(logging.handlers.SocketHandler("127.0.0.1", 9))


def by_datagram(logger):
    logger.to(logging.handlers.DatagramHandler("127.0.0.1", 9))


def of_ones_own(logger):
    logger.to(Quiet())


def stream_of_ones_own(logger):
    logger.to(QuietStream(io.StringIO()))


def replaced_method(logger):
    handler = logging.StreamHandler(io.StringIO())
    handler.emit = lambda _: None
    logger.to(handler)


def overwriting(logger):
    logger.to(logging.FileHandler(os.devnull, mode="w"))


LOSES = [
    no_level, disabled, switched_off, no_handler, logger_filter, handler_filter, handler_level,
    lines_level, null, memory, queued, by_socket, by_datagram, of_ones_own, stream_of_ones_own,
    replaced_method, overwriting,
]  # fmt: skip


@pytest.mark.parametrize("lose", LOSES, ids=lambda lose: lose.__name__)
def test_a_configuration_that_loses_events_is_rejected_and_issues_nothing(
    service, logger, lose, capfd
):
    lose(logger)

    with pytest.raises(ConfigurationError, match="would lose audit events"):
        LogSink().check()
    assert "BEGIN" not in service.sign(status=500).text
    # A rejection needs an audit event too.
    service.sign(secret="wrong", status=500)


def no_stream(_path):
    handler = logging.StreamHandler(io.StringIO())
    handler.stream = None
    return handler


def closed_stream(path):
    stream = path.open("a")
    stream.close()
    return logging.StreamHandler(stream)


def for_reading(path):
    path.touch()
    return logging.StreamHandler(path.open())


def read_only_descriptor(path):
    path.touch()
    return logging.StreamHandler(os.fdopen(os.open(path, os.O_RDONLY), "w"))


def formatter_without_message(_path):
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logging.Formatter("%(levelname)s"))
    return handler


def formatter_that_cuts(_path):
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logging.Formatter("%(message).100s"))
    return handler


def formatter_that_fails(_path):
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logging.Formatter("%(nothing)s %(message)s"))
    return handler


def directory_that_is_gone(path):
    return logging.FileHandler(path / "nowhere" / "audit.log", delay=True)


def null_device(_path):
    return logging.FileHandler(os.devnull)


def null_device_as_lines(_path):
    return logs.Lines(os.devnull)


def unknown_encoding(path):
    return logging.FileHandler(path, encoding="base64", delay=True)


def stream_of_bytes(path):
    return logging.StreamHandler(path.open("ab"))


def syslog_that_is_not_there(path):
    return logging.handlers.SysLogHandler(str(path))


def syslog_that_nobody_listens_to(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abandoned:
        abandoned.bind(str(path))
    return logging.handlers.SysLogHandler(str(path))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "make",
    [
        null_device,
        null_device_as_lines,
        unknown_encoding,
        stream_of_bytes,
        syslog_that_is_not_there,
        syslog_that_nobody_listens_to,
        no_stream,
        closed_stream,
        for_reading,
        read_only_descriptor,
        formatter_without_message,
        formatter_that_cuts,
        formatter_that_fails,
        directory_that_is_gone,
    ],
    ids=lambda make: make.__name__,
)
def test_a_handler_that_cannot_write_is_rejected(logger, tmp_path, make):
    logger.to(make(tmp_path / "file"))

    with pytest.raises(ConfigurationError, match="would lose audit events"):
        LogSink().check()


@pytest.mark.parametrize("owner", ["logger", "handler"])
def test_a_filter_that_removes_the_event_from_the_record_is_rejected(logger, owner):
    def empty(record):
        record.msg = "something else"
        return True

    handler = logging.StreamHandler(io.StringIO())
    logger.to(handler)
    {"logger": logger.it, "handler": handler}[owner].addFilter(empty)

    with pytest.raises(ConfigurationError, match="leaves out the message"):
        LogSink().check()


# ---- handlers that promise


FILES = {
    "Lines": logs.Lines,
    "Lines, later": lambda path: logs.Lines(path, delay=True),
    "FileHandler": logging.FileHandler,
    "FileHandler, later": lambda path: logging.FileHandler(path, delay=True),
    "WatchedFileHandler": logging.handlers.WatchedFileHandler,
    "RotatingFileHandler": lambda path: logging.handlers.RotatingFileHandler(
        path, maxBytes=1_000_000, backupCount=3
    ),
    "TimedRotatingFileHandler": logging.handlers.TimedRotatingFileHandler,
}


@pytest.fixture(params=FILES)
def to_file(request, logger, tmp_path):
    """The path of the audit log, written by each kind of file handler."""
    path = tmp_path / "audit.log"
    logger.to(FILES[request.param](str(path)))
    return path


def test_file_handlers_keep_every_event(service, to_file):
    LogSink().check()
    service.issue()
    service.sign(secret="wrong", status=401)

    events = [json.loads(line) for line in to_file.read_text().splitlines()]
    assert [(event["event"], event["outcome"]) for event in events] == [
        ("audit.auth", "success"),
        ("audit.sign", "success"),
        ("audit.auth", "failure"),
    ]


def test_a_custom_handler_can_promise_delivery(service, logger):
    class Reports(logging.Handler):
        promises_to_write = True
        works = True

        def emit(self, record):
            try:
                if not self.works:
                    raise OSError("it does not")
            except OSError:
                self.handleError(record)

    assert reliable_handlers.PROMISE in vars(Reports)
    handler = Reports()
    logger.to(handler)
    LogSink().check()
    service.issue()
    handler.works = False
    service.sign(status=500)


def test_one_promising_handler_is_enough_and_all_get_the_event(service, logger):
    kept, target = io.StringIO(), io.StringIO()
    buffered = logging.handlers.MemoryHandler(0, target=logging.StreamHandler(target))
    logger.to(logging.NullHandler(), buffered, logging.StreamHandler(kept))

    service.issue()

    assert len(users(kept.getvalue())) == 2
    assert kept.getvalue() == target.getvalue()


def test_a_failing_promising_handler_fails_the_request(service, logger):
    kept = io.StringIO()
    logger.to(logging.StreamHandler(kept), logs.Lines("/dev/full"))
    service.sign(status=500)


def test_handlers_of_parent_loggers_count(service, logger, tmp_path):
    above = logging.FileHandler(tmp_path / "log")
    logging.getLogger("anchor").addHandler(above)
    try:
        logger.to().it.propagate = True
        service.issue()
    finally:
        logging.getLogger("anchor").removeHandler(above)
        above.close()
    assert len(users((tmp_path / "log").read_text())) == 2


def test_the_error_of_a_failed_event_omits_its_contents(logger):
    class Broken(logging.Formatter):
        def format(self, record):
            raise ValueError(record.getMessage())

    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(Broken())
    logger.to(handler)

    with pytest.raises(AuditError) as failed:
        record(user="hunter2")
    assert "hunter2" not in str(failed.value)


def test_errors_of_other_loggers_are_reported_as_usual(logger, capsys):
    """Only errors of audit records are caught."""
    handler = logging.StreamHandler(Path("/dev/full").open("w"))  # noqa: SIM115
    logger.to(handler)
    other = logging.Logger("other")
    other.addHandler(handler)
    with pytest.raises(AuditError):
        record()
    assert "No space" not in capsys.readouterr().err

    other.info("something else")

    assert "No space left on device" in capsys.readouterr().err
    assert "handleError" not in vars(handler)
    with pytest.raises(OSError, match="No space"):
        handler.stream.close()


# ---- faults that end


@contextmanager
def small_files(size):
    """Limits the size of files, so that writes are cut short as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("groups", [0, 3000])
def test_events_are_recorded_again_when_a_full_disk_has_space(to_file, groups):
    trail = LogSink()

    def record(**changed):
        trail.record(EVENT._replace(**changed))

    details = {"groups": [f"group {number}" for number in range(groups)]}
    record(user="before")

    with small_files(to_file.stat().st_size + 100):
        for user in ("lost", "lost too"):
            with pytest.raises(AuditError):
                record(user=user, details=details)
    record(user="after", details=details)
    record(user="last")

    # A line that did not fit on the disk can be complete, truncated or missing.
    found = []
    for line in to_file.read_text().splitlines():
        try:
            found.append(json.loads(line)["user"])
        except (ValueError, IndexError):
            assert not line or line.startswith('{"time')
    assert (found[0], found[-2:]) == ("before", ["after", "last"])


def test_events_are_recorded_again_after_a_failed_rotation(logger, tmp_path):
    path = tmp_path / "logs" / "audit.log"
    path.parent.mkdir()
    logger.to(logging.handlers.RotatingFileHandler(path, maxBytes=300, backupCount=9))
    record(user="before")
    (tmp_path / "logs").rename(tmp_path / "away")

    for _ in range(3):
        with pytest.raises(AuditError):
            record(user="lost")
    (tmp_path / "away").rename(tmp_path / "logs")
    record(user="after")

    assert "after" in users(path.read_text())


def test_a_deleted_file_is_created_again(service, to_file):
    service.issue()
    to_file.unlink()

    service.issue()
    service.sign(secret="wrong", status=401)

    assert len(users(to_file.read_text())) == 3


@pytest.mark.parametrize("to_file", [kind for kind in FILES if "later" not in kind], indirect=True)
def test_requests_fail_while_the_directory_is_missing(service, to_file):
    service.issue()
    to_file.unlink()
    to_file.parent.rename(away := to_file.parent.with_name("away"))

    assert "BEGIN" not in service.sign(status=500).text
    service.sign(secret="wrong", status=500)

    away.rename(to_file.parent)
    service.issue()
    assert users(to_file.read_text())[-1] == "alice"


def test_a_pipe_without_a_reader_fails_without_waiting(logger, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device or address"):
        logs.Lines(str(pipe))
    logger.to(logs.Lines(str(pipe), delay=True))

    with pytest.raises(AuditError):
        record()

    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    record()
    assert users(os.read(reader, 1 << 16).decode()) == ["alice"]
    os.close(reader)


def test_requests_fail_while_the_pipe_has_no_reader(service, logger, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    logger.to(logs.Lines(str(pipe)), logging.FileHandler(pipe))
    service.issue()
    os.close(reader)

    service.sign(status=500)
    service.sign(secret="wrong", status=500)

    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    service.issue()
    assert os.read(reader, 1 << 16).count(b"audit.sign") >= 2
    os.close(reader)


def test_a_closed_handler_records_nothing(service, logger, tmp_path):
    handler = logs.Lines(str(tmp_path / "audit.log"))
    logger.to(handler)
    handler.close()
    service.sign(status=500)


def test_a_closed_file_descriptor_records_nothing(service, logger, tmp_path):
    handler = logging.FileHandler(tmp_path / "audit.log")
    logger.to(handler)
    # Opens the database, which could get the number of the closed file otherwise.
    service.issue()
    spare = os.dup(handler.stream.fileno())
    os.close(handler.stream.fileno())
    try:
        service.sign(status=500)
    finally:
        os.dup2(spare, handler.stream.fileno())
        os.close(spare)
    service.issue()


@pytest.mark.parametrize("make", [logs.Lines, logging.FileHandler], ids=["Lines", "FileHandler"])
def test_requests_fail_while_the_device_is_full(service, logger, make, capfd):
    logger.to(make("/dev/full"))
    assert "BEGIN" not in service.sign(status=500).text
    service.sign(secret="wrong", status=500)
    if isinstance(logger.made[0], logging.FileHandler):
        with pytest.raises(OSError, match="No space"):
            logger.made[0].close()
        logger.made.clear()


# ---- syslog


class Syslog:
    """A syslog server that a test can stop and start."""

    def __init__(self, kind, path):
        self.kind = kind
        self.address = str(path) if kind.startswith("unix") else ("127.0.0.1", 0)
        self.connections = []
        self.start()

    def start(self):
        family = socket.AF_UNIX if self.kind.startswith("unix") else socket.AF_INET
        stream = self.kind in ("tcp", "unix stream")
        self.socket = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.address)
        self.socket.settimeout(10)
        if stream:
            self.socket.listen()
        if not isinstance(self.address, str):
            self.address = self.socket.getsockname()

    def handler(self):
        kind = socket.SOCK_STREAM if self.kind in ("tcp", "unix stream") else None
        return logging.handlers.SysLogHandler(self.address, socktype=kind)

    def read(self):
        if self.kind in ("tcp", "unix stream"):
            if not self.connections:
                self.connections.append(self.socket.accept()[0])
            return self.connections[-1].recv(1 << 16)
        return self.socket.recv(1 << 16)

    def stop(self):
        for each in (*self.connections, self.socket):
            each.close()
        self.connections.clear()
        if self.kind.startswith("unix"):
            Path(self.address).unlink()


@pytest.mark.parametrize("kind", ["unix", "unix stream", "udp", "tcp"])
def test_requests_fail_while_syslog_is_unavailable(service, logger, tmp_path, kind):
    syslog = Syslog(kind, tmp_path / "log")
    logger.to(syslog.handler())
    LogSink().check()
    service.issue()
    assert b"alice" in syslog.read()

    syslog.stop()
    for _ in range(2):
        service.sign(status=500)
        service.sign(secret="wrong", status=500)

    syslog.start()
    service.issue()
    assert b"alice" in syslog.read()
    syslog.stop()
