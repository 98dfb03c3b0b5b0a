"""A Debian without Anchor, as a machine: systemd is process 1 of its namespaces.

Its root file system is an overlay over a base, which is made once and kept in ``.cache``.  The
machine has a separate loopback interface, so every port is free.  It reaches other networks as this
machine does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.servers.processes import children, program, wait_for

_CACHE = ROOT / ".cache/fresh-debian"
# Debian's installer installs these; mmdebstrap's minbase lacks them.
_PACKAGES = "systemd,systemd-sysv,dbus,ca-certificates,iproute2,procps,sudo"
# The address of the name server that slirp4netns offers.
_RESOLV_CONF = "nameserver 10.0.2.3\n"
_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"

# A cgroup for the machine: the root of the hierarchy that it will see.
_ENTER = """
set -e
mount -t cgroup2 cgroup2 {groups}
mkdir -p {groups}/{name}
echo $$ >{groups}/{name}/cgroup.procs
umount {groups}
exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child bash {boot}
"""

_BOOT = """
set -e
root={root}
mount -t overlay -o lowerdir={lower},upperdir={changes},workdir={work} overlay $root
mount -t proc proc $root/proc
mount -t sysfs -o ro sysfs $root/sys
mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
mount -t tmpfs -o mode=755 dev $root/dev
for node in null zero full random urandom tty; do
    touch $root/dev/$node
    mount --bind /dev/$node $root/dev/$node
done
mkdir $root/dev/pts $root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts $root/dev/pts
ln -s pts/ptmx $root/dev/ptmx
ln -s /proc/self/fd $root/dev/fd
ln -s fd/0 $root/dev/stdin
ln -s fd/1 $root/dev/stdout
ln -s fd/2 $root/dev/stderr
mount -t tmpfs -o mode=1777 shm $root/dev/shm
mount -t tmpfs -o mode=755 run $root/run
hostname debian
ip link set lo up
cd $root
mkdir .outside
pivot_root . .outside
umount -l /.outside
rmdir /.outside
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
# Both machines have the same kernel: this one may not change its modules and its clock.
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
    setpriv --bounding-set=-sys_module,-sys_time,-sys_boot,-sys_rawio \\
    /lib/systemd/systemd --log-target=journal --show-status=no
