"""``anchor audit verify``: verify the audit files of one or several nodes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anchor.audit import heads, rotation
from anchor.audit.checkpoints import Checkpoint
from anchor.audit.nodes import check_name
from anchor.audit.records import by_record
from anchor.audit.report import BrokenRecord, Report
from anchor.audit.verification import Verification
from anchor.cli.audit_keys import RecordKey, configured_file, find_key, signed_copies
from anchor.cli.audit_output import progress, summary
from anchor.cli.check import add_config_option
from anchor.cli.configuration import read_configuration
from anchor.errors import ConfigurationError, describe_os_error


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    verify = commands.add_parser(
        "verify",
        help="verify that no event was changed, removed, reordered or cut off",
        description="Verify the audit files of one or several nodes. Exits with 0 if they are "
        "complete and unchanged. Otherwise prints where and how the verification failed, and exits "
        "with 1.",
    )
    verify.add_argument(
        "files",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="the audit files of all nodes and their rotated files, in any order, also compressed "
        "with gzip; default: the configured file and its rotated files",
    )
    verify.add_argument(
        "--node",
        type=_node_name,
        action="append",
        default=[],
        metavar="NAME",
        help="a node whose audit file has to be among the files; may be given several times; "
        "default: audit.node if no FILE is given, otherwise the nodes that the checkpoints in "
        "LOG name",
    )
    verify.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        default=[],
        metavar="LOG",
        help="a file with checkpoints copied from the ordinary log, also compressed with gzip; may "
        "be given several times",
    )
    verify.add_argument(
        "--key",
        type=Path,
        metavar="PUB",
        help="the public key that verifies the checkpoints of all nodes; default: that of the "
        "configured file, or RECORD.key.pub, where RECORD is the file that the FILEs were rotated "
        "from",
    )
    verify.add_argument(
        "--previous",
        action="append",
        default=[],
        metavar="HASH",
        help="the last hash of older files that no longer exist; may be given several times",
    )
    add_config_option(verify)
    verify.set_defaults(run=run)


def _node_name(text: str) -> str:
    try:
        return check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclass(frozen=True)
class _Outcome:
    """The line about a record; ``report`` is None if the verification failed."""

    record: Path
    node: str | None
    text: str
    report: Report | None


def run(namespace: argparse.Namespace) -> int:
    """Verify the record of each node."""
    try:
        files = rotation.without_companions(namespace.files)
        expected = set(namespace.node)
        if files:
            records = by_record(files)
        else:
            document = read_configuration(namespace.config)
            record = configured_file(document)
            records = {record: rotation.files_of(record)}
            if not expected and isinstance(document.audit.get("node"), str):
                expected = {document.audit["node"]}
        keys = {record: find_key(namespace.key, namespace.config, record) for record in records}
        copies = signed_copies(namespace.checkpoint, [key.key for key in keys.values()])
        outcomes = [
            _verify(namespace, record, paths, keys[record], copies, among_others=len(records) > 1)
            for record, paths in records.items()
        ]
    except OSError as error:
        raise ConfigurationError.about("", describe_os_error(error)) from None
    if files and not expected:
        expected = {copy.node for copy in copies if copy.node}
    problems = [
        *_claimed_twice(outcomes),
        *_missing(expected, outcomes, copies),
        *_in_no_record(outcomes, copies),
    ]
    for outcome in outcomes:
        for torn in outcome.report.torn if outcome.report else ():
            print(torn)
        print(outcome.text)
    for problem in problems:
        print(problem)
    return 1 if problems or any(outcome.report is None for outcome in outcomes) else 0


def _verify(
    namespace: argparse.Namespace,
    record: Path,
    paths: list[Path],
    key: RecordKey,
    copies: Sequence[Checkpoint],
    *,
    among_others: bool,
) -> _Outcome:
    """Verify one record; among others, a file that cannot be read is an outcome too."""
    node = report = None
    try:
        # Read the head before the files, which may grow in between.
        head = _head(paths, record)
        node = head.node if head else None
        paths = rotation.in_order(paths)
        started = time.monotonic()
        with progress(paths) as show:
            verification = Verification(
                frozenset(namespace.previous),
                key.key,
                [copy for copy in copies if key.key is None or copy.is_signed_by(key.key)],
                show,
                head=head,
                must_be_signed=namespace.key is not None,
                among_others=among_others,
            )
            try:
                report = verification.verify(paths)
            finally:
                node = verification.report.node or node
        text = summary(report, head, time.monotonic() - started, key.name)
        if among_others and not node:
            text, report = f"{record}: {_NO_NODE}", None
    except BrokenRecord as error:
        text = str(error)
    except (heads.HeadDamaged, OSError) as error:
        if not among_others:
            raise
        text = str(error)
        if isinstance(error, OSError):
            text = f"{error.filename or record}: cannot be read: {error.strerror or error}"
    return _Outcome(record, node or None, f"node {node}: {text}" if node else text, report)


_NO_NODE = (
    "it names no node, so it could be the record of any node: verify it alone, or add a "
    "checkpoint to it with `anchor audit checkpoint`"
)


def _claimed_twice(outcomes: Sequence[_Outcome]) -> Iterator[str]:
    """Nodes that several records claim to belong to."""
    claims: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.node:
            claims.setdefault(outcome.node, []).append(str(outcome.record))
    for node, records in claims.items():
        if len(records) > 1:
            yield f"node {node}: {' and '.join(records)} are both of this node"


def _missing(
    expected: Collection[str], outcomes: Sequence[_Outcome], copies: Sequence[Checkpoint]
) -> Iterator[str]:
    """Nodes whose record is not among the files."""
    for node in sorted(set(expected) - {outcome.node for outcome in outcomes}):
        own = [copy for copy in copies if copy.node == node]
        newest = max(own, key=lambda copy: copy.link.number, default=None)
        known = (
            f", but a checkpoint of {newest.time} is of its event {newest.link.number}"
            if newest
            else ""
        )
        yield f"node {node}: its record is not among the files{known}"


def _in_no_record(outcomes: Sequence[_Outcome], copies: Sequence[Checkpoint]) -> Iterator[str]:
    """The newest checkpoint without a node that one of the records should contain."""
    reports = [outcome.report for outcome in outcomes if outcome.report]
    if len(reports) < len(outcomes):
        return
    found = {copy.link for report in reports for copy in report.copies}
    # Older events may have been in deleted files.
    oldest = max(report.first.number for report in reports)
    lost = [
        copy
        for copy in copies
        if copy.node is None and copy.link not in found and copy.link.number > oldest
    ]
    if lost and len(outcomes) > 1:
        newest = max(lost, key=lambda copy: copy.link.number)
        yield (
            f"no record agrees with the checkpoint of {newest.time}, of event "
            f"{newest.link.number} of an unknown node"
        )


def _head(files: Collection[Path], record: Path) -> heads.Head | None:
    """The head file of the record; None if the files do not include the end."""
    if not rotation.has_end(record, files):
        return None
    # It is beside the configured path, which may be a symbolic link.
    head = heads.find(record) or heads.find(record.resolve())
    if head is None and rotation.absolute(record) in map(rotation.absolute, files):
        print(
            f"{heads.path_of(record)}: there is none, so events missing at the end would not be "
            "noticed",
            file=sys.stderr,
        )
    return head
