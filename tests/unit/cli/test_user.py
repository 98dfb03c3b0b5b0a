"""``anchor user`` changes a users file: in one step, and without touching other lines."""

from __future__ import annotations

import getpass
import io
import json
import os
import subprocess
import sys
import threading

import pytest

from anchor.auth.users_file import UsersFile
from anchor.cli import main, users_editing
from anchor.errors import ConfigurationError, NotAuthenticated
from tests.support.users import SECRET, user_line, write_users


@pytest.fixture
def path(tmp_path):
    """A users file that does not exist yet."""
    return tmp_path / "users.jsonl"


@pytest.fixture
def run(path, capsys):
    """Runs ``anchor user`` with --file; returns its output and its errors."""

    def run(*words, code=0):
        assert main.main(["user", *map(str, words), "--file", str(path)]) == code
        return capsys.readouterr()

    return run


def accepts(path, user, secret):
    """Whether the service accepts the credentials."""
    try:
        return UsersFile(path).authenticate(user, secret).username == user
    except NotAuthenticated:
        return False


def test_a_new_user_has_the_secret_that_is_printed_once(run, path):
    printed = run("add", "web1")

    secret = printed.out.rstrip("\n")
    assert len(secret) == 43
    assert secret not in printed.err
    assert secret not in path.read_text()
    assert accepts(path, "web1", secret)
    assert not accepts(path, "web1", secret + "x")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_user_has_the_groups_and_names_of_the_options(run, path):
    names = ["web1.example.com", "192.0.2.1", "spiffe://example.com/web1"]
    options = [word for name in names for word in ("--name", name)]
    secret = run("add", "web1", "--group", "web", "--group", "b b", *options).out.strip()

    identity = UsersFile(path).authenticate("web1", secret)

    assert identity.groups == ("web", "b b")
    assert identity.allowed_names == tuple(names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tk_aaaabbbbccccdddd"], "form of a token's identifier"),
        ([""], "1 to 256 characters"),
        (["a:b"], "colon"),
        (["web1\n"], "control characters"),
        (["\udcff"], "is not UTF-8 text"),
        (["web1", "--group", ""], "1 to 256 characters"),
        (["web1", "--name", "%.example.com"], "no pattern"),
        (["web1", "--name", "10.0.0.0/8"], "is a range"),
    ],
)
def test_wrong_values_are_refused_before_a_secret_is_asked_for(run, path, words, message):
    printed = run("add", "--prompt", *words, code=1)

    assert message in printed.err
    assert printed.out == ""
    assert not path.exists()


@pytest.mark.parametrize("name", ["web1", "WEB1", "web1\u0301"])
def test_a_user_is_not_added_twice(run, path, name):
    secret = run("add", "web1").out.strip()
    before = path.read_bytes()

    printed = run("add", name, code=1)

    assert f"{path}: " in printed.err
    assert printed.out == ""
    assert path.read_bytes() == before
    assert accepts(path, "web1", secret)


def test_the_secret_can_come_from_a_private_file(run, path, tmp_path):
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)

    printed = run("add", "web1", "--secret-file", file)

    assert printed.out == f"{path}: added web1\n"
    assert SECRET not in printed.err
    assert accepts(path, "web1", SECRET)


def test_the_secret_can_come_from_standard_input(run, path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{SECRET}\n".encode())))

    run("add", "web1", "--secret-file", "-")

    assert accepts(path, "web1", SECRET)


def test_the_secret_can_be_typed_twice(run, path, monkeypatch):
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: SECRET)

    run("add", "web1", "--prompt")

    assert accepts(path, "web1", SECRET)


def test_a_typing_error_adds_nothing(run, path, monkeypatch):
    typed = iter([SECRET, SECRET + "x"])
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(typed))

    assert run("add", "web1", "--prompt", code=1).err == "anchor: the two secrets differ\n"
    assert not path.exists()


def no_terminal(_prompt):
    raise EOFError


def test_without_a_terminal_a_prompt_is_an_error(run, monkeypatch):
    monkeypatch.setattr(getpass, "getpass", no_terminal)

    assert "the input ended" in run("add", "web1", "--prompt", code=1).err


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        (b"hunter2", "the secret has 7 characters, and should have 12 to 16384"),
        (b"", "the secret has 0 characters"),
        (b"x" * 16385, "the secret has 16385 characters"),
        (b"x" * 70000, "characters, and should have"),
        (b"\xff" * 20, "is not UTF-8 text"),
        (b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "form of a JWT"),
    ],
)
def test_a_secret_that_could_be_guessed_or_not_be_used_is_refused(
    run, path, monkeypatch, secret, message
):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(secret)))

    printed = run("add", "web1", "--secret-file", "-", code=1)

    assert message in printed.err
    assert secret.decode("latin-1") not in printed.err or not secret
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o604, 0o660])
def test_a_secret_file_that_others_can_use_is_refused(run, tmp_path, mode):
    file = tmp_path / "secret"
    file.write_text(SECRET)
    file.chmod(mode)

    assert "must not read it" in run("add", "web1", "--secret-file", file, code=1).err


