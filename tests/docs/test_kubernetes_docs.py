"""The objects for Kubernetes fit its schemas, and the configuration in them is valid."""

from __future__ import annotations

import json
import re
import shutil

import kubernetes_validate
import pytest
import yaml

from anchor.cli.main import main
from tests.support.documentation import ROOT, blocks
from tests.support.pki import DAY, make_ca, make_csr, now
from tests.support.terminal import Terminal

PAGE = "howto/running-in-kubernetes.rst"
EXAMPLES = [
    pytest.param(found, id=f"{page}-{found['kind']}")
    for page in (PAGE, "howto/kubernetes.rst")
    for block in blocks(page, "yaml")
    for found in yaml.safe_load_all(block.text)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_object_fits_the_schema_of_kubernetes(example):
    kubernetes_validate.validate(example, kubernetes_validate.latest_version(), strict=True)


def test_the_schemas_reject_a_misspelled_field():
    example = {"apiVersion": "v1", "kind": "Service", "spec": {"sellector": {}}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(example, kubernetes_validate.latest_version(), strict=True)


@pytest.fixture
def objects():
    """The objects of the page by their kind."""
    [block] = blocks(PAGE, "yaml")
    return {found["kind"]: found for found in yaml.safe_load_all(block.text)}


def test_the_configuration_in_the_cluster_is_valid(objects, tmp_path, capsys):
    root = make_ca(tmp_path, name="root", not_after=now() + 3650 * DAY)
    ca = make_ca(tmp_path, name="ca", issuer=root, not_after=now() + 365 * DAY)
    paths = {
        "/key/root-ca.crt": ca.cert_path,
        "/key/root-ca-unwrapped.key": ca.key_path,
        "/key/chain.pem": root.cert_path,
        "/database/password": tmp_path / "password",
        "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt": root.cert_path,
        "/var/run/secrets/kubernetes.io/serviceaccount/token": tmp_path / "token",
    }
    for name in ("password", "token"):
        (tmp_path / name).write_text("s3cret")
        (tmp_path / name).chmod(0o440)
    text = objects["ConfigMap"]["data"]["config.json"]
    for path, here in paths.items():
        text = text.replace(json.dumps(path), json.dumps(str(here)))
    (tmp_path / "config.json").write_text(text)
    shutil.copy(ROOT / "config.py", tmp_path)

    status = main(["check", "--config", str(tmp_path / "config.json"), "--fail-on=danger"])

    assert 0 == status, capsys.readouterr()


def test_the_parts_of_the_deployment_fit_each_other(objects):
    template = objects["Deployment"]["spec"]["template"]
    [container] = template["spec"]["containers"]
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    labels = template["metadata"]["labels"]
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert set(mounted.values()) == set(volumes)
    for path in re.findall(
        r'_(?:path|file)": "(/[^"/]+)/', objects["ConfigMap"]["data"]["config.json"]
    ):
        assert path in mounted or path == "/var"
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert labels == objects[kind]["spec"]["selector"]["matchLabels"]
    assert labels == objects["Service"]["spec"]["selector"]
    assert objects["ConfigMap"]["metadata"]["name"] == volumes["config"]["configMap"]["name"]
    assert f"EXPOSE {container['ports'][0]['containerPort']}" in dockerfile
    user = template["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in dockerfile


KUBECTL = """echo "$@" >>$HOME/kubectl.log
for argument; do
    file=${argument##*=}
    case $argument in --from-file=*) test -s $file || echo missing $file >>$HOME/kubectl.log; esac
done"""


def test_the_commands_make_the_objects_that_the_deployment_uses(objects, tmp_path):
    """A script replaces kubectl; the files that it is given exist."""
    make, roll_out, _ = blocks(PAGE, "sh")
    for name in ("db-password", "db-ca.pem"):
        (tmp_path / name).write_text("s3cret\n")

    with Terminal(tmp_path, stand_ins={"kubectl": KUBECTL}) as terminal:
        terminal.follow(make)
        terminal.follow(roll_out)

    called = (tmp_path / "kubectl.log").read_text()
    assert "missing" not in called
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    for volume in pod["volumes"]:
        if "secret" in volume:
            assert f"create secret generic {volume['secret']['secretName']} " in called
    assert f"restart deployment {objects['Deployment']['metadata']['name']}" in called


def test_the_commands_in_a_pod_work(serve, document, tmp_path):
    """A script replaces kubectl, and runs the command here."""
    *_, commands = blocks(PAGE, "sh")
    serve(document).issue(make_csr())

    with Terminal(tmp_path, stand_ins={"kubectl": 'shift 5; exec "$@"'}) as terminal:
        shown = terminal.run(commands.text)

    assert "name web.shop.svc.example.com is banned" in shown
