"""``anchor audit``: make the key for checkpoints, verify the audit file, add a checkpoint."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from anchor.audit import checkpoints, heads
from anchor.audit.file_sink import FileSink
from anchor.audit.sinks import load_audit_sink
from anchor.cli import audit_verify
from anchor.cli.audit_keys import configured_file
from anchor.cli.check import add_config_option
from anchor.cli.configuration import read_configuration
from anchor.cli.new_files import write_new
from anchor.config.diagnostics import Diagnostics
from anchor.errors import ConfigurationError, describe_os_error


def add_to(parser: argparse.ArgumentParser) -> None:
    """Describe the commands and their options."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    init = commands.add_parser(
        "init",
        help="make the key that signs checkpoints",
        description="Make an Ed25519 key for audit.checkpoint_key_path, and the public key KEY.pub "
        "that verifies checkpoints.",
    )
    init.add_argument("key", type=Path, metavar="KEY", help="the new file; it must not exist")
    init.set_defaults(run=run_init)
    audit_verify.add_to(commands)
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
        raise ConfigurationError.about("", describe_os_error(error)) from None
    print(f"made {key} and {public}")
    return 0


def run_checkpoint(namespace: argparse.Namespace) -> int:
    """Add a checkpoint."""
    document = read_configuration(namespace.config)
    path = configured_file(document)
    problems = Diagnostics()
    with problems.at("audit"):
        # After a rotation there may be the head file only.
        existing = path if path.exists() else heads.path_of(path)
        if existing.exists() and existing.stat().st_uid != os.geteuid():
            # The service could not write to files that root makes here.
            raise ConfigurationError.about(
                "path", f"{existing} belongs to another user: run this as the user of the service"
            )
        sink = load_audit_sink(document.audit, document.base)
        assert isinstance(sink, FileSink)
        print(sink.checkpoint())
    problems.raise_if_any()
    return 0
