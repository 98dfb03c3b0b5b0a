"""Every example on every page is run, or is parsed by the program that would read it.

``anchor check`` reads JSON that is a configuration or a part of one.  nginx, systemd and Python's
logging read their own configurations.  Single commands in the reference are run here.  All other
examples are run by another test, in a ``tests.support.terminal.Terminal``; ``RUN`` lists these
tests with the number of blocks that each runs.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from anchor.authorities import load_authorities
from anchor.client import configuration as client_configuration
from anchor.client.settings import ClientSettings
from anchor.config.plugins import validate_options
from anchor.policy_tools import sample_csrs, test_cases
from tests.support.credentials import JWT, TOKEN
from tests.support.documentation import LITERAL, ROOT, SHELL, blocks, pages
from tests.support.pki import DAY, make_ca, now
from tests.support.servers.processes import program
from tests.support.terminal import Terminal
from tests.support.users import user_line

# For a page and the language of its blocks: the number of blocks, and the test file that runs them.
# The file contains the name of the page.
RUN = {
    ("README.rst", LITERAL): (8, "test_documents.py"),
    ("README.rst", "sh"): (1, "test_documents.py"),
    ("howto/acme.rst", "console"): (1, "test_howto_acme.py"),
    ("howto/acme.rst", "sh"): (2, "test_howto_acme.py"),
    ("howto/audit.rst", "console"): (3, "test_howto_commands.py"),
    ("howto/audit.rst", "sh"): (1, "test_howto_commands.py"),
    ("howto/authentication-backends.rst", "ini"): (1, "test_authentication_backends_howto.py"),
    ("howto/authentication-backends.rst", "json"): (1, "test_authentication_backends_howto.py"),
    ("howto/authentication-backends.rst", "python"): (2, "test_authentication_backends_howto.py"),
    ("howto/backup.rst", "sh"): (8, "test_howto_commands.py"),
    ("howto/bans.rst", "console"): (3, "test_howto_commands.py"),
    ("howto/certmonger.rst", "shell"): (4, "test_howto_commands.py"),
    ("howto/client-certificates.rst", "ini"): (1, "test_client_certificates_of_servers.py"),
    ("howto/client-certificates.rst", "shell"): (3, "test_client_certificates.py"),
    ("howto/debian.rst", "shell"): (7, "test_debian_packages.py"),
    ("howto/est.rst", "console"): (1, "test_est.py"),
    ("howto/est.rst", "sh"): (8, "test_est.py"),
    ("howto/first-secret.rst", "sh"): (3, "test_first_secret.py"),
    ("howto/first-secret.rst", "yaml"): (2, "test_first_secret.py"),
    ("howto/ci-jobs.rst", "yaml"): (2, "test_oidc_docs.py"),
    ("howto/hsm.rst", "console"): (1, "test_howto_machines.py"),
    ("howto/hsm.rst", "shell"): (5, "test_howto_machines.py"),
    ("howto/intermediate.rst", "sh"): (2, "test_init.py"),
    ("howto/keystone.rst", "shell"): (1, "test_howto_commands.py"),
    ("howto/kubernetes.rst", "sh"): (1, "test_oidc_docs.py"),
    ("howto/kubernetes.rst", "yaml"): (1, "test_oidc_docs.py"),
    ("howto/moving-from-0.4.rst", "console"): (2, "test_howto_commands.py"),
    ("howto/moving-from-0.4.rst", "shell"): (2, "test_howto_commands.py"),
    ("howto/names-and-requesters.rst", "console"): (1, "test_command_docs.py"),
    ("howto/nginx-and-uwsgi.rst", LITERAL): (2, "test_howto_commands.py"),
    ("howto/nginx-and-uwsgi.rst", "console"): (1, "test_howto_machines.py"),
    ("howto/nginx-and-uwsgi.rst", "shell"): (6, "test_howto_machines.py"),
    ("howto/oidc.rst", "shell"): (1, "test_oidc_docs.py"),
    ("howto/plugins.rst", "json"): (1, "test_howto_plugins.py"),
    ("howto/plugins.rst", "python"): (3, "test_howto_plugins.py"),
    ("howto/plugins.rst", "toml"): (1, "test_howto_plugins.py"),
    ("howto/policy-tests.rst", "console"): (2, "test_command_docs.py"),
    ("howto/reload.rst", "sh"): (2, "test_howto_commands.py"),
    ("howto/renewal.rst", "shell"): (6, "test_howto_commands.py"),
    ("howto/renewal-without-secret.rst", "sh"): (1, "test_renewal_without_secret.py"),
    ("howto/rollover.rst", "console"): (2, "test_howto_machines.py"),
    ("howto/rollover.rst", "shell"): (3, "test_howto_machines.py"),
    ("howto/several-nodes.rst", "sh"): (1, "test_howto_commands.py"),
    ("howto/running-in-kubernetes.rst", "sh"): (3, "test_kubernetes_docs.py"),
    ("howto/running-in-kubernetes.rst", "yaml"): (1, "test_kubernetes_docs.py"),
    ("howto/signing-backends.rst", "ini"): (1, "test_signing_backends.py"),
    ("howto/signing-backends.rst", "json"): (2, "test_signing_backends.py"),
    ("howto/signing-backends.rst", "python"): (2, "test_signing_backends.py"),
    ("howto/softhsm.rst", "console"): (1, "test_howto_machines.py"),
    ("howto/softhsm.rst", "shell"): (5, "test_howto_machines.py"),
    ("howto/sqlite-to-postgresql.rst", "sh"): (2, "test_howto_commands.py"),
    ("howto/stolen-ca-key.rst", "sh"): (7, "test_howto_commands.py"),
    ("howto/systemd.rst", "console"): (2, "test_howto_machines.py"),
    ("howto/systemd.rst", "shell"): (5, "test_howto_machines.py"),
    ("howto/tokens.rst", "console"): (2, "test_howto_tokens.py"),
    ("howto/tokens.rst", "shell"): (1, "test_howto_tokens.py"),
    ("howto/upgrade.rst", "sh"): (2, "test_howto_commands.py"),
    ("howto/users-file.rst", "console"): (3, "test_users_file_docs.py"),
    ("howto/users-file.rst", "shell"): (2, "test_users_file_docs.py"),
    ("tutorial/first-certificate.rst", "console"): (9, "test_tutorial.py"),
    ("tutorial/first-certificate.rst", "shell"): (2, "test_tutorial.py"),
    ("tutorial/policy.rst", "console"): (9, "test_tutorial.py"),
    ("tutorial/policy.rst", "shell"): (1, "test_tutorial.py"),
    ("tutorial/renewal.rst", "console"): (9, "test_tutorial.py"),
}

# Blocks that cannot be run here: the page, the first line of the block, and the reason.
NOT_RUN = {
    ("README.rst", "make test"): "this is it",
    ("README.rst", ".venv/python3/bin/python -m pytest"): "this is it",
    ("README.rst", "sudo apt-get install python3"): "tools/fresh-machine runs it",
    ("CONTRIBUTING.rst", "make test"): "this is it",
    (
        "explanation/fleet.rst",
        "pip install 'anchor[simulation]'",
    ): "it takes minutes; tests/unit/fleet simulates small fleets",
    ("README.rst", "docker build -t anchor ."): "test_container.py does it with buildah and podman",
    ("howto/docker.rst", "docker build -t anchor ."): "likewise",
    ("howto/docker.rst", "docker run -p 127.0.0.1:5016:5016 --read-only --tmpfs /tmp"): "likewise",
    (
        "howto/apparmor.rst",
        "install -m 644 tools/apparmor/anchor_production /etc/apparmor.d/",
    ): "test_apparmor.py does it in a kernel of its own; this one does not enforce profiles",
    (
        "howto/several-nodes.rst",
        "sudo -u postgres createuser",
    ): "the tests' PostgreSQL has the user and a database already",
    (
        "howto/keystone.rst",
        "openstack application credential create anchor",
    ): "OpenStack's own command; test_keystone.py makes one through Keystone's API",
    (
        "howto/keystone.rst",
        "openstack user create anchor --password-prompt",
    ): "likewise",
    (
        "howto/acme-clients.rst",
        "",
    ): "test_howto_acme.py follows some of them; tests/integration/acme runs the clients otherwise",
    ("howto/acme-kubernetes.rst", "apiVersion: cert-manager.io/v1"): "there is no Kubernetes",
    ("howto/kubernetes.rst", "kubectl get --raw /.well-known"): "there is no Kubernetes here",
    ("howto/kubernetes.rst", "kubectl get --raw /openid/v1/jwks"): "likewise",
    ("howto/spiffe.rst", "spire-server bundle show"): "there is no SPIRE here",
    ("howto/spiffe.rst", "spire-agent api fetch jwt"): "likewise",
}

PARSED = {"nginx", "yaml"}
LANGUAGES = {*SHELL, *PARSED, "console", "json", "python", "ini", "toml", "text"}
LONG = {"authentication", "signing_ca", "registration_authority"}
SHORT = {"auth", "ca", "validators", "fixups"}
CONFIGURATION = LONG | SHORT | {"database", "audit", "bans", "$schema"}
BACKENDS = {"anchor", "pkcs11"}
INSTALLED = {"static", "ldap", "keystone", "oidc", "token"}
SECRETS = {
    "jwks_file": '{"keys": []}',
    "jwt_file": JWT,
    "token_file": json.dumps(TOKEN),
    "users_file": user_line("alice"),
}


@functools.cache
def entry_points(namespace):
    return metadata.entry_points(group=namespace).names


def kind_of(block):
    """The kind of an example that this file can verify; None for others."""
    match block.language:
        case "json":
            return kind_of_json(block.text)
        case "python" if block.text.startswith(("web = {", '"')):
            return "config.py"
        case "ini":
            return kind_of_ini(block.text)
        case "yaml":
            is_prometheus = re.search(r"^(scrape_configs|groups):", block.text, re.MULTILINE)
            return "yaml" if is_prometheus else None
        case language if language in SHELL:
            return kind_of_command(block)
        case language:
            return language if language in PARSED else None


def kind_of_ini(text):
    """``uwsgi`` or ``unit``, by the program that reads the lines; None for others."""
    if not text.startswith("["):
        return "uwsgi"
    return "unit" if re.search(r"^\[(Unit|Service)\]$", text, re.MULTILINE) else None


def kind_of_command(block):
    """The kind of a command that can be run without the rest of its page; None for others."""
    if block.page.startswith("reference/"):
        return "command"
    return "pip" if re.fullmatch(r"pip install .*\n", block.text) else None


def kind_of_json(text):
    """The kind of JSON, if Anchor reads it; None for others."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    keys = set(document)
    sections = document.get("authentication", {}).values()
    # Other keys are the options of plug-ins, which the tests of that page install.
    installed = all(s.get("backend") in INSTALLED for s in sections)
    # A validator and a fixup have this name; only the fixup has these options.
    of_a_fixup = {"keep", "fixed"} & set(document.get("subject_attributes", {}))
    kinds = {
        "configuration": keys <= CONFIGURATION and installed,
        "signing_ca": document.get("backend") in BACKENDS,
        "validators": keys <= entry_points("anchor.validators") and not of_a_fixup,
        "fixups": keys <= entry_points("anchor.fixups"),
        "client": "url" in keys and keys <= set(ClientSettings.model_fields),
        "policy tests": "cases" in keys,
    }
    return next((kind for kind, is_it in kinds.items() if is_it), None)


