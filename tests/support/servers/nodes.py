"""Network namespaces as nodes of a private network, with a bridge between them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.servers.processes import program, wait_for

# The namespaces are not connected to this machine's network, so several networks can use it.
_NETWORK = "10.77.0"


@dataclass(frozen=True)
class Node:
    """A node with an address; it has this machine's files and no other network.

    Attributes:
        namespace: the name of the network namespace.
        address: the node's IPv4 address.
        switch: the namespace of the bridge.
        port: the node's port of the bridge.
    """

    namespace: str
    address: str
    switch: str
    port: str

    @property
    def command(self):
        """A command that runs another command in this node."""
        return (program("ip", "iproute2"), "netns", "exec", self.namespace)

    def run(self, *arguments, check=True, timeout=60):
        """Run a command in this node, and return its exit code and output."""
        finished = subprocess.run(
            [*self.command, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check:
            assert finished.returncode == 0, f"{arguments}: {finished.stdout}{finished.stderr}"
        return finished

    @contextlib.contextmanager
    def entered(self):
        """Let this thread use the network of this node; its sockets stay there after the block."""
        own, other = Path("/proc/thread-self/ns/net"), Path("/run/netns") / self.namespace
        with own.open("rb") as back, other.open("rb") as there:
            _set_namespace(there)
            try:
                yield
            finally:
                _set_namespace(back)

    def disconnect(self):
        """Cut the node off from the other nodes; packets are lost without an error."""
        _ip("-n", self.switch, "link", "set", self.port, "nomaster")

    def connect(self):
        """Connect the node again."""
        _ip("-n", self.switch, "link", "set", self.port, "master", "switch")


@contextlib.contextmanager
def nodes(count):
    """Nodes that can reach each other; their processes are killed at the end of the block.

    Args:
        count: the number of nodes, at most 250.
    """
    name = f"anchor-{uuid.uuid4().hex[:8]}"
    with contextlib.ExitStack() as stack:
        switch = stack.enter_context(_namespace(f"{name}-switch"))
        _ip("-n", switch, "link", "add", "switch", "up", "type", "bridge")
        made = []
        for number in range(1, count + 1):
            namespace = stack.enter_context(_namespace(f"{name}-{number}"))
            node = Node(namespace, f"{_NETWORK}.{number}", switch, f"port{number}")
            peer = ("peer", "name", "eth0", "netns", namespace)
            _ip("-n", switch, "link", "add", node.port, "type", "veth", *peer)
            _ip("-n", switch, "link", "set", node.port, "master", "switch", "up")
            _ip("-n", namespace, "address", "add", f"{node.address}/24", "dev", "eth0")
            _ip("-n", namespace, "link", "set", "eth0", "up")
            # Without an answer to ARP, the kernel would report an error after three seconds.
            for probes in ("mcast_solicit", "mcast_resolicit"):
                node.run("sysctl", "--write", f"net.ipv4.neigh.eth0.{probes}=1000")
            made.append(node)
        yield made


@contextlib.contextmanager
def _namespace(name):
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        try:
            wait_for(lambda: not _kill_processes(name), what=f"the processes in {name} to end")
        finally:
            _ip("netns", "delete", name)


def _set_namespace(file):
    """Let this thread use the network namespace of an open file; Python 3.12 has os.setns."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(file.fileno(), 0):
        pytest.fail(f"setns {file.name}: {os.strerror(ctypes.get_errno())}")


def _kill_processes(namespace):
    """Kill the processes in the namespace, and return their ids."""
    found = [int(pid) for pid in _ip("netns", "pids", namespace).split()]
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def _ip(*arguments):
    finished = subprocess.run(
        [program("ip", "iproute2"), *arguments], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        pytest.fail(f"ip {' '.join(arguments)}: {finished.stderr}")
    return finished.stdout
