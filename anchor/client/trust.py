"""Checks that only root and the current user can change a path.

Root runs the hooks in its state. A user who can write the state, a hook, or a directory above them
could make root run another program.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path

from anchor.client.command_files import files_run_by, program_of
from anchor.client.errors import Misconfigured

# The limit of Linux for one path; more links are a loop.
_MAX_LINKS = 40


class Untrusted(Misconfigured):
    """Another user could change the path; the text names path, owner, mode and remedy."""


def require(path: Path) -> None:
    """Raise Untrusted if a user other than root and the current one could change the path.

    This also checks each directory above it, and each symbolic link in the path with its target. If
    the path does not exist, its directory is checked.
    """
    directory = Path("/")
    _check(directory, directory.lstat(), is_last=False)
    todo = list(reversed(path.absolute().parts[1:]))
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            # All links in the directory are resolved, so its parent is the real one.
            directory = directory.parent
            continue
        entry = directory / part
        try:
            status = entry.lstat()
            target = entry.readlink() if stat.S_ISLNK(status.st_mode) else None
        except OSError:
            # It is missing or not accessible; the caller gets the error when opening it.
            return
        _check(entry, status, is_last=not todo)
        if target is None:
            directory = entry
            continue
        links += 1
        if links > _MAX_LINKS:
            raise Untrusted(f"{path} leads through more than {_MAX_LINKS} symbolic links")
        if target.is_absolute():
            directory, target = Path("/"), target.relative_to("/")
        todo.extend(reversed(target.parts))


def require_command(command: Sequence[str]) -> str:
    """The path of a command's program, looked up on the PATH, after a check of its files.

    The program, its scripts, their interpreters and programs among the arguments are checked.

    Raises:
        Untrusted: another user could change one of them.
    """
    for path in files_run_by(command):
        require(path)
    return program_of(command[0])


def _check(entry: Path, status: os.stat_result, *, is_last: bool) -> None:
    """Raise Untrusted if owner or mode of the entry let another user change it."""
    mode = stat.S_IMODE(status.st_mode)
    reasons = []
    if status.st_uid not in (0, os.geteuid()):
        reasons.append(f"is owned by {_user(status.st_uid)}")
    if stat.S_ISLNK(status.st_mode):
        # A link has no mode; the mode of its directory says who may replace it.
        open_to = 0
    elif stat.S_ISDIR(status.st_mode) and mode & stat.S_ISVTX and not is_last:
        # In a sticky directory, like /tmp, only the owner of an entry may replace it.
        open_to = 0
    else:
        open_to = mode & 0o022
    if open_to & 0o002:
        reasons.append("is writable by everyone")
    elif open_to and not _is_own_group(status.st_gid):
        reasons.append(f"is writable by the group {_group(status.st_gid)}")
    elif open_to and _has_access_list(entry):
        # With an access control list, the group bits are the maximum for every user on the list.
        reasons.append("is writable by users or groups on its access control list")
    if reasons:
        me = "" if os.geteuid() == 0 else f" or {_user(os.geteuid())}"
        raise Untrusted(
            f"{entry} {' and '.join(reasons)} (owner {_user(status.st_uid)}, mode {mode:04o}), so "
            f"another user could change it; it should be owned by root{me} and have mode "
            f"{mode & ~0o022:04o}"
        )


def _is_own_group(gid: int) -> bool:
    """True for the current user's private group, which has no other members."""
    if os.geteuid() == 0:
        return False
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    is_named_after_user = (gid, group.gr_name) == (user.pw_gid, user.pw_name)
    return is_named_after_user and set(group.gr_mem) <= {user.pw_name}


def _has_access_list(entry: Path) -> bool:
    """True if the entry has a POSIX access control list."""
    try:
        return bool(os.getxattr(entry, "system.posix_acl_access"))
    except OSError:
        return False


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"
