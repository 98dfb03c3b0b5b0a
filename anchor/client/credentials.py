"""Credentials of the client, and their sources: a file, a command, or Keystone."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import Protocol

from anchor.client import keystone
from anchor.client.errors import Misconfigured, Unavailable

# The service rejects longer secrets.
MAX_SECRET = 16384


@dataclass(frozen=True)
class Credentials:
    """A user name and a secret.

    Attributes:
        remedy: what to say if the service refuses them; may be empty.
        warning: what to say in any case; may be empty.
    """

    user: str
    secret: str = field(repr=False)
    remedy: str = ""
    warning: str = ""


class Source(Protocol):
    """A source of credentials."""

    def credentials(self) -> Credentials:
        """Return the current credentials.

        Raises:
            Misconfigured: there are none.
            Unavailable: there are none at the moment.
        """


@dataclass(frozen=True)
class Fixed:
    """Credentials that were read with the configuration."""

    value: Credentials

    def credentials(self) -> Credentials:
        """Return the same credentials every time."""
        return self.value


@dataclass(frozen=True)
class Command:
    """A program, run without a shell, that prints the secret on its standard output."""

    user: str
    command: tuple[str, ...]
    timeout: float

    def credentials(self) -> Credentials:
        """Run the program and return its output, without the line break at the end."""
        program = self.command[0]
        try:
            # It shares our standard error for its messages.
            finished = subprocess.run(  # noqa: S603  # the configured command
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=self.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"secret_command: {program} took longer than {self.timeout:g} seconds"
            ) from None
        except OSError as error:
            raise Misconfigured(
                f"secret_command: {program} cannot be run: {error.strerror}"
            ) from None
        if finished.returncode:
            raise Misconfigured(f"secret_command: {program} exited with {finished.returncode}")
        try:
            secret = finished.stdout.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            secret = ""
        if not secret or len(secret) > MAX_SECRET:
            raise Misconfigured(f"secret_command: {program} did not print a secret")
        return Credentials(self.user, secret)


@dataclass(frozen=True)
class KeystoneToken:
    """A Keystone token, fetched for each request; ``cloud`` is a name in clouds.yaml."""

    user: str
    cloud: str | None
    timeout: float

    def credentials(self) -> Credentials:
        """Fetch a token and return it as the secret."""
        return Credentials(self.user, keystone.fetch_token(self.cloud, self.timeout))
