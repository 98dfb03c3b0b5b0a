"""The audit sinks, and loading one from the configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Protocol

import pydantic

from anchor.audit import nodes
from anchor.audit.checkpoints import CheckpointInterval, CheckpointKey
from anchor.audit.events import Event
from anchor.audit.file_sink import FileSink, check_path
from anchor.audit.log_sink import LogSink
from anchor.audit.messaging_sink import MessagingSink
from anchor.config import plugins
from anchor.config.file_types import (
    FilePath,
    PrivateFile,
    Secret,
    SecretEnv,
    SecretFile,
    one_secret,
)
from anchor.errors import ConfigurationError

Count = Annotated[int, pydantic.Field(ge=1, le=1_000_000)]
Seconds = Annotated[float, pydantic.Field(gt=0, le=366 * 86400)]


class AuditSink(Protocol):
    """The interface of an audit sink."""

    def record(self, event: Event) -> None:
        """Record the event; raise AuditError if that fails, so that nothing is issued."""

    def check(self) -> None:
        """Raise ConfigurationError if the configuration of logging would lose events."""


class NullSink:
    """Discards events, for a configuration that was loaded offline and issues nothing."""

    def record(self, event: Event) -> None:
        """Discard the event."""

    def check(self) -> None:
        """Return, since this sink does not use logging."""


def to_log() -> AuditSink:
    """``log``: one line of JSON for each event, in the logger ``anchor.audit``."""
    return LogSink()


def to_file(
    path: FilePath,
    checkpoint_key_path: PrivateFile,
    checkpoint_events: Count = 1000,
    checkpoint_seconds: Seconds = 3600,
    node: nodes.NodeName | None = None,
) -> FileSink:
    """``file``: lines of JSON in a chain of hashes.

    Args:
        path: the file. Beside it Anchor keeps ``<path>.head``, which says where the chain ends; the
            two files and their directory have to be writable.
        checkpoint_key_path: the key that signs checkpoints, Ed25519 in PEM, in a file that others
            cannot read; ``anchor audit init`` makes one. The key of a CA is refused.
        checkpoint_events: after how many lines a checkpoint is due.
        checkpoint_seconds: after how many seconds, if that is sooner. Nothing runs by itself: a
            checkpoint that is due is made together with the next event. ``anchor audit checkpoint``
            makes one at once.
        node: the name of this node, different from that of any other node; each line and each
            checkpoint contains it. Up to 64 letters, digits, ``.``, ``-`` and ``_``. Default: the
            name in the file that exists, so that it stays the same when a container gets another
            host name; in a new file the host name. Another name than that in the file is refused.
    """
    check_path(path)
    try:
        key = CheckpointKey.from_pem(checkpoint_key_path.contents)
    except ValueError as error:
        raise ConfigurationError.about(
            "checkpoint_key_path", f"{checkpoint_key_path.path} {error}"
        ) from None
    interval = CheckpointInterval(checkpoint_events, checkpoint_seconds)
    return FileSink(path, key, interval, nodes.choose_name(path, node))


def to_messaging(
    *,
    url: Secret | None = None,
    url_file: SecretFile | None = None,
    url_env: SecretEnv | None = None,
    topic: Annotated[str, pydantic.Field(min_length=1)] = "notifications",
    queue_size: Count = 1000,
    flush_seconds: Annotated[float, pydantic.Field(ge=0, le=60)] = 5,
) -> AuditSink:
    """``messaging``: CADF events over oslo.messaging.

    Args:
        url: the broker, ``rabbit://user:password@host:5672/``. Exactly one of this, ``url_file``
            and ``url_env``.
        url_file: a file that others cannot read, with that URL.
        url_env: an environment variable with that URL.
        topic: the topic of the notifications; with ``notifications`` RabbitMQ puts them into the
            queue ``notifications.info``.
        queue_size: how many events may wait to be sent, in each process.
        flush_seconds: for how many seconds a process that ends waits for them.
    """
    if not (find_spec("oslo_messaging") and find_spec("pycadf")):
        raise ConfigurationError.about(
            "target", "'messaging' needs more packages: pip install 'anchor[messaging]'"
        )
    # It needs packages of the extra, which are not installed for other targets.
    from anchor.audit import message_bus  # noqa: PLC0415

    revealed = one_secret("url", url, url_file, url_env)
    try:
        connect = message_bus.connector(revealed, topic)
    except ValueError as error:
        raise ConfigurationError.about("url", str(error)) from None
    log = LogSink()
    return MessagingSink(
        connect=connect,
        queue_size=queue_size,
        flush_seconds=flush_seconds,
        log_event=log.record,
        check_log=log.check,
    )


TARGETS: Mapping[str, Callable[..., AuditSink]] = {
    "log": to_log,
    "file": to_file,
    "messaging": to_messaging,
}
DEFAULT = "log"


def load_audit_sink(
    section: Mapping[str, Any],
    base: Path,
    ca_keys: Collection[bytes] = frozenset(),
    *,
    offline: bool = False,
) -> AuditSink:
    """Load the audit sink from the section ``audit`` of the configuration.

    Args:
        section: the options of the section.
        base: the directory of relative paths.
        ca_keys: the public keys of all CAs, as SubjectPublicKeyInfo.
        offline: True to validate the options only, and return a sink that discards events.

    Raises:
        ConfigurationError: with all problems of the section.
    """
    options = dict(section)
    target = options.pop("target", DEFAULT)
    if not isinstance(target, str) or target not in TARGETS:
        raise ConfigurationError.about("target", f"should be one of {', '.join(TARGETS)}")
    make = TARGETS[target]
    values = plugins.Signature.of(make).validate(options, base, offline=offline)
    if offline:
        return NullSink()
    sink = make(**values)
    if isinstance(sink, FileSink) and sink.public_key_info in ca_keys:
        raise ConfigurationError.about(
            "checkpoint_key_path", "is the key of a CA: the audit needs one of its own"
        )
    return sink
