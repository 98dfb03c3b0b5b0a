"""Changes of a users file: in one step, one command at a time, and line by line."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from anchor.auth.user_lines import User, parse_users
from anchor.auth.users_file import FileStamp, read_users_file
from anchor.client import files
from anchor.errors import ConfigProblem, ConfigurationError

# The seconds to wait for another command.
TIMEOUT = 10.0

HEADER = b"# The users of Anchor, one a line. `anchor user --help` says how to change them.\n"


class UsersText:
    """The lines of a users file; those that are not changed stay byte for byte.

    Attributes:
        contents: the lines.
    """

    def __init__(self, contents: bytes):
        self.contents = contents

    def users(self) -> dict[str, User]:
        """The users by name.

        Raises:
            ConfigurationError: the file is broken.
        """
        return parse_users(self.contents)

    def line(self, name: str) -> bytes:
        """The line of a user."""
        return self._lines()[self.users()[name].line - 1]

    def append(self, line: bytes) -> None:
        """Add a line at the end."""
        ended = not self.contents or self.contents.endswith(b"\n")
        self.contents += line if ended else b"\n" + line

    def replace(self, name: str, line: bytes) -> None:
        """Replace the line of a user; an empty one removes it."""
        lines = self._lines()
        lines[self.users()[name].line - 1] = line
        self.contents = b"".join(lines) or HEADER

    def remove(self, name: str) -> None:
        """Remove the line of a user."""
        self.replace(name, b"")

    def _lines(self) -> list[bytes]:
        lines = [line + b"\n" for line in self.contents.split(b"\n")]
        lines[-1] = lines[-1][:-1]
        return lines


@contextlib.contextmanager
def editing(path: Path, *, create: bool = False) -> Iterator[UsersText]:
    """Hold a lock while the block changes the lines; then replace the file in one step.

    The new file has the owner, the group and the mode of the old one, or the mode 0600.

    Args:
        path: the file; of a symbolic link, the file that it points to is replaced.
        create: make a file that does not exist.

    Raises:
        ConfigurationError: the file is broken or cannot be changed.
    """
    with located(path):
        try:
            resolved = path.resolve()
            with _locked(resolved.parent):
                yield from _edit(resolved, create=create)
        except OSError as error:
            raise ConfigurationError.about("", f"cannot be changed: {error.strerror}") from None


def _edit(path: Path, *, create: bool) -> Iterator[UsersText]:
    before: os.stat_result | None = None
    contents = b""
    if path.exists() or not create:
        contents, stamp = read_users_file(path)
        before = path.stat()
    text = UsersText(contents if contents.strip() or not create else HEADER)
    yield text
    if text.contents == contents:
        return
    # Never write what the service would refuse.
    text.users()
    if before is None:
        _replace(path, text.contents, 0o600)
        return
    if FileStamp.of(path.stat()) != stamp:
        raise ConfigurationError.about("", "was changed by another program meanwhile: try again")
    mode = stat.S_IMODE(before.st_mode)
    _replace(path, text.contents, mode, before.st_uid, before.st_gid)


def _replace(path: Path, contents: bytes, mode: int, owner: int = -1, group: int = -1) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        files.write_new(temporary, contents, mode, owner, group)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    files.sync_directory(path.parent)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold a lock on a directory, because its files get replaced."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise ConfigurationError.about(
                        "", f"another command changes files in {directory}: try again later"
                    ) from None
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def located(path: Path) -> Iterator[None]:
    """Name the file in the problems that the block finds in it."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(
            [
                ConfigProblem(f"{path}, {each.path}" if each.path else str(path), each.message)
                for each in error.problems
            ]
        ) from None
