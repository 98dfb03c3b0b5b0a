"""Limit processes to a share of a CPU, with Linux's control groups."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

# Short, so that a limited process is never stopped for long.
_PERIOD_MICROSECONDS = 20_000
_ROOT = Path("/sys/fs/cgroup")


class CpuShareUnavailable(Exception):
    """This machine does not allow to limit the CPU of processes."""


@contextlib.contextmanager
def cpu_share(name: str, share: float, root: Path = _ROOT) -> Iterator[Path]:
    """Make a group whose processes together get at most a share of one CPU.

    Args:
        name: the end of the group's name.
        share: the share, such as 0.1.
        root: where the control groups are mounted.

    Yields:
        The directory of the group; :func:`limit` adds processes.

    Raises:
        CpuShareUnavailable: that needs root, and the controller ``cpu`` of control groups.
    """
    quota = int(share * _PERIOD_MICROSECONDS)
    is_v2 = (root / "cgroup.controllers").exists()
    parent = root if is_v2 else root / "cpu"
    group = parent / f"anchor-bench-{os.getpid()}-{name}"
    try:
        if is_v2:
            (root / "cgroup.subtree_control").write_text("+cpu")
        group.mkdir()
    except OSError as error:
        raise CpuShareUnavailable(f"cannot make the control group {group}: {error}") from error
    try:
        if is_v2:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD_MICROSECONDS}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROSECONDS))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        yield group
    finally:
        _remove(group)


def limit(group: Path, processes: Iterable[int]) -> None:
    """Move processes into a group; those that they start later are in it too."""
    for process in processes:
        (group / "cgroup.procs").write_text(str(process))


def _remove(group: Path) -> None:
    """Remove a group after its processes have ended."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)
    group.rmdir()
