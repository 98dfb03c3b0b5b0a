"""The client uses no path that another user could have changed."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import struct

import pytest

from anchor.client import files, trust
from anchor.client import tracking as tracked
from anchor.client.daemon import Daemon
from anchor.client.renewal import Renewer
from anchor.client.tracking import StateDirectory

# Only root can change the owner of files.
NOBODY = pwd.getpwnam("nobody").pw_uid
STAFF = grp.getgrnam("staff").gr_gid


@pytest.fixture
def hook(tmp_path):
    """A hook in a separate directory, which creates a file when it runs."""
    directory = tmp_path / "hooks"
    directory.mkdir(mode=0o755)
    path = directory / "hook"
    path.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def tracking(machine, hook, tmp_path, https_anchor):
    """A machine with a certificate and a hook that runs at the next renewal."""
    assert 0 == machine.request("www.example.com", "--hook", hook)
    (tmp_path / "ran").unlink()
    machine.force_renewal_due()
    https_anchor.requests.clear()
    return machine


def owned_by_another(path):
    os.chown(path, NOBODY, -1, follow_symlinks=False)


def writable_by_everyone(path):
    path.chmod(0o777)


def writable_by_its_group(path):
    path.chmod(0o775)
    os.chown(path, -1, STAFF)


def writable_by_the_group_of_root(path):
    path.chmod(0o775)


def sticky_and_owned_by_another(path):
    path.chmod(0o1777)
    owned_by_another(path)


UNSAFE_CHANGES = [
    owned_by_another,
    writable_by_everyone,
    writable_by_its_group,
    writable_by_the_group_of_root,
]


@pytest.mark.slow
@pytest.mark.parametrize("make_unsafe", UNSAFE_CHANGES)
@pytest.mark.parametrize(
    "location",
    [
        "state",
        "state/tracked",
        "state/tracked/www.example.com.json",
        "state/certificates",
        "state/certificates/www.example.com",
        "state/certificates/www.example.com/versions",
        "client.json",
        "tls",
        "tls/ca.crt",
    ],
)
def test_files_that_another_user_can_write_prevent_the_run(
    tracking, tmp_path, https_anchor, capsys, make_unsafe, location
):
    path = tmp_path / location
    if location == "tls/ca.crt":
        path = https_anchor.tls.ca.cert_path
    make_unsafe(path)
    first = tracking.certificate()

    assert 1 == tracking.renew("--force")

    err = capsys.readouterr().err
    assert f"{path} is " in err
    assert "owner " in err
    assert "mode 0" in err
    assert "should be owned by root and have mode 0" in err
    assert not (tmp_path / "ran").exists()
    assert [] == https_anchor.requests
    assert first == tracking.certificate()

    os.chown(path, 0, 0)
    path.chmod(path.stat().st_mode & 0o755)
    assert 0 == tracking.renew("--force")
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("make_unsafe", [*UNSAFE_CHANGES, sticky_and_owned_by_another])
def test_every_parent_directory_is_checked(tracking, tmp_path, https_anchor, capsys, make_unsafe):
    make_unsafe(tmp_path)

    assert 1 == tracking.renew("--force")

    assert f"{tmp_path} is " in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert [] == https_anchor.requests


def test_a_sticky_parent_directory_is_accepted(tracking, tmp_path):
    tmp_path.chmod(0o1777)

    assert 0 == tracking.renew("--force")

    assert (tmp_path / "ran").exists()


def test_a_state_directory_is_not_shared_even_if_it_is_sticky(tracking, capsys):
    tracking.state.chmod(0o1777)

    assert 1 == tracking.renew("--force")

    assert f"{tracking.state} is writable by everyone" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("make_unsafe", UNSAFE_CHANGES)
@pytest.mark.parametrize("location", ["hook", "its directory", "a link on the way", "its script"])
def test_a_hook_that_another_user_can_change_is_not_run(
    machine, hook, tmp_path, capsys, make_unsafe, location
):
    command, path = str(hook), hook
    if location == "its directory":
        path = hook.parent
    elif location == "a link on the way":
        link = tmp_path / "link"
        link.symlink_to(hook.parent)
        command, path = str(link / "hook"), hook.parent
    elif location == "its script":
        command = f"/bin/sh -e {hook}"
    assert 0 == machine.request("www.example.com", "--hook", command)
    (tmp_path / "ran").unlink()
    make_unsafe(path)

    assert 3 == machine.renew("--force")

    err = capsys.readouterr().err
    assert f"the hook was not run: {path} is " in err
    assert not (tmp_path / "ran").exists()
    assert 1 == machine.request("www.example.com", "--hook", command)
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def script(tmp_path):
    """A script in a world-writable directory, and scripts that run it as their interpreter."""
    directory = tmp_path / "open"
    directory.mkdir()
    directory.chmod(0o777)
    script = directory / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (directory / "data").write_text(":\n")
    for name, line in (
        ("interpreted", f"#!{script}"),
        ("through-env", f"#!/usr/bin/env -S sh {directory}/data"),
        ("twice", f"#!{tmp_path}/interpreted"),
    ):
        (tmp_path / name).write_text(f"{line}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "shell").symlink_to("/bin/sh")
    return script


@pytest.mark.parametrize(
    "command",
    [
        "{open}/script",
        "{tmp}/interpreted",
        "{tmp}/through-env",
        "{tmp}/twice",
        "{tmp}/shell {open}/data",
        "sh {open}/data",
        "sh --norc -e {open}/data argument",
        "python3 -u {open}/data",
        "env -i A=1 python3.11 {open}/data",
        "nice -n 5 timeout 9 sh {open}/data",
        "busybox sh {open}/data",
        "sh -c {open}/script",
        "sh -c '{open}/script argument'",
        "sh -c 'true;. {open}/data'",
        "bash -ec 'true && source {open}/data'",
        "sh -c 'A=1 exec {open}/script'",
        "sh -c 'echo $({open}/script)'",
        "sh -c 'echo `{open}/script`'",
        "nice {open}/script",
        "timeout 5 {open}/script",
        "flock /run/lock/x {open}/script",
        "sudo -u root -- {open}/script",
        "su root -c '{open}/script now'",
        "unknown-program --exec={open}/script",
        "run-parts {open}",
    ],
)
def test_every_program_that_a_command_runs_is_checked(script, tmp_path, command):
    words = shlex.split(command.format(tmp=tmp_path, open=script.parent))

    with pytest.raises(trust.Untrusted, match=f"{script.parent} is writable by everyone"):
        trust.require_command(words)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "systemctl reload nginx",
        "install -o nobody -m 600 {open}/data /tmp",
        "env A=1 install -m 600 /etc/hostname {open}/data",
        "busybox cp /etc/hostname {open}/data",
        "timeout 5 cp /etc/hostname {open}/data",
        "sh -c 'cat /etc/hostname > {open}/data'",
        "sh -ec true {open}/data",
        "python3 -c pass {open}/data",
        "sh -c 'echo unfinished \"'",
        "sh -c '" + "true; " * 2000 + "'",
        "nginx -s reload -c {open}/data",
        "missing {open}/missing",
        "{open}/../shell -c true",
    ],
)
def test_files_that_a_command_only_reads_or_writes_are_not_checked(script, tmp_path, command):
    if "{open}/.." in command:
        script.parent.chmod(0o755)
    words = shlex.split(command.format(tmp=tmp_path, open=script.parent))

    trust.require_command(words)


def test_a_named_pipe_as_a_hook_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    trust.require_command([str(tmp_path / "pipe")])


def test_a_hook_from_the_path_is_checked_too(machine, hook, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", f"{hook.parent}:{os.environ['PATH']}")
    assert 0 == machine.request("www.example.com", "--hook", "hook")
    (tmp_path / "ran").unlink()
    writable_by_everyone(hook.parent)

    assert 3 == machine.renew("--force")

    assert f"{hook.parent} is writable by everyone" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_a_link_that_another_user_made_is_not_followed(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    target = tmp_path / "target"
    target.mkdir()
    (shared / "link").symlink_to(target)
    trust.require(shared / "link" / "state")

    owned_by_another(shared / "link")

    with pytest.raises(trust.Untrusted, match=r"link is owned by nobody"):
        trust.require(shared / "link" / "state")


def test_each_link_of_a_chain_is_checked(tmp_path):
    for name in ("a", "b", "end"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "one").symlink_to("../b/two")
    (tmp_path / "b" / "two").symlink_to(tmp_path / "end" / ".." / "end")
    path = tmp_path / "a" / "one" / "file"
    trust.require(path)

    for directory in ("b", "end"):
        writable_by_everyone(tmp_path / directory)
        with pytest.raises(trust.Untrusted, match=f"{directory} is writable by everyone"):
            trust.require(path)
        (tmp_path / directory).chmod(0o755)


def test_circular_links_are_rejected(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(trust.Untrusted, match="symbolic links"):
        trust.require(tmp_path / "a")


def test_the_secret_command_is_checked(machine, https_anchor, hook, capsys):
    machine.config = https_anchor.client_json(secret_file=None, secret_command=[str(hook)])
    owned_by_another(hook)

    assert 1 == machine.request("www.example.com")

    assert f"secret_command: {hook} is owned by nobody" in capsys.readouterr().err
    assert not (hook.parent.parent / "ran").exists()


@pytest.mark.parametrize("command", [["list"], ["forget", "www.example.com"]])
def test_no_command_uses_a_state_directory_of_another(tracking, capsys, command):
    writable_by_everyone(tracking.state / "tracked")

    assert 1 == tracking.run(*command)

    assert "tracked is writable by everyone" in capsys.readouterr().err
    assert (tracking.state / "tracked" / "www.example.com.json").exists()


def test_the_daemon_exits_if_another_user_owns_the_state_directory(tracking, capsys):
    owned_by_another(tracking.state)

    for option in ((), ("--quiet",), ("--json",)):
        assert 1 == tracking.renew("--daemon", *option)
        assert f"{tracking.state} is owned by nobody" in capsys.readouterr().err


def test_the_daemon_notices_later_changes_of_permissions(tracking, https_anchor, tmp_path):
    messages = []
    renewer = Renewer(StateDirectory(tracking.state), lambda _line: None)
    daemon = Daemon(renewer, messages.append, messages.append)
    writable_by_everyone(tracking.state / "tracked")

    daemon.cycle()

    assert "tracked is writable by everyone" in messages[0]
    assert [] == https_anchor.requests
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def as_daemon(monkeypatch):
    """Run as a user that has a group of the same name."""
    user = pwd.getpwnam("daemon")
    monkeypatch.setattr(os, "geteuid", lambda: user.pw_uid)
    return user


def test_a_user_trusts_a_group_of_the_same_name_but_no_access_list(as_daemon, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, as_daemon.pw_uid, as_daemon.pw_gid)
    state.chmod(0o775)
    trust.require(state / "tracked")

    # user::rwx user:nobody:rwx group::r-x mask::rwx other::r-x, see acl(5).
    entries = [(1, 7, -1), (2, 7, NOBODY), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
    packed = b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(state, "system.posix_acl_access", struct.pack("<I", 2) + packed)

    with pytest.raises(trust.Untrusted, match="users or groups on its access control list"):
        trust.require(state / "tracked")


@pytest.mark.parametrize("which", ["state", "directory"])
def test_a_directory_that_another_user_created_meanwhile_is_not_used(
    machine, hook, tmp_path, https_anchor, capsys, monkeypatch, which
):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    machine.state = shared / "state" if which == "state" else machine.state
    options = ["--directory", shared / "state"] if which == "directory" else []
    make_directory = files.make_directory

    def another_was_faster(path):
        if not (shared / "state").exists():
            (shared / "state").mkdir()
            owned_by_another(shared / "state")
        make_directory(path)

    monkeypatch.setattr(files, "make_directory", another_was_faster)

    assert 1 == machine.request("www.example.com", "--hook", hook, *options)

    assert f"{shared / 'state'} is owned by nobody" in capsys.readouterr().err
    assert [] == https_anchor.requests
    assert [] == list(shared.rglob("*.pem"))
    assert not (tmp_path / "ran").exists()


def test_directories_are_created_private_for_any_umask(machine):
    before = os.umask(0)
    try:
        assert 0 == machine.request("www.example.com")
        assert 0 == machine.renew("--force")
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("members", "name", "fine"),
    [([], "alice", True), (["alice"], "alice", True), (["bob"], "alice", False), ([], "x", False)],
)
def test_only_a_private_group_of_the_user_is_accepted(tmp_path, monkeypatch, members, name, fine):
    # Real users and groups would change the machine.
    user = pwd.struct_passwd(("alice", "x", 4711, 4711, "", "/", "/bin/sh"))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: user)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((name, "x", gid, members)))
    path = tmp_path / "state"
    path.mkdir()
    path.chmod(0o775)
    os.chown(path, 4711, 4711)

    if fine:
        trust.require(path)
    else:
        with pytest.raises(trust.Untrusted, match="writable by the group"):
            trust.require(path)


@pytest.mark.parametrize(
    ("tracked_in", "owner", "expected"),
    [
        ([], 0, "anchor-client"),
        (["anchor"], 0, "anchor"),
        (["anchor"], NOBODY, "anchor-client"),
        (["anchor", "anchor-client"], 0, "anchor-client"),
    ],
)
def test_the_former_state_directory_of_root_is_still_used(tmp_path, tracked_in, owner, expected):
    for name in tracked_in:
        (tmp_path / name / "tracked").mkdir(parents=True)
        os.chown(tmp_path / name / "tracked", owner, -1)

    assert tmp_path / expected == tracked._roots_directory(tmp_path)
