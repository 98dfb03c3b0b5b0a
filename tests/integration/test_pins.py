"""No process tries a refused PIN again, not even after a restart."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from anchor.ca.loading import load_signing_ca
from anchor.ca.pkcs11 import module as pkcs11_module
from anchor.ca.pkcs11 import pin_refusals
from anchor.cli.main import main
from anchor.errors import ConfigurationError, SigningError
from anchor.timestamps import utc_now
from anchor.X509.signing_request import X509Csr
from tests.support.pki import make_csr
from tests.support.servers.anchor import ROOT, arguments, serving
from tests.support.servers.processes import free_port, wait_for
from tests.support.servers.softhsm import MODULE, PIN

SPY = Path("/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so")
WRONG = "wrong-pin-4711"
# PKCS#11 2.40, 3.2: the flags of a token, and the attribute of SoftHSM that contains them.
COUNT_LOW, FINAL_TRY, LOCKED = 0x10000, 0x20000, 0x40000
SOFTHSM_FLAGS = bytes.fromhex("000000008000534b 0000000000000002".replace(" ", ""))


@pytest.fixture
def spied(softhsm, tmp_path, monkeypatch):
    """The number of logins through pkcs11-spy."""
    assert SPY.exists(), "the Debian package opensc-pkcs11 is needed"
    log = tmp_path / "spy.log"
    monkeypatch.setenv("PKCS11SPY", str(MODULE))
    monkeypatch.setenv("PKCS11SPY_OUTPUT", str(log))
    return lambda: len(re.findall(r"^\d+: C_Login$", log.read_text(), re.MULTILINE))


@pytest.fixture
def configure(document, softhsm, tmp_path):
    """Write a configuration and return its directory."""
    ca = softhsm.make_ca()

    def configure(**options):
        section = softhsm.section(ca, **{"pkcs11_path": str(SPY)} | options)
        document["signing_ca"]["local"] = section
        (tmp_path / "config.json").write_text(json.dumps(document))
        return tmp_path

    return configure


def ended(server, directory):
    """Start a server that must not start; return its exit code and its output."""
    port = free_port()
    config_py = directory / "config.py"
    text = (ROOT / "config.py").read_text().replace('"port": "5016"', f'"port": "{port}"')
    config_py.write_text(text)
    finished = subprocess.run(
        [str(word) for word in arguments(server, port, config_py)],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return finished.returncode, finished.stdout


@pytest.mark.parametrize(
    ("server", "status"),
    [("pecan", 77), ("anchor", 77), ("uwsgi", 77), ("uwsgi.ini", 77), ("gunicorn", 77)],
)
def test_a_wrong_pin_ends_each_server_after_one_attempt(configure, spied, server, status):
    code, printed = ended(server, configure(pin=WRONG))

    assert status == code, printed
    assert 1 == spied()
    assert "refuses the PIN: CKR_PIN_INCORRECT" in printed
    assert WRONG not in printed
    unit = (ROOT / "tools/systemd/anchor.service").read_text()
    assert re.search(r"^RestartPreventExitStatus=77$", unit, re.MULTILINE)


@pytest.mark.parametrize("server", ["pecan", "uwsgi.ini"])
def test_after_other_errors_a_restart_is_allowed(configure, server):
    code, printed = ended(server, configure(token_label="other"))

    assert 1 == code, printed


@pytest.mark.parametrize("server", ["uwsgi", "uwsgi.ini", "gunicorn"])
def test_workers_try_a_pin_that_became_wrong_once_together(configure, softhsm, spied, server):
    form = urlencode({"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": make_csr()})

    def post(url):
        try:
            return urllib.request.urlopen(url, form.encode(), timeout=60).status
        except urllib.error.HTTPError as error:
            return error.code

    with serving(server, configure()) as service, ThreadPoolExecutor(8) as pool:
        url = f"{service.url}/v1/sign/default"
        assert {200} == set(pool.map(post, [url] * 16))
        # Another PIN, and a token that was removed in between: all sessions are lost.
        change_pin(softhsm)
        softhsm.remove_tokens()
        assert 500 in set(pool.map(post, [url] * 32))
        before = spied()
        softhsm.insert_tokens()
        answers = list(pool.map(post, [url] * 32))
        log = service.log

    assert 500 in answers
    assert 1 >= spied() - before
    assert "has refused the PIN, which is not tried again" in log or 200 in answers
    assert PIN not in log


def test_a_reload_with_a_wrong_pin_tries_it_once_and_keeps_the_service(configure, spied):
    form = urlencode({"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": make_csr()})
    with serving("gunicorn", configure()) as service:
        configure(pin=WRONG)
        before = spied()
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "not reloaded" in service.log)
        assert 1 == spied() - before
        answer = urllib.request.urlopen(f"{service.url}/v1/sign/default", form.encode(), timeout=60)
        assert 200 == answer.status
        log = service.log

    assert 1 == log.count("refuses the PIN: CKR_PIN_INCORRECT")
    assert "Traceback" not in log
    assert "is broken: 77" not in log
    assert WRONG not in log


@pytest.mark.parametrize("softhsm", ["true", "false"], indirect=True)
def test_a_reload_reads_a_pin_that_was_changed_in_the_token(configure, softhsm):
    """The master is still logged in with the PIN of before."""
    form = urlencode({"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": make_csr()})

    def post(url):
        return urllib.request.urlopen(url, form.encode(), timeout=60).status

    with serving("gunicorn", configure(pkcs11_path=str(MODULE))) as service:
        url = f"{service.url}/v1/sign/default"
        assert 200 == post(url)
        change_pin(softhsm)
        # The PIN of before is refused now, and does not spoil the next reload.
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "refuses the PIN: CKR_PIN_INCORRECT" in service.log)
        wait_for(lambda: "not reloaded" in service.log)

        configure(pkcs11_path=str(MODULE), pin="another-pin")
        service.process.send_signal(signal.SIGHUP)
        # After its start, a child of the master and then the master have loaded it.
        wait_for(lambda: 3 == service.log.count("serving default"))
        wait_for(lambda: 4 == service.log.count("Worker exiting"))
        assert 200 == post(url)
        # Another session, which needs another login.
        softhsm.remove_tokens()
        with pytest.raises(urllib.error.HTTPError, match="500"):
            post(url)
        softhsm.insert_tokens()
        assert 200 == post(url)


def change_pin(softhsm):
    subprocess.run(
        ["pkcs11-tool", "--module", MODULE, "--token-label", "anchor", "--login", "--pin", PIN,
         "--change-pin", "--new-pin", "another-pin"],
        check=True, capture_output=True,
    )  # fmt: skip


def test_a_wrong_pin_in_several_places_is_tried_once(softhsm, tmp_path, logins):
    section = softhsm.section(softhsm.make_ca(), pin=WRONG)
    for _ in range(3):
        with pytest.raises(ConfigurationError, match="refuse") as raised:
            load_signing_ca("hsm", section, tmp_path, utc_now(), with_key=True)
        assert WRONG not in str(raised.value)
        assert 77 == raised.value.exit_status

    assert 1 == len(logins)


def test_a_corrected_pin_is_tried(softhsm, tmp_path):
    ca = softhsm.make_ca()
    with pytest.raises(ConfigurationError):
        load_signing_ca("hsm", softhsm.section(ca, pin=WRONG), tmp_path, utc_now(), with_key=True)

    signing_ca = load_signing_ca("hsm", softhsm.section(ca), tmp_path, utc_now(), with_key=True)

    signing_ca.issue(X509Csr.from_pem(make_csr("a.example.com", "a.example.com")), utc_now())


def set_flags(softhsm, flags):
    """Change the flags of a token: SoftHSM never locks one."""
    [file] = softhsm.directory.glob("*/token.object")
    contents = file.read_bytes()
    at = contents.index(SOFTHSM_FLAGS) + len(SOFTHSM_FLAGS)
    number = int.from_bytes(contents[at : at + 8], "big") | flags
    file.write_bytes(contents[:at] + number.to_bytes(8, "big") + contents[at + 8 :])
    softhsm.reload()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (FINAL_TRY, "has one attempt left"),
        (FINAL_TRY | COUNT_LOW, "has one attempt left"),
        (LOCKED, "is locked"),
        (LOCKED | FINAL_TRY | COUNT_LOW, "is locked"),
    ],
)
def test_no_login_is_tried_when_the_token_may_lock_or_has(
    configure, softhsm, logins, capsys, flags, words
):
    directory = configure(pkcs11_path=str(MODULE))
    set_flags(softhsm, flags)

    assert 77 == main(["check", "--config", str(directory / "config.json")])

    assert words in capsys.readouterr().err
    assert [] == logins


def test_a_low_count_is_logged_and_the_login_tried(softhsm, tmp_path, caplog):
    section = softhsm.section(softhsm.make_ca())
    set_flags(softhsm, COUNT_LOW)

    load_signing_ca("hsm", section, tmp_path, utc_now(), with_key=True)

    assert "was given a wrong PIN since its last login" in caplog.text


def test_init_does_not_log_in_to_a_token_that_may_lock(softhsm, tmp_path, capsys):
    set_flags(softhsm, FINAL_TRY)
    pin_file = tmp_path / "pin"
    pin_file.write_text(PIN)
    pin_file.chmod(0o400)
    words = ["--pkcs11", str(MODULE), "--token", "anchor", "--pin-file", str(pin_file)]

    assert 77 == main(["init", str(tmp_path / "new"), *words])

    assert "has one attempt left" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


# ---- the file that workers share


@pytest.fixture
def runtime_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(pin_refusals.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_processes_share_refusals_and_the_pin_is_not_in_the_file(runtime_directory):
    first, second = pin_refusals.PinRefusals(), pin_refusals.PinRefusals()
    with first.login_lock(1) as locked:
        assert not locked.refused_before("token", WRONG)
        locked.add("token", WRONG)

    with second.login_lock(1) as locked:
        assert locked.refused_before("token", WRONG)
        assert not locked.refused_before("token", PIN)
        assert not locked.refused_before("another token", WRONG)
    [file] = runtime_directory.glob("anchor-pins-*/*")
    assert 0o600 == file.stat().st_mode & 0o777
    assert WRONG.encode() not in file.read_bytes()


def test_without_a_directory_for_it_a_process_knows_of_its_own_refusals(monkeypatch):
    def none_found():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(pin_refusals.tempfile, "gettempdir", none_found)
    refusals = pin_refusals.PinRefusals()

    with refusals.login_lock(1) as locked:
        locked.add("token", WRONG)
    with refusals.login_lock(1) as locked:
        assert locked.refused_before("token", WRONG)


def test_waiting_for_a_turn_has_a_time_limit(runtime_directory):
    first, second = pin_refusals.PinRefusals(), pin_refusals.PinRefusals()

    with first.login_lock(1), pytest.raises(TimeoutError), second.login_lock(0.05):
        pass


def test_files_of_services_that_ended_are_removed(runtime_directory):
    pin_refusals.PinRefusals()
    [directory] = runtime_directory.iterdir()
    (directory / "99999999_1").touch()

    pin_refusals.PinRefusals()

    assert [] == [path.name for path in directory.iterdir() if path.name.startswith("9999")]


def test_a_directory_of_another_user_is_not_used(runtime_directory):
    pin_refusals.PinRefusals()
    [directory] = runtime_directory.iterdir()
    shutil.rmtree(directory)
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    refusals = pin_refusals.PinRefusals()

    with refusals.login_lock(1) as locked:
        locked.add("token", WRONG)
        assert locked.refused_before("token", WRONG)

    assert [] == list(directory.iterdir())


def test_a_login_that_waits_too_long_fails_and_can_be_repeated(softhsm, tmp_path, monkeypatch):
    section = softhsm.section(softhsm.make_ca())
    monkeypatch.setattr(pkcs11_module, "LOCK_SECONDS", 0.05)
    module = pkcs11_module.module_at(MODULE)

    with (
        module._refusals.login_lock(1),
        pytest.raises((ConfigurationError, SigningError)) as raised,
    ):
        load_signing_ca("hsm", section, tmp_path, utc_now(), with_key=True)

    assert "other processes have been logging in" in str(raised.value)
    assert 1 == raised.value.exit_status
    load_signing_ca("hsm", section, tmp_path, utc_now(), with_key=True)