FOLLOWED = {page for page, language in RUN if language in {"console", *SHELL}}
ALL = [block for page in pages() for block in blocks(page)]
# A file that the test of that page writes.
FILES = {block for block in ALL if block.caption and block.page in FOLLOWED}
BY_KIND = [(block, kind) for block in ALL if block not in FILES and (kind := kind_of(block))]


def of_kind(*kinds):
    found = [pytest.param(block, kind, id=str(block)) for block, kind in BY_KIND if kind in kinds]
    # Without an example of some kind, there is nothing to test.
    return pytest.mark.parametrize(("block", "kind"), found) if found else lambda _test: None


def is_excused(block):
    return any(block.page == page and block.text.startswith(start) for page, start in NOT_RUN)


def test_every_example_is_run_or_parsed():
    parsed = {block for block, _ in BY_KIND}
    left = {}
    for block in ALL:
        assert block.language in LANGUAGES, (
            f"{block}: nobody knows this language; LANGUAGES in {__name__} has those that are known"
        )
        if block.language == "text" or block in parsed | FILES or is_excused(block):
            continue
        left.setdefault((block.page, block.language), []).append(block)

    for key, found in left.items():
        count, by = RUN.get(key, (0, None))
        assert count == len(found), (
            f"{', '.join(map(str, found))}: {count} of these are run"
            f"{' by ' + by if by else ''}.  Have a test do what the page says "
            f"(tests/support/terminal.py), as test_howto_commands.py has, and write it into RUN "
            f"in {__name__}.  Commands of which this machine has nothing go to NOT_RUN, with the "
            f"reason; what is no example to run, as output, is `.. code-block:: text`."
        )
    assert sorted(RUN) == sorted(left), "RUN has pages that have no such blocks"


