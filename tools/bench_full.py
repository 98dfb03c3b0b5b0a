"""Benchmark: the service with a large database and many authorities, next to an empty one.

Both services run side by side under uwsgi and take turns, so that other load on the machine affects
both.  All requests differ.  The CPU of a certificate is that of all processes of a service.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
from collections.abc import Iterator
from pathlib import Path

from bench import configure, serving, sign_request
from bench_load import cpu_seconds, load, make_csrs, verify
from full_database import fill

GOAL = 1.10
CONNECTIONS = 8
# The first requests of a worker read the database's pages into its cache.
_WARM_UP = 400
_PER_TURN = 200


def measure(
    directory: Path, certificates: int, *, authorities: int, bans: int, tokens: int, turns: int
) -> tuple[float, float, float]:
    """Measure a service with so many rows and authorities, and an empty one.

    Args:
        directory: an empty directory.
        certificates: how many certificates are in force.
        authorities: how many registration authorities there are.
        bans: how many names are banned.
        tokens: how many tokens are unused.
        turns: how often each service takes its turn.

    Returns:
        The CPU seconds of a certificate with all of them and without, each the median of the
        turns, and the median of the turns' ratios.
    """
    empty, full = directory / "empty", directory / "full"
    cas = [configure(each, "ec-p256") for each in (empty, full)]
    _add_authorities(full / "config.json", authorities)
    fill(full / "anchor.db", certificates, bans=bans, tokens=tokens)
    requests = map(sign_request, make_csrs(2 * (_WARM_UP + turns * _PER_TURN)))
    with contextlib.ExitStack() as stack:
        services = [stack.enter_context(serving(each)) for each in (empty, full)]
        answers: list[list[bytes]] = [[], []]
        seconds: list[list[float]] = [[], []]
        for turn in range(turns + 1):
            for number, (port, pid) in enumerate(services):
                count = _PER_TURN if turn else _WARM_UP
                used, answered = _take_turn(port, pid, requests, count)
                answers[number] += answered
                if turn:
                    seconds[number].append(used)
    for answered, ca in zip(answers, cas, strict=True):
        verify(answered, ca)
    without, with_all = seconds
    ratios = [many / none for none, many in zip(without, with_all, strict=True)]
    return statistics.median(with_all), statistics.median(without), statistics.median(ratios)


def _take_turn(
    port: int, pid: int, requests: Iterator[bytes], count: int
) -> tuple[float, list[bytes]]:
    """The CPU seconds of a certificate, and the certificates."""
    some = list(itertools.islice(requests, count))
    started = cpu_seconds(pid)
    answered, _ = load(port, some, CONNECTIONS)
    return (cpu_seconds(pid) - started) / count, answered


def _add_authorities(path: Path, count: int) -> None:
    """Make copies of the only authority, which becomes the last of so many."""
    document = json.loads(path.read_text())
    authority = document["registration_authority"]["default"]
    others = {f"ra{number}": authority for number in range(count - 1)}
    document["registration_authority"] = {**others, "default": authority}
    path.write_text(json.dumps(document))