def test_no_option_takes_a_secret_as_its_value(run, path):
    with pytest.raises(SystemExit) as ended:
        run("add", "web1", "--secret", SECRET)

    assert ended.value.code == 2
    assert not path.exists()


LINES = (
    "# web servers\r",
    user_line("web1", groups=["web"]),
    "",
    f"  {user_line('web2')}\r",
    "# the end",
)


def test_other_lines_stay_byte_for_byte(run, path):
    write_users(path, *LINES)
    before = path.read_bytes()

    run("add", "web3")
    assert path.read_bytes().startswith(before)
    run("remove", "web3")
    assert path.read_bytes() == before
    run("set-secret", "web1")
    after = path.read_bytes().split(b"\n")
    assert after[:1] + after[2:] == before.split(b"\n")[:1] + before.split(b"\n")[2:]
    run("remove", "web2")
    assert path.read_bytes().split(b"\n") == after[:3] + after[4:]


def test_a_user_is_added_after_a_last_line_without_a_line_break(run, path):
    path.write_text(user_line("web1"))
    path.chmod(0o600)

    secret = run("add", "web2").out.strip()

    assert accepts(path, "web1", SECRET)
    assert accepts(path, "web2", secret)


def test_the_mode_of_the_file_and_a_link_to_it_stay(run, path, tmp_path):
    target = write_users(tmp_path / "real.jsonl", user_line("web1"), mode=0o640)
    path.symlink_to(target)

    run("add", "web2")

    assert path.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert set(tmp_path.iterdir()) == {path, target}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_and_the_group_of_the_file_stay(run, path):
    write_users(path, user_line("web1"), mode=0o640)
    os.chown(path, 1234, 4321)

    run("add", "web2")

    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_empty_file_that_an_operator_made_gets_its_first_user(run, path):
    path.touch(mode=0o640)

    secret = run("add", "web1").out.strip()

    assert accepts(path, "web1", secret)
    assert path.stat().st_mode & 0o777 == 0o640


def test_after_the_last_user_the_file_is_still_valid(run, path):
    write_users(path, user_line("web1"))

    run("remove", "web1")

    assert not accepts(path, "web1", SECRET)
    assert run("list").out == f"{path} has no users\n"


@pytest.mark.parametrize("command", ["remove", "set-secret"])
def test_a_user_that_does_not_exist_cannot_be_changed(run, path, command):
    write_users(path, user_line("web1"))
    before = path.read_bytes()

    assert run(command, "WEB1", code=1).err == f"anchor: {path}: there is no user 'WEB1'\n"
    assert path.read_bytes() == before


def test_a_new_secret_replaces_the_old_one(run, path):
    write_users(path, user_line("web1", groups=["web"], names=["web1.example.com"]))

    secret = run("set-secret", "web1").out.strip()

    assert accepts(path, "web1", secret)
    assert not accepts(path, "web1", SECRET)
    identity = UsersFile(path).authenticate("web1", secret)
    assert (identity.groups, identity.allowed_names) == (("web",), ("web1.example.com",))


def test_the_old_secret_can_stay_in_force_until_it_is_dropped(run, path):
    write_users(path, user_line("web1"))

    first = run("set-secret", "web1", "--keep-old").out.strip()
    assert accepts(path, "web1", SECRET)
    assert accepts(path, "web1", first)

    second = run("set-secret", "web1", "--keep-old").out.strip()
    assert [accepts(path, "web1", each) for each in (SECRET, first, second)] == [False, True, True]

    printed = run("set-secret", "web1", "--drop-old")
    assert printed.out == f"{path}: web1 has only the newest secret\n"
    assert [accepts(path, "web1", each) for each in (first, second)] == [False, True]


def test_no_secret_is_both_kept_and_dropped(run, path):
    write_users(path, user_line("web1"))

    assert "exclude each other" in run("set-secret", "web1", "--drop-old", "--keep-old", code=1).err


