"""The collector of configuration problems, each with its path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anchor.errors import ConfigProblem, ConfigurationError


class Diagnostics:
    """Collects problems, so that one start reports all of them."""

    def __init__(self) -> None:
        self._problems: list[ConfigProblem] = []

    def add(self, path: str, message: str, exit_status: int = 1) -> None:
        """Add a problem."""
        self._problems.append(ConfigProblem(path, message, exit_status))

    @contextmanager
    def at(self, *path: str) -> Iterator[None]:
        """Catch a ConfigurationError in the block and add its problems below ``path``."""
        try:
            yield
        except ConfigurationError as error:
            for problem in error.problems:
                inner = (problem.path,) if problem.path else ()
                self.add(".".join((*path, *inner)), problem.message, problem.exit_status)

    def extend(self, other: Diagnostics, rename: Callable[[str], str]) -> None:
        """Add the problems of another collector, with their paths renamed."""
        for problem in other._problems:
            self.add(rename(problem.path), problem.message, problem.exit_status)

    def raise_if_any(self) -> None:
        """Raise a ConfigurationError with all problems, if there are any."""
        if self._problems:
            raise ConfigurationError(self._problems)
