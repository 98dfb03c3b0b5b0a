"""A Linux of our own with AppArmor in its kernel: Debian's user-mode-linux.

Its root is this machine's, read-only; what is to be written goes to a tmpfs on /run.
"""

from __future__ import annotations

import subprocess

import pytest

from tests.support.servers.processes import program

_INIT = """#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc
# The kernel would leave out what AppArmor denies, after a few lines.
echo 0 >/proc/sys/kernel/printk_ratelimit
mount -t sysfs sysfs /sys
mount -t securityfs securityfs /sys/kernel/security
mount -t tmpfs tmpfs /run
ip link set lo up
sh {script} </dev/null 2>&1
echo "script ended with $?"
dmesg | grep DENIED
echo o >/proc/sysrq-trigger
sleep 60
"""


def boot(directory, script):
    """What a shell script prints in there, followed by what the kernel denied.

    Args:
        directory: for the script.
        script: runs as root.
    """
    return _boot(directory, script, _INIT)


def _boot(directory, script, first):
    (directory / "script.sh").write_text(script)
    init = directory / "init.sh"
    init.write_text(first.format(script=directory / "script.sh"))
    init.chmod(0o755)
    kernel = program("linux.uml", "user-mode-linux")
    try:
        finished = subprocess.run(
            [
                *(kernel, "mem=768M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"),
                *("quiet", f"init={init}", "lsm=apparmor", "apparmor=1", "con=null"),
                *("con0=fd:0,fd:1", "ssl=null", f"uml_dir={directory}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"user-mode Linux did not end: {(error.stdout or b'')[-4000:].decode()}")
    return finished.stdout.decode("utf-8", "replace").replace("\r", "")


# systemd has to be the first process.  What it and a script write goes to a tmpfs.
_SYSTEMD_INIT = """#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
# The kernel would leave out what AppArmor denies, after a few lines.
echo 0 >/proc/sys/kernel/printk_ratelimit
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
cp -a /etc /run/etc && mount --bind /run/etc /etc
for place in /opt /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs $place; done
ip link set lo up
mkdir -p /run/systemd/system
cat >/run/systemd/system/script.target <<END
[Unit]
Requires=script.service
END
cat >/run/systemd/system/script.service <<END
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
ExecStart=/bin/sh {script}
ExecStopPost=/bin/sh -c 'echo "script ended with \\$EXIT_STATUS"; echo o >/proc/sysrq-trigger'
END
exec /lib/systemd/systemd --system --unit=script.target --log-target=null --show-status=no
"""


def boot_systemd(directory, script):
    """What a shell script prints in there, when systemd is what was booted.

    ``/etc``, ``/opt``, ``/run``, ``/var/lib`` and ``/var/log`` can be written.

    Args:
        directory: for the script.
        script: runs as root.
    """
    return _boot(directory, script, _SYSTEMD_INIT)
