"""A Linux kernel with AppArmor, as a process: Debian's user-mode-linux.

Its root file system is this machine's, read-only.  A tmpfs on /run can be written.
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
    """Run a shell script as root; return its output and the kernel's messages about denied access.

    Args:
        directory: for the file with the script.
        script: the script.
    """
    (directory / "script.sh").write_text(script)
    init = directory / "init.sh"
    init.write_text(_INIT.format(script=directory / "script.sh"))
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