@pytest.mark.parametrize("key", RUN, ids="-".join)
def test_the_test_that_runs_a_page_reads_it(key):
    _, by = RUN[key]

    assert Path(key[0]).stem in next((ROOT / "tests").rglob(by)).read_text()


def test_every_block_that_is_not_run_still_exists():
    for page, start in NOT_RUN:
        assert [b for b in blocks(page) if b.text.startswith(start)], (page, start)


# ---- examples that a program reads


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Makes the files that an example refers to; returns the example with their paths."""
    root = make_ca(tmp_path, name="root", not_after=now() + 3650 * DAY)
    ca = make_ca(tmp_path, name="ca", issuer=root, not_after=now() + 3650 * DAY)
    second = make_ca(tmp_path, name="second", not_after=now() + 3650 * DAY)
    made = tmp_path / "made"
    made.mkdir()
    monkeypatch.setenv("ANCHOR_SECRET", "s3cret")

    def secret(name, text):
        (made / name).write_text(text)
        (made / name).chmod(0o600)
        return str(made / name)

    def placed(document, own=ca):
        if isinstance(document, list):
            return [placed(value, own) for value in document]
        if not isinstance(document, dict):
            return document
        own = second if "from" in document else ca
        here = {}
        for key, value in document.items():
            if key in {"cert_path", "ca_file"}:
                here[key] = str(own.cert_path)
            elif key == "key_path":
                here[key] = str(own.key_path)
            elif key == "chain_path":
                here[key] = str(root.cert_path)
            elif key == "blocklist":
                (made / "blocklist").write_bytes(bytes(16))
                here[key] = str(made / "blocklist")
            elif key == "url" and str(value).startswith("sqlite:///"):
                here[key] = f"sqlite:///{made}/{Path(value).name}"
            elif key in {"path", "output_path"}:
                here[key] = str(made / Path(value).name)
            elif key == "checkpoint_key_path":
                subprocess.run(
                    [program("anchor", "anchor"), "audit", "init", made / "audit.key"],
                    check=True,
                    capture_output=True,
                )
                here[key] = str(made / "audit.key")
            elif key.endswith("_file"):
                here[key] = secret(key, SECRETS.get(key, "s3cret"))
            else:
                here[key] = placed(value, own)
        return here

    return placed


@of_kind("configuration", "signing_ca", "validators", "fixups")
def test_an_example_of_a_configuration_passes_anchor_check(block, kind, place, tmp_path, document):
    example = place(json.loads(block.text))
    token = example.get("backend") == "pkcs11"
    if kind == "configuration":
        # Complete an example that is only a section.
        if not {"auth", "ca"} & set(example):
            authorities = document["registration_authority"] | example.get(
                "registration_authority", {}
            )
            names = {"authentication": "static", "signing_ca": "local"}
            for key, name in names.items():
                sections = {name: document[key][name]} | example.get(key, {})
                for authority in authorities.values():
                    sections.setdefault(authority[key], document[key][name])
                document[key] = sections
            document = example | {key: document[key] for key in names}
            document["registration_authority"] = authorities
        else:
            document = example
    elif kind == "signing_ca":
        document["signing_ca"]["local"] = example
    else:
        document["registration_authority"]["default"][kind] = example
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))

    # There is no token with that key here; test_pkcs11.py has one.
    assert load_authorities(path, offline=token).authorities


@of_kind("client")
def test_an_example_of_client_json_is_good(block, kind, place, tmp_path):
    path = tmp_path / "client.json"
    path.write_text(json.dumps(place(json.loads(block.text))))

    assert client_configuration.load(path)


@of_kind("policy tests")
def test_an_example_of_policy_tests_is_well_formed(block, kind):
    file = validate_options(test_cases.FileSettings, json.loads(block.text), Path())
    maker = sample_csrs.CsrFactory()

    for section in file.cases:
        case = validate_options(test_cases.CaseSettings, section, Path())
        assert test_cases._load_csr(case, maker)


_TAKE_CONFIG_PY = """
part = globals().get("logging_part", {})
for section, entries in (part if "handlers" in part else {"handlers": part}).items():
    logging[section].update(entries)
