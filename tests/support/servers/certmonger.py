"""certmonger on a private D-Bus, with all its files in one directory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.servers.processes import program, wait_for

_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""

# The directory of the library differs between architectures.
_FAKETIME = "/usr/lib/*/faketime/libfaketime.so.1"


class Certmonger:
    """A certmonger daemon, and its command ``getcert``."""

    def __init__(self, path: Path):
        self.path = path
        self.log = path / "certmonger.log"
        socket = path / "bus"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(path),
            "LC_ALL": "C",
            "CERTMONGER_TMPDIR": str(path),
            "CERTMONGER_SYSTEM_LOCK_FILE": str(path / "lock"),
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={socket}",
        }
        for name in ("CAS", "REQUESTS", "CONFIG", "LOCAL_CA"):
            directory = path / name.lower()
            directory.mkdir(parents=True)
            self.environment[f"CERTMONGER_{name}_DIR"] = str(directory)
        config = path / "bus.conf"
        config.write_text(_BUS.format(path=socket))
        self._bus = subprocess.Popen(
            [program("dbus-daemon", "dbus"), f"--config-file={config}", "--nofork", "--nopidfile"],
            stdout=subprocess.DEVNULL,
        )
        wait_for(socket.exists, what="the bus")
        self._daemon = None

    @property
    def bus_address(self):
        """The variable with the address of the bus, for the environment of a helper."""
        return f"DBUS_SYSTEM_BUS_ADDRESS={self.environment['DBUS_SYSTEM_BUS_ADDRESS']}"

    def start(self, clock=None):
        """Start the daemon; ``clock`` is an offset to its time, such as ``+13h``."""
        environment = dict(self.environment)
        if clock:
            found = sorted(Path("/").glob(_FAKETIME.lstrip("/")))
            assert found, "libfaketime is missing; install the Debian package 'faketime'"
            environment |= {"LD_PRELOAD": str(found[0]), "FAKETIME": clock}
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                [program("certmonger", "certmonger"), "-S", "-n", "-d", "3"],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(
            lambda: self._getcert("list-cas").returncode == 0, self._daemon, "certmonger to answer"
        )

    def stop(self):
        """Stop the daemon and keep its files."""
        if self._daemon is not None:
            _end(self._daemon)
            self._daemon = None

    def close(self):
        """Stop the daemon and the D-Bus."""
        self.stop()
        _end(self._bus)

    def getcert(self, *arguments):
        """Run ``getcert``; it must succeed.  Return its output."""
        finished = self._getcert(*arguments)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    def _getcert(self, *arguments):
        return subprocess.run(
            [program("getcert", "certmonger"), *map(str, arguments)],
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def request(self, identifier):
        """The fields that ``getcert list`` shows for a request."""
        shown = {}
        for line in self.getcert("list", "-i", identifier).splitlines():
            name, colon, value = line.strip().partition(": ")
            if colon:
                shown[name] = value.strip()
        return shown

    def ca_certificates(self, name):
        """The nicknames of the certificates that certmonger stores for a CA, by kind."""
        kept = {}
        for path in (self.path / "cas").iterdir():
            lines = path.read_text().splitlines()
            if f"id={name}" not in lines:
                continue
            kind = ""
            for line, following in zip(lines, [*lines[1:], ""], strict=True):
                if not line.startswith(" "):
                    kind = line.partition("=")[0]
                if "BEGIN CERTIFICATE" in following:
                    kept.setdefault(kind, []).append(line.removeprefix(f"{kind}=").strip())
        return kept

    def wait_for(self, identifier, status):
        """Wait until a request has this status; return its fields."""

        def reached():
            shown = self.request(identifier)
            return shown if shown.get("status") == status else None

        return wait_for(reached, what=f"{identifier} to be {status}")


def _end(process):
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def certmonger(tmp_path):
    """A running certmonger without requests."""
    assert os.geteuid() == 0, "certmonger runs as root only"
    instance = Certmonger(tmp_path / "certmonger")
    try:
        instance.start()
        yield instance
    finally:
        instance.close()
