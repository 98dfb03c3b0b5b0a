"""The page ``howto/first-secret`` works: its YAML is read, and what it says is done."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from anchor.cli import token as token_command
from tests.support.credentials import JWT, TOKEN, TOKEN_SECRET, private, token_file
from tests.support.documentation import blocks
from tests.support.servers.tls_server import TLSServer, handshake
from tests.support.terminal import Terminal

PAGE = "howto/first-secret.rst"
ANCHOR = Path(sys.executable).with_name("anchor")

# Creates the one token that the stand-in of the service accepts.
TOKENS = f"""[ "$1 $2" = "token create" ] || exec {ANCHOR} "$@"
echo "$@" >>$HOME/created
echo '{json.dumps(TOKEN)}'"""


@pytest.fixture
def here(three_ways_in, https_anchor, tmp_path):
    """Makes a terminal on a new machine, on which other directories replace those of the page."""
    root = tmp_path / "root"
    places = ("/etc/anchor", "/var/lib", "/run")
    for place in places:
        (root / place[1:]).mkdir(parents=True)
    shutil.copy(https_anchor.tls.ca.cert_path, root / "etc/anchor/tls-ca.pem")

    def opened(replace=None, **stand_ins):
        everywhere = {place: root / place[1:] for place in places} | {
            "https://anchor.example.com/v1/sign/web": f"{https_anchor.url}/v1/sign/tokens",
            "https://anchor.example.com/v1/sign/pods": f"{https_anchor.url}/v1/sign/jwts",
        }
        terminal = Terminal(tmp_path, everywhere | (replace or {}), {"anchor": TOKENS} | stand_ins)
        terminal.run("export ANCHOR_STATE=/var/lib/anchor-client")
        return terminal

    return opened


@pytest.fixture
def certificates(tmp_path):
    return tmp_path / "root/var/lib/anchor-client/certificates"


def assert_create_tokens(path):
    """Every command that the stand-in got is one that ``anchor`` accepts."""
    parser = argparse.ArgumentParser()
    token_command.add_to(parser)
    lines = path.read_text().splitlines()
    assert lines
    for line in lines:
        words = shlex.split(line)[1:]
        assert parser.parse_args(words).names == ["web1.example.com"], line


def examples():
    """The user data for cloud-init, and the play for Ansible."""
    return [yaml.safe_load(block.text) for block in blocks(PAGE, "yaml")]


def write(terminal, path, contents, mode):
    """Write a file of the page, at the path that replaces its path."""
    real = Path(terminal.typed(path))
    real.write_text(contents)
    real.chmod(int(mode, 8))
    return real


def test_the_user_data_gets_a_certificate_with_a_token_and_removes_it(
    here, certificates, https_anchor, tmp_path, ca
):
    [user_data, _] = examples()
    assert blocks(PAGE, "yaml")[0].text.startswith("#cloud-config\n")
    token, tls_ca = user_data["write_files"]
    assert TOKEN == json.loads(token["content"])

    with here() as terminal:
        written = write(terminal, token["path"], token["content"], token["permissions"])
        real_ca = https_anchor.tls.ca.cert_path.read_text()
        write(terminal, tls_ca["path"], real_ca, tls_ca["permissions"])
        output = "".join(terminal.run(shlex.join(words)) for words in user_data["runcmd"])

    assert not written.exists()
    # cloud-init keeps the output in a log.
    assert TOKEN_SECRET not in output
    assert not [words for words in user_data["runcmd"] if TOKEN_SECRET in " ".join(words)]
    directory = certificates / "web1.example.com"
    for name in ("key.pem", "fullchain.pem"):
        assert (directory / name).exists()


def test_a_server_uses_the_certificate_of_the_first_token(here, certificates, tmp_path, ca):
    [user_data, _] = examples()
    token_file(tmp_path / "root/run/anchor-token")
    [request] = [words for words in user_data["runcmd"] if words[0] == "anchor"]

    with here({"web1.example.com": "localhost"}) as terminal:
        terminal.run(shlex.join(request))

    directory = certificates / "localhost"
    with TLSServer(tmp_path, directory / "fullchain.pem", directory / "key.pem") as server:
        handshake(server.port, ca.cert_path)


def run_play(terminal, tasks, host, variables):
    """Run the tasks as Ansible would, without its conditions; return the tasks that were run."""
    done = []
    for task in tasks:
        if "block" in task:
            done += run_play(terminal, task["block"] + task["always"], host, variables)
            continue
        done.append(task)
        if command := task.get("ansible.builtin.command"):
            words = [word.replace("{{ inventory_hostname }}", host) for word in command["argv"]]
            variables[task.get("register")] = terminal.run(shlex.join(words))
        elif copy := task.get("ansible.builtin.copy"):
            assert "{{ token.stdout }}" == copy["content"]
            write(terminal, copy["dest"], variables["token"], copy["mode"])
        elif file := task.get("ansible.builtin.file"):
            assert "absent" == file["state"]
            Path(terminal.typed(file["path"])).unlink()
        else:
            path = task["ansible.builtin.stat"]["path"].replace("{{ inventory_hostname }}", host)
            variables[task["register"]] = Path(terminal.typed(path))
    return done


def test_the_play_gets_a_certificate_and_hides_the_token(here, tmp_path):
    [_, [play]] = examples()
    variables = {}

    with here() as terminal:
        done = run_play(terminal, play["tasks"], "web1.example.com", variables)

    assert variables["certificate"].exists()
    assert not (tmp_path / "root/run/anchor-token").exists()
    assert_create_tokens(tmp_path / "created")
    for task in done:
        has_token = "token.stdout" in json.dumps(task) or task.get("register") == "token"
        assert has_token == task.get("no_log", False), task["name"]


def test_a_token_is_created_and_the_first_boot_requests_once(
    here, certificates, https_anchor, tmp_path
):
    create, first_boot, _ = blocks(PAGE, "sh")
    [client_json] = blocks(PAGE, "json")
    host = {"$(hostname -f)": "web1.example.com"}

    with here(host) as terminal:
        token = terminal.run(create.text)
        write(terminal, "/etc/anchor/client.json", terminal.typed(client_json.text), "644")
        terminal.run("export ANCHOR_CLIENT_CONF=/etc/anchor/client.json")
        missing = terminal.run(f"({first_boot.text})", code=1)
        write(terminal, "/etc/anchor/token", token, "600")
        terminal.run(f"({first_boot.text})")
        terminal.run(f"({first_boot.text})")

    assert "token_file: /etc/anchor/token cannot be read: No such file" in missing
    assert (certificates / "web1.example.com/cert.pem").exists()
    assert 1 == https_anchor.submissions
    assert_create_tokens(tmp_path / "created")


def test_a_container_gets_a_certificate_with_the_jwt_of_its_pod(here, https_anchor, tmp_path):
    _, _, request = blocks(PAGE, "sh")
    mounted = tmp_path / "jwt"
    (mounted / "..2026").mkdir(parents=True)
    (mounted / "..data").symlink_to("..2026")
    (mounted / "token").symlink_to("..data/token")

    with here({"/var/run/secrets/anchor": mounted}) as terminal:
        # Without runAsUser, Kubernetes lets everyone in the container read it.
        private(mounted / "..2026/token", JWT).chmod(0o644)
        terminal.run(request.text)
        private(mounted / "..2026/token", JWT).chmod(0o400)
        terminal.run("anchor renew --force --state=/run/anchor")

    directory = tmp_path / "root/run/anchor/certificates/web.shop.svc.example.com"
    assert (directory / "key.pem").exists()
    assert 2 == https_anchor.submissions
