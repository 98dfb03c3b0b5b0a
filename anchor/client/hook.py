"""The hook: a program, run after a success, that makes servers load the certificate."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from anchor.client import certificate_version, trust
from anchor.client.certificate_version import KeyAndCertificate
from anchor.client.outcome import format_time
from anchor.client.tracking import TrackedCertificate
from anchor.client.trust import Untrusted
from anchor.errors import AnchorError

TIMEOUT = 300.0


class HookFailed(AnchorError):
    """The hook failed; the certificate is installed nevertheless."""


def run(command: Sequence[str], variables: Mapping[str, str], timeout: float = TIMEOUT) -> None:
    """Run a program without a shell; its output goes to our standard error.

    Args:
        command: the program and its arguments.
        variables: added to its environment.
        timeout: the seconds after which it and its children are killed.

    Raises:
        HookFailed: it cannot be run, takes too long, or does not exit with 0; or it was not run
            because another user could have changed it.
    """
    program = command[0]
    try:
        executable = trust.require_command(command)
    except Untrusted as error:
        raise HookFailed(f"the hook was not run: {error}") from None
    try:
        process = subprocess.Popen(  # noqa: S603  # the configured hook
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


def variables(tracked: TrackedCertificate, pair: KeyAndCertificate) -> dict[str, str]:
    """The environment variables that describe a certificate to its hook."""
    directory = tracked.spec.directory
    return {
        "ANCHOR_NAME": tracked.name,
        "ANCHOR_NAMES": " ".join(tracked.spec.names),
        "ANCHOR_DIRECTORY": str(directory),
        "ANCHOR_KEY": str(directory / certificate_version.KEY),
        "ANCHOR_CERTIFICATE": str(directory / certificate_version.CERTIFICATE),
        "ANCHOR_CHAIN": str(directory / certificate_version.CHAIN),
        "ANCHOR_FULL_CHAIN": str(directory / certificate_version.FULL_CHAIN),
        "ANCHOR_COMBINED": str(directory / certificate_version.COMBINED),
        "ANCHOR_NOT_AFTER": format_time(pair.certificate.not_valid_after_utc),
        "ANCHOR_FINGERPRINT": pair.fingerprint,
    }
