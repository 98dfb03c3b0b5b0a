"""``anchor audit``: make the key for checkpoints, verify the audit file, add a checkpoint."""

from __future__ import annotations

import argparse
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from anchor.audit import checkpoints, heads, rotation
from anchor.audit.file_sink import FileSink
from anchor.audit.report import BrokenRecord, Report
from anchor.audit.sinks import load_audit_sink
from anchor.audit.verification import Verification
from anchor.cli.certs import read_document
from anchor.cli.check import add_config_option
from anchor.cli.new_files import write_new
from anchor.config.diagnostics import Diagnostics
from anchor.config.document import Document
from anchor.errors import ConfigurationError


def add_to(subparsers: Any) -> None:
    """Add the commands to the parser."""
    parser = subparsers.add_parser("audit", help="verify the audit file, or make its key")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    init = commands.add_parser(
        "init",
        help="make the key that signs checkpoints",
        description="Make an Ed25519 key for audit.checkpoint_key_path, and the public key KEY.pub "
        "that verifies checkpoints.",
    )
    init.add_argument("key", type=Path, metavar="KEY", help="the new file; it must not exist")
    init.set_defaults(run=run_init)
    verify = commands.add_parser(
        "verify",
        help="verify that no event was changed, removed, reordered or cut off",
        description="Verify an audit file. Exits with 0 if it is complete and unchanged. Otherwise "
        "prints where and how the verification failed, and exits with 1.",
    )
    verify.add_argument(
        "files",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="the audit file and its rotated files, in any order, also compressed with gzip; "
        "default: the configured file and its rotated files",
    )
    verify.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        default=[],
        metavar="LOG",
        help="a file with checkpoints copied from the ordinary log; may be given several times",
    )
    verify.add_argument(
        "--key",
        type=Path,
        metavar="PUB",
        help="the public key that verifies checkpoints; default: that of the configured file, or "
        "RECORD.key.pub, where RECORD is the file that the FILEs were rotated from",
    )
    verify.add_argument(
        "--previous",
        metavar="HASH",
        help="the hash that the first line continues, if the files before it no longer exist",
    )
    add_config_option(verify)
    verify.set_defaults(run=run_verify)
    checkpoint = commands.add_parser(
        "checkpoint",
        help="add a checkpoint now",
        description="Add a checkpoint to the configured file and print it; store it elsewhere.",
    )
    add_config_option(checkpoint)
    checkpoint.set_defaults(run=run_checkpoint)


def run_init(namespace: argparse.Namespace) -> int:
    """Make the key for checkpoints."""
    key: Path = namespace.key
    public = key.with_name(f"{key.name}.pub")
    private_pem, public_pem = checkpoints.make_key()
    try:
        write_new(key, private_pem, 0o400)
        write_new(public, public_pem, 0o644)
    except OSError as error:
        raise ConfigurationError.about("", f"{error.filename}: {error.strerror}") from None
    print(f"made {key} and {public}")
    return 0


def run_verify(namespace: argparse.Namespace) -> int:
    """Verify an audit file."""
    try:
        namespace.files = rotation.without_companions(namespace.files)
        record = _record(namespace)
        key, key_path = _key(namespace, record)
        copies = [copy for path in namespace.checkpoint for copy in _copies(path, key)]
        # Read the head before the files, which may grow in between.
        head = _head(namespace.files, record)
        paths = rotation.in_order(namespace.files or rotation.files_of(record or Path()))
        started = time.monotonic()
        with _progress(paths) as progress:
            report = Verification(
                frozenset([namespace.previous] if namespace.previous else []),
                key,
                copies,
                progress,
                head=head,
                must_be_signed=namespace.key is not None,
            ).verify(paths)
    except BrokenRecord as error:
        print(error)
        return 1
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError.about("", f"cannot be read: {error}") from None
    for torn in report.torn:
        print(torn)
    key_name = "the key" if namespace.key else f"the key in {key_path}" if key else None
    print(_summary(report, len(report.copies), time.monotonic() - started, key_name))
    return 0


def _record(namespace: argparse.Namespace) -> Path | None:
    """The path of the audit file to which the files belong; None if there are several."""
    if not namespace.files:
        return _configured_file(read_document(namespace.config))
    records = {rotation.record_of(path) for path in namespace.files}
    return records.pop() if len(records) == 1 else None


