"""Atomic writes: after a crash there is either the old file or the new one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make a directory and its parents, writable by their owner only under any umask."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=0o755, exist_ok=True)


def write_new(path: Path, contents: bytes, mode: int, owner: int = -1, group: int = -1) -> None:
    """Write a new file, readable by its owner only until its mode is set."""
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        if (owner, group) != (-1, -1):
            os.fchown(file.fileno(), owner, group)
        os.fchmod(file.fileno(), mode)
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, contents: bytes, mode: int) -> None:
    """Replace the contents of a file in one step."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        write_new(temporary, contents, mode)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def replace_symlink(link: Path, target: str) -> None:
    """Make a symbolic link, or replace one in a single step."""
    temporary = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    try:
        temporary.symlink_to(target)
        temporary.rename(link)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(link.parent)


def sync_directory(path: Path) -> None:
    """Wait until the entries of a directory, such as a new name, are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
