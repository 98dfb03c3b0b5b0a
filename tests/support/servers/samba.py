"""Samba as an Active Directory domain controller, provisioned once and kept in .cache/."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import ldap3
import pytest

from tests.support.paths import CACHE
from tests.support.pki import make_ca
from tests.support.servers.certificates import make_server_certificate
from tests.support.servers.processes import listens, program, running

DOMAIN = "ad.example.com"
BASE = "DC=ad,DC=example,DC=com"
HOST = f"dc1.{DOMAIN}"
_ADMIN_PASSWORD = "Adm1n-Passw0rd!"

_CONFIGURATION = """
[global]
netbios name = DC1
workgroup = AD
realm = {realm}
server role = active directory domain controller
private dir = {directory}/private
state directory = {directory}/state
cache directory = {directory}/cache
lock directory = {directory}/lock
pid directory = {directory}/pid
binddns dir = {directory}/bind
ncalrpc dir = {directory}/ncalrpc
log file = {directory}/samba.log
interfaces = {address}/8
bind interfaces only = yes
server services = ldap
tls enabled = yes
tls keyfile = {directory}/server.key
tls certfile = {directory}/server.crt
tls cafile = {directory}/ca.crt

[sysvol]
path = {directory}/state/sysvol

[netlogon]
path = {directory}/state/sysvol/{domain}/scripts
"""

# The entries of the directory, as arguments of samba-tool.
_RECIPE = (
    ("ou", "create", "OU=Groups"),
    ("user", "create", "alice", "Al1ce-Passw0rd!"),
    ("user", "create", "bob", "B0b-Passw0rd!"),
    ("user", "create", "mallory", "Mall0ry-Passw0rd!"),
    ("user", "disable", "mallory"),
    ("user", "create", "eve", "Ev3-Passw0rd!"),
    ("user", "setexpiry", "eve", "--days=-1"),
    # A bind as someone@ad.example.com authenticates trent.
    ("user", "create", "trent", "Tr3nt-Passw0rd!"),
    ("user", "rename", "trent", "--upn=someone@ad.example.com"),
    ("group", "add", "Nova", "--groupou=OU=Groups"),
    ("group", "add", "Operators", "--groupou=OU=Groups"),
    ("group", "add", "Everyone here", "--groupou=OU=Groups"),
    ("group", "add", "Elsewhere"),
    ("group", "addmembers", "Nova", "alice"),
    ("group", "addmembers", "Operators", "Nova"),
    ("group", "addmembers", "Everyone here", "Operators"),
    ("group", "addmembers", "Elsewhere", "alice"),
)


@dataclass(frozen=True)
class Samba:
    """A running domain controller."""

    address: str
    ca_file: Path

    @contextlib.contextmanager
    def administration(self):
        """A connection of the administrator, by ldap3."""
        server = ldap3.Server(self.address, 636, use_ssl=True, get_info=ldap3.NONE)
        name = f"Administrator@{DOMAIN}"
        with ldap3.Connection(server, name, _ADMIN_PASSWORD, raise_exceptions=True) as connection:
            yield connection

    def add_user(self, connection, user, password):
        """Add a user, and return the DN."""
        dn = f"CN={user},CN=Users,{BASE}"
        values = {
            "sAMAccountName": user,
            "unicodePwd": f'"{password}"'.encode("utf-16-le"),
            "userAccountControl": "512",
        }
        connection.add(dn, "user", values)
        return dn

    def options(self, **changes):
        """The required options of the LDAP backend, and changes to them."""
        return {
            "backend": "ldap",
            "host": self.address,
            "base": BASE,
            "domain": DOMAIN,
            "ca_file": str(self.ca_file),
        } | changes


@pytest.fixture(scope="session")
def samba(tmp_path_factory):
    """An Active Directory with users and groups, on ports 389 and 636."""
    directory = tmp_path_factory.mktemp("samba")
    shutil.copytree(_provisioned(), directory, dirs_exist_ok=True, symlinks=True)
    address = _spare_address()
    ca = make_ca(directory, name="ca")
    make_server_certificate(directory, ca, HOST, "localhost", address)
    configuration = _configure(directory, address)
    command = [
        program("samba", "samba-ad-dc"),
        f"--configfile={configuration}",
        "-F",
        "--no-process-group",
    ]
    command += ["-M", "single", "--debug-stdout", "-d1"]
    with running(command, log=directory / "samba.out", ready=lambda: listens(636, address)):
        yield Samba(address, ca.cert_path)


def _configure(directory, address):
    for name in ("private", "state", "cache", "lock", "pid", "bind", "ncalrpc", "etc"):
        (directory / name).mkdir(exist_ok=True)
    configuration = directory / "etc/smb.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            directory=directory, address=address, domain=DOMAIN, realm=DOMAIN.upper()
        )
    )
    return configuration


def _spare_address():
    """A loopback address whose LDAP ports are free; Samba's ports are fixed."""
    for number in range(10, 250):
        address = f"127.0.{os.getpid() % 250}.{number}"
        if not (listens(389, address) or listens(636, address)):
            return address
    return pytest.fail("there is no loopback address with free ports")


def _provisioned():
    """The provisioned directory, which is made if there is none yet."""
    recipe = hashlib.sha256(repr((_CONFIGURATION, _RECIPE)).encode()).hexdigest()[:16]
    kept = CACHE / f"samba-{recipe}"
    if kept.is_dir():
        return kept
    tool = program("samba-tool", "samba-ad-dc")
    CACHE.mkdir(exist_ok=True)
    partial = CACHE / f"samba-{recipe}.{os.getpid()}"
    partial.mkdir()
    configuration = _configure(partial, "127.0.0.10")
    provision = [tool, "domain", "provision", f"--configfile={configuration}"]
    provision += [f"--realm={DOMAIN.upper()}", "--domain=AD", "--server-role=dc"]
    provision += ["--dns-backend=NONE", f"--adminpass={_ADMIN_PASSWORD}"]
    provision += ["--host-name=dc1", "--host-ip=127.0.0.10"]
    _run(provision)
    # samba-tool has overwritten the configuration.
    _configure(partial, "127.0.0.10")
    where = ["-H", f"{partial}/private/sam.ldb", f"--configfile={configuration}"]
    for arguments in _RECIPE:
        _run([tool, *arguments, *where])
    try:
        partial.rename(kept)
    except OSError:
        # Another run of the tests was first.
        shutil.rmtree(partial)
    return kept


def _run(command):
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)}: {done.stdout.decode(errors='replace')[-2000:]}")