def _head(files: list[Path], record: Path | None) -> heads.Head | None:
    """The head file of the record; None if the files do not include the current one."""
    if record is None or (files and record not in map(rotation.absolute, files)):
        # The head is about the end of the current file only.
        return None
    # It is beside the configured path, which may be a symbolic link.
    head = heads.find(record) or heads.find(record.resolve())
    if head is None:
        print(
            f"{heads.path_of(record)}: there is none, so events missing at the end would not be "
            "noticed",
            file=sys.stderr,
        )
    return head


def _key(
    namespace: argparse.Namespace, record: Path | None
) -> tuple[Ed25519PublicKey | None, Path | None]:
    """The public key for the record's checkpoints and its file; both None if there is none."""
    if namespace.key is not None:
        paths = [namespace.key]
    elif record is not None:
        names = [record.with_name(f"{record.name}.key")]
        if (configured := _configured_key(namespace, record)) is not None:
            names.insert(0, configured)
        paths = [path for name in names for path in (name.with_name(f"{name.name}.pub"), name)]
        paths = [path for path in paths if os.access(path, os.R_OK)]
    else:
        return None, None
    for path in paths:
        try:
            return checkpoints.public_key_in(path), path
        except ValueError as error:
            raise ConfigurationError.about("", f"{error}") from None
    return None, None


def _configured_key(namespace: argparse.Namespace, record: Path) -> Path | None:
    """The configured key for checkpoints, if this record is the configured one."""
    try:
        document = read_document(namespace.config)
    except ConfigurationError:
        if namespace.config is not None:
            raise
        # A machine that only verifies has no configuration.
        return None
    configured = document.audit_path
    is_this = configured is not None and configured.resolve() == record.resolve()
    return document.audit_key_path if is_this else None


def run_checkpoint(namespace: argparse.Namespace) -> int:
    """Add a checkpoint."""
    document = read_document(namespace.config)
    path = _configured_file(document)
    problems = Diagnostics()
    with problems.at("audit"):
        if path.stat().st_uid != os.geteuid():
            # The service could not write to files that root makes here.
            raise ConfigurationError.about(
                "path", f"{path} belongs to another user: run this as the user of the service"
            )
        sink = load_audit_sink(document.audit, document.base)
        assert isinstance(sink, FileSink)
        print(sink.checkpoint())
    problems.raise_if_any()
    return 0


def _configured_file(document: Document) -> Path:
    path = document.audit_path
    if path is None:
        raise ConfigurationError.about("audit.target", "is not 'file'")
    if not path.exists():
        raise ConfigurationError.about("audit.path", f"{path} is not there")
    return path


def _copies(path: Path, key: Ed25519PublicKey | None) -> list[checkpoints.Checkpoint]:
    copies = list(checkpoints.find_checkpoints(path.read_text(encoding="utf-8", errors="replace")))
    # A log also contains text from requesters, who could forge unsigned checkpoints.
    signed = [copy for copy in copies if key is None or copy.is_signed_by(key)]
    if len(signed) < len(copies):
        print(
            f"{path}: {len(copies) - len(signed)} of {len(copies)} checkpoints are not signed with "
            "the audit's key, and do not count",
            file=sys.stderr,
        )
    if not signed:
        raise ConfigurationError.about("", f"{path} has no checkpoint in it")
    return signed


@contextmanager
def _progress(paths: list[Path]) -> Iterator[Callable[[Report], None]]:
    """Show the progress on a terminal during the block."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    total = sum(path.stat().st_size for path in paths)
    # The size of the events in a compressed file is not known.
    total *= not any(path.suffix == ".gz" for path in paths)
    started = shown = time.monotonic()

    def show(report: Report) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < 0.2:
            return
        shown = now
        share = f", {min(100, 100 * report.bytes_read // total)} %" if total else ""
        rate = report.lines / (now - started)
        print(f"\r{report.lines:,} events{share}, {rate:,.0f} a second ", end="", file=sys.stderr)

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _summary(report: Report, copies: int, seconds: float, key: str | None) -> str:
    signatures = "; no signature was looked at"
    if key is not None:
        signatures = f"; no checkpoint that {key} could have signed is in it"
    if report.checkpoints:
        signatures = (
            f"; {report.checkpoints} checkpoints are signed with {key}, up to event {report.signed}"
        )
    compared = f"; {copies} copies of checkpoints agree" if copies else ""
    return (
        f"whole: events {report.first.number + 1} to {report.last.number}, ending with "
        f"{report.last.hash}{signatures}{compared} ({seconds:.1f} s)"
    )
