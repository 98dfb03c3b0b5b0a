"""Work on many things, done by as many processes as there are processors."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from anchor.errors import ConfigurationError

Thing = TypeVar("Thing")
Result = TypeVar("Result")

# So many things are done before another process is there to do them.
_FEW = 2000
# Whoever is done with a share takes the next, as processors may have more to do than this.
_SHARES = 64


def in_processes(
    work: Callable[[Sequence[Thing]], list[Result]], things: Sequence[Thing]
) -> list[Result]:
    """The results of the work on all things, in any order.

    Raises:
        ConfigurationError: what the work raised.
    """
    count = min(len(os.sched_getaffinity(0)), len(things) // _FEW)
    if count < 2:
        return work(things)
    size = -(-len(things) // _SHARES)
    shares = [things[start : start + size] for start in range(0, len(things), size)]
    left, ours = os.pipe()
    os.write(ours, bytes(range(len(shares))))
    os.close(ours)

    def mine() -> list[Result]:
        return [result for number in _taken(left) for result in work(shares[number])]

    context = multiprocessing.get_context("fork")
    others = []
    for _ in range(count - 1):
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_send, args=(sending, mine), daemon=True)
        process.start()
        sending.close()
        others.append((process, receiving))
    results = mine()
    os.close(left)
    for process, receiving in others:
        answer = receiving.recv()
        process.join()
        if isinstance(answer, tuple):
            raise ConfigurationError(answer)
        results += answer
    return results


def _taken(left: int) -> Iterator[int]:
    """The numbers of the shares that nobody else has taken."""
    while number := os.read(left, 1):
        yield number[0]


def _send(connection: Connection, mine: Callable[[], list[Any]]) -> None:
    try:
        answer: Any = mine()
    except ConfigurationError as error:
        answer = error.problems
    connection.send(answer)
