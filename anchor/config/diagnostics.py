"""Gathering everything that is wrong with a configuration, each with its path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anchor.errors import ConfigProblem, ConfigurationError


class Diagnostics:
    """Collects complaints, so that one start shows them all."""

    def __init__(self) -> None:
        self._complaints: list[ConfigProblem] = []

    def add(self, path: str, message: str, exit_status: int = 1) -> None:
        """Note one more."""
        self._complaints.append(ConfigProblem(path, message, exit_status))

    @contextmanager
    def at(self, *path: str) -> Iterator[None]:
        """Note the complaints of a ConfigurationError in the block under ``path``, and go on."""
        try:
            yield
        except ConfigurationError as error:
            for complaint in error.problems:
                inner = (complaint.path,) if complaint.path else ()
                self.add(".".join((*path, *inner)), complaint.message, complaint.exit_status)

    def extend(self, others: Diagnostics, rename: Callable[[str], str]) -> None:
        """Note all of the others, under other paths."""
        for complaint in others._complaints:
            self.add(rename(complaint.path), complaint.message, complaint.exit_status)

    def raise_if_any(self) -> None:
        """Raise a ConfigurationError with all of them, if there are any."""
        if self._complaints:
            raise ConfigurationError(self._complaints)