from logging.config import dictConfig
from anchor.web.settings import WebSettings
dictConfig(logging)
WebSettings(**web)
"""


@of_kind("config.py")
def test_an_example_of_config_py_is_accepted(block, kind, tmp_path):
    text = block.text.replace('"loghost"', '"127.0.0.1"').replace("/var/log/anchor", str(tmp_path))
    if not text.startswith("web"):
        # The example is a part of the logging dictionary, or of its handlers.
        text = f"logging_part = {{\n{text}\n}}\n"
    shipped = (ROOT / "config.py").read_text()
    (tmp_path / "example.py").write_text(f"{shipped}\n{text}\n{_TAKE_CONFIG_PY}")

    subprocess.run(
        [sys.executable, tmp_path / "example.py"], check=True, capture_output=True, text=True
    )


@of_kind("nginx")
def test_nginx_accepts_the_examples_for_it(block, kind, tmp_path, ca):
    text = block.text
    (tmp_path / "chain.pem").write_bytes(ca.cert_path.read_bytes())
    (tmp_path / "key.pem").write_bytes(ca.key_path.read_bytes())
    text = re.sub(r"ssl_certificate +\S+;", "ssl_certificate chain.pem;", text)
    text = re.sub(r"ssl_certificate_key +\S+;", "ssl_certificate_key key.pem;", text)
    if "server {" not in text:
        text = f"server {{ {text} }}"
    if "http {" not in text:
        text = f"events {{}}\nhttp {{ {text} }}"
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/nginx.pid;\n{text.removeprefix('pid nginx.pid;')}"
    )
    (tmp_path / "uwsgi_params").write_text(Path("/etc/nginx/uwsgi_params").read_text())

    finished = subprocess.run(
        [program("nginx", "nginx-light"), "-t", "-p", tmp_path, "-e", "stderr", "-c", "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == finished.returncode, finished.stderr


@of_kind("yaml")
def test_examples_for_prometheus_name_existing_metrics(block, kind):
    document = yaml.safe_load(block.text)

    named = set(re.findall(r"\banchor_\w+", json.dumps(document)))
    reference = (ROOT / "doc/source/reference/metrics.rst").read_text()
    assert {"scrape_configs", "groups"} & set(document)
    assert [] == [name for name in named if f"``{name}``" not in reference]


@of_kind("unit")
def test_systemd_accepts_the_examples_for_it(block, kind, tmp_path):
    """The example is a drop-in for the shipped unit."""
    unit = (ROOT / "tools/systemd/anchor.service").read_text()
    unit = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit, flags=re.MULTILINE)
    (tmp_path / "anchor.service").write_text(unit)
    (tmp_path / "anchor.service.d").mkdir()
    (tmp_path / "anchor.service.d" / "example.conf").write_text(block.text)

    finished = subprocess.run(
        [
            program("systemd-analyze", "systemd"),
            *("verify", "--man=no", "--recursive-errors=no"),
            tmp_path / "anchor.service",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in finished.stderr.splitlines() if str(tmp_path) in line]
    assert (0, []) == (finished.returncode, ours), finished.stderr


@of_kind("uwsgi")
def test_lines_for_uwsgi_are_those_of_the_shipped_ini(block, kind):
    shipped = (ROOT / "tools/uwsgi/anchor.ini").read_text().splitlines()

    assert [] == [line for line in block.text.splitlines() if line and line not in shipped]


@of_kind("command")
def test_a_command_in_the_reference_works_by_itself(block, kind, tmp_path, document):
    """The command is run in a directory with a small configuration."""
    (tmp_path / "config.json").write_text(json.dumps(document))

    with Terminal(tmp_path) as terminal:
        terminal.follow(block)


@of_kind("pip")
def test_extras_that_pages_install_exist(block, kind):
    setup = (ROOT / "setup.cfg").read_text()
    [extra] = re.findall(r"'anchor\[([\w-]+)\]'", block.text)

    assert re.search(rf"^{extra} =$", setup, re.MULTILINE)