def test_the_list_has_everything_but_secrets(run, path):
    write_users(path, user_line("web1", groups=["web"], names=["web1.example.com"]), user_line("é"))

    listed = [json.loads(line) for line in run("list", "--json").out.splitlines()]

    assert listed == [
        {"user": "web1", "groups": ["web"], "names": ["web1.example.com"], "secrets": 1},
        {"user": "é", "groups": [], "names": None, "secrets": 1},
    ]
    assert run("list").out == "web1, in web: web1.example.com\n\\xe9: any name of the policy\n"


@pytest.mark.parametrize("words", [["add", "b"], ["remove", "a"], ["set-secret", "a"], ["list"]])
def test_a_broken_file_is_not_changed_and_its_line_is_named(run, path, words):
    write_users(path, user_line("a"), "{")
    before = path.read_bytes()

    printed = run(*words, code=1)

    assert f"{path}, line 2: is not JSON" in printed.err
    assert (printed.out, path.read_bytes()) == ("", before)


@pytest.mark.parametrize("words", [["add", "b"], ["list"]])
def test_a_file_that_others_can_read_is_refused(run, path, words):
    write_users(path, user_line("a"), mode=0o644)

    assert "chmod 640" in run(*words, code=1).err


@pytest.mark.parametrize("words", [["remove", "a"], ["set-secret", "a"], ["list"]])
def test_a_file_that_does_not_exist_is_made_only_by_add(run, path, words):
    assert f"{path}: cannot be read: No such file" in run(*words, code=1).err
    assert not path.exists()


def test_a_change_by_an_editor_meanwhile_is_not_overwritten(path, tmp_path):
    write_users(path, user_line("web1"))

    def edit():
        with users_editing.editing(path) as text:
            text.append(user_line("web2").encode() + b"\n")
            write_users(path, user_line("web3"))

    with pytest.raises(ConfigurationError, match="changed by another program"):
        edit()

    assert accepts(path, "web3", SECRET)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_crash_before_the_rename_leaves_the_old_file(run, path, monkeypatch):
    write_users(path, user_line("web1"))
    before = path.read_bytes()

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(users_editing.files, "write_new", fail)

    assert "No space left on device" in run("add", "web2", code=1).err
    assert path.read_bytes() == before


def test_a_command_waits_for_another_and_gives_up(run, path, monkeypatch):
    write_users(path, user_line("web1"))
    monkeypatch.setattr(users_editing, "TIMEOUT", 0.1)

    with users_editing.editing(path):
        assert "try again later" in run("add", "web2", code=1).err


@pytest.mark.slow
def test_two_commands_at_once_lose_no_user(path):
    program = "import sys; from anchor.cli.main import main; sys.exit(main(sys.argv[1:]))"
    codes = []

    def add(number):
        command = [sys.executable, "-c", program, "user", "add", f"web{number}", "--file", path]
        codes.append(subprocess.run(command, capture_output=True, check=False).returncode)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert codes == [0] * 6
    users = users_editing.UsersText(path.read_bytes()).users()
    assert sorted(users) == [f"web{number}" for number in range(6)]


# Which file.


@pytest.fixture
def configured(document, tmp_path, capsys, monkeypatch):
    """Runs ``anchor user`` with a configuration whose ``authentication`` is given."""

    def configured(authentication, *words, code=0):
        document["authentication"] = authentication
        (tmp_path / "config.json").write_text(json.dumps(document))
        config = ["--config", str(tmp_path / "config.json")]
        assert main.main(["user", *words, *config]) == code
        return capsys.readouterr()

    return configured


A = {"backend": "static", "users_file": "a.jsonl"}
B = {"backend": "static", "users_file": "b.jsonl"}
ONE = {"backend": "static", "user": "alice", "secret": "x"}


def test_the_only_users_file_of_the_configuration_is_meant(configured, tmp_path):
    configured({"one": ONE, "a": A, "same": A}, "add", "web1")

    assert "web1" in (tmp_path / "a.jsonl").read_text()


def test_of_several_users_files_one_has_to_be_chosen(configured, tmp_path):
    message = configured({"a": A, "b": B}, "add", "web1", code=1).err
    configured({"a": A, "b": B}, "add", "web1", "--authentication", "b")

    assert "Choose with --authentication: a, b" in message
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["b.jsonl"]


@pytest.mark.parametrize("words", [[], ["--authentication", "one"], ["--authentication", "no"]])
def test_an_authentication_without_a_users_file_is_an_error(configured, words):
    message = configured({"one": ONE}, "list", *words, code=1).err

    assert "'users_file'" in message
