"""Gathering everything that is wrong with a configuration, each with its path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anchor.errors import ConfigProblem, ConfigurationError


class Diagnostics:
    """Collects problems, so that one start shows them all."""

    def __init__(self) -> None:
        self._problems: list[ConfigProblem] = []

    def add(self, path: str, message: str, exit_status: int = 1) -> None:
        """Note one more."""
        self._problems.append(ConfigProblem(path, message, exit_status))

    @contextmanager
    def at(self, *path: str) -> Iterator[None]:
        """Note the problems of a ConfigurationError in the block under ``path``, and go on."""
        try:
            yield
        except ConfigurationError as error:
            for problem in error.problems:
                inner = (problem.path,) if problem.path else ()
                self.add(".".join((*path, *inner)), problem.message, problem.exit_status)

    def extend(self, others: Diagnostics, rename: Callable[[str], str]) -> None:
        """Note all of the others, under other paths."""
        for problem in others._problems:
            self.add(rename(problem.path), problem.message, problem.exit_status)

    def raise_if_any(self) -> None:
        """Raise a ConfigurationError with all of them, if there are any."""
        if self._problems:
            raise ConfigurationError(self._problems)