"""

_LEAVE = """
mount -t cgroup2 cgroup2 {groups} && find {groups}/{name} -depth -type d -exec rmdir {{}} +
"""

_ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}


def base():
    """The root directory of the base system; it is made if there is none.

    It has this machine's release: packages that are built here are installed there.
    """
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    root = _CACHE / release
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            new = _CACHE / uuid.uuid4().hex
            try:
                _make_base(new, release)
                new.rename(root)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    return root


def _make_base(root, release):
    subprocess.run(
        [
            *(program("mmdebstrap", "mmdebstrap"), "--variant=minbase", "--quiet", "--mode=root"),
            *("--format=directory", "--skip=cleanup/apt/lists", f"--include={_PACKAGES}"),
            *(release, root),
        ],
        check=True,
        timeout=600,
    )
    # mmdebstrap makes a directory that only root can read.
    root.chmod(0o755)
    (root / "etc/hosts").write_text(_HOSTS)
    (root / "etc/hostname").write_text("debian\n")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text(_RESOLV_CONF)
    # The machine trusts the same CAs as this one.
    own = Path("/usr/local/share/ca-certificates")
    if own.is_dir():
        shutil.copytree(own, root / own.relative_to("/"), dirs_exist_ok=True)
    if Path("/etc/pip.conf").exists():
        shutil.copy("/etc/pip.conf", root / "etc")
    subprocess.run(["chroot", root, "update-ca-certificates"], check=True, capture_output=True)


@dataclass(frozen=True)
class Debian:
    """A running machine.

    Attributes:
        init: the id of its process 1.
        changes: the files that differ from the layers below.  Once the machine is off, another
            machine can use this directory as a layer.
    """

    init: int
    changes: Path

    @property
    def root(self):
        """The machine's root directory, for copying files into it and out of it."""
        return Path(f"/proc/{self.init}/root")

    @property
    def shell(self):
        """The command that starts a shell of root on the machine."""
        return self.command("/bin/bash", "-c", "cd ~ && exec /bin/bash --norc --noprofile")

    def command(self, *words):
        """The command that runs this program on the machine as root."""
        settings = [f"{key}={value}" for key, value in (_ENVIRONMENT | _pip_settings()).items()]
        enter = ("nsenter", "--target", str(self.init), "--all")
        return [*enter, "/usr/bin/env", "-i", *settings, *words]

    def run(self, command, *, code=0):
        """Run a shell command as root; return its output, with standard error.

        The test fails unless the command ends with this exit code; None allows any.
        """
        try:
            finished = subprocess.run(
                self.command("/bin/bash", "-c", f"cd ~\n{command}"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=400,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            pytest.fail(f"{command} does not end: {(error.stdout or b'')[-4000:]}")
        if code is not None and code != finished.returncode:
            pytest.fail(f"{command} ended with {finished.returncode}\n{finished.stdout[-6000:]}")
        return finished.stdout


def _pip_settings():
    """What this machine's environment tells pip, such as another index."""
    return {key: value for key, value in os.environ.items() if key.startswith("PIP_")} | {
        "PIP_ROOT_USER_ACTION": "ignore"
    }


@contextlib.contextmanager
def fresh_debian(directory, *layers):
    """A machine that is on until the end of the block.

    Args:
        directory: for the files of the machine; on a disk, not on a tmpfs.
        layers: changes of other machines, the topmost first; without any, the machine has only the
            base system.
    """
    name = f"anchor-debian-{uuid.uuid4().hex[:8]}"
    places = {place: directory / place for place in ("root", "changes", "work", "groups")}
    for place in places.values():
        place.mkdir(parents=True)
        place.chmod(0o755)
    lower = ":".join(map(str, (*layers, base())))
    scripts = {"groups": places["groups"], "name": name, "boot": directory / "boot.sh"}
    (directory / "boot.sh").write_text(_BOOT.format(**places, lower=lower))
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((directory / "boot.log").open("w"))
        process = subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", _ENTER.format(**scripts)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(_leave, scripts)
        stack.callback(process.wait)
        stack.callback(process.kill)
        init = wait_for(
            lambda: _systemd(process.pid), process, f"systemd, see {directory}/boot.log"
        )
        machine = Debian(init, places["changes"])
        stack.enter_context(_network(init, directory))
        machine.run("systemctl is-system-running --wait", code=None)
        yield machine


def _systemd(pid):
    """The id of the machine's systemd, or None before it accepts commands."""
    for child in children(pid):
        with contextlib.suppress(OSError):
            if (
                Path(f"/proc/{child}/comm").read_text() == "systemd\n"
                and Path(f"/proc/{child}/root/run/systemd/private").exists()
            ):
                return child
    return None


@contextlib.contextmanager
def _network(init, directory):
    """Connect the machine to the network of this machine, but not to its loopback interface."""
    ready, write = os.pipe()
    with (directory / "network.log").open("w") as log, os.fdopen(ready, "rb") as until:
        process = subprocess.Popen(
            [
                *(program("slirp4netns", "slirp4netns"), "--configure", "--mtu=65520"),
                *("--disable-host-loopback", f"--ready-fd={write}", str(init), "tap0"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[write],
        )
        os.close(write)
        try:
            if until.read(1) != b"1":
                pytest.fail(f"slirp4netns: {(directory / 'network.log').read_text()}")
            yield
        finally:
            process.kill()
            process.wait()


def _leave(scripts):
    """Remove the machine's cgroups, once its processes have ended."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        finished = subprocess.run(
            ["unshare", "--mount", "bash", "-c", _LEAVE.format(**scripts)],
            capture_output=True,
            check=False,
        )
        if finished.returncode == 0:
            return
        time.sleep(0.1)


@pytest.fixture
def debian(request):
    """Starts machines: ``debian(*layers)`` returns one that is on until the test ends."""
    with contextlib.ExitStack() as stack:

        def start(*layers):
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anchor-d-")))
            directory.chmod(0o755)
            return stack.enter_context(fresh_debian(directory / "machine", *layers))

        yield start
