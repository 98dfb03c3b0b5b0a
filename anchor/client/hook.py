"""The program that is run after a success, to have servers take up the new certificate."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from anchor.client import trust
from anchor.client.trust import Untrusted
from anchor.errors import AnchorError

TIMEOUT = 300.0


class HookFailed(AnchorError):
    """The hook did not do its work; the certificate is in place all the same."""


def run(command: Sequence[str], variables: Mapping[str, str], timeout: float = TIMEOUT) -> None:
    """Run a program, without a shell and with its output on our standard error.

    Args:
        command: the program and its arguments.
        variables: what is added to its environment.
        timeout: after how many seconds it and its children are ended.

    Raises:
        HookFailed: it cannot be run, takes too long, or does not exit with 0; or another user
            could have changed it, and it is not run.
    """
    program = command[0]
    try:
        executable = trust.require_command(command)
    except Untrusted as error:
        raise HookFailed(f"the hook was not run: {error}") from None
    try:
        process = subprocess.Popen(  # noqa: S603  # running what is configured is its purpose
            command,
            executable=executable,
            stdin=subprocess.DEVNULL,
            # Our standard output may be JSON.
            stdout=sys.__stderr__,
            env={**os.environ, **variables},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HookFailed(f"the hook {program} cannot be run: {reason}") from None
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise HookFailed(f"the hook {program} took longer than {timeout:g} seconds") from None
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code < 0:
        raise HookFailed(f"the hook {program} was ended by signal {-code}")
    if code:
        raise HookFailed(f"the hook {program} exited with {code}")
