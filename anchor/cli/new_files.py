"""New files that are written together: all of them or none."""

from __future__ import annotations

import os
from pathlib import Path


class NewFiles:
    """New files and directories in a directory; nothing is overwritten.

    Args:
        directory: the directory; it is made if it does not exist.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._files: dict[str, tuple[bytes, int]] = {}
        self._made: list[Path] = []

    def add(self, path: str, contents: bytes, mode: int) -> None:
        """Add a file to be written with these permissions."""
        self._files[path] = contents, mode

    def write(self, *directories: str) -> None:
        """Write the files, and make the directories that do not exist.

        Raises:
            OSError: one cannot be made; all others are removed again.
        """
        try:
            for path, (contents, mode) in self._files.items():
                self._make_directory((self._directory / path).parent)
                write_new(self._directory / path, contents, mode)
                self._made.append(self._directory / path)
            for name in directories:
                self._make_directory(self._directory / name)
        except BaseException:
            for made in reversed(self._made):
                if made.is_dir():
                    made.rmdir()
                else:
                    made.unlink()
            raise

    def _make_directory(self, path: Path) -> None:
        for directory in (*reversed(path.parents), path):
            if not directory.is_dir():
                # Under any umask, only the owner may replace the files in it.
                directory.mkdir(mode=0o755)
                self._made.append(directory)


def write_new(path: Path, contents: bytes, mode: int) -> None:
    """Write a new file; it has its mode from the start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Closing it may fail too, if the disk is full.
    file = open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
    try:
        with file:
            file.write(contents)
    except BaseException as error:
        path.unlink()
        if isinstance(error, OSError):
            # The error of a full disk does not name the file.
            error.filename = str(path)
        raise
