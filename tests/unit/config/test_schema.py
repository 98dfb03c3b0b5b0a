"""The JSON Schema of config.json: it and the service reject the same configurations."""

from __future__ import annotations

import copy
import json
import re

import jsonschema
import pytest
import referencing

from anchor.authorities import load_authorities
from anchor.cli.main import main
from anchor.client.settings import ClientSettings
from anchor.config import plugins
from anchor.config.plugins import load_plugin
from anchor.config_schema import schema
from anchor.errors import ConfigurationError
from anchor.policy.checks import SUPPLIED
from tests.support import reference_pages
from tests.support.pki import DAY, make_ca, now
from tests.support.servers.anchor import ROOT

SHIPPED = json.loads(schema.shipped_text())
DOCUMENTS = sorted((ROOT / "doc/source").rglob("*.rst"))


def validator(of=SHIPPED, part=None):
    """A validator for a configuration, or for a part of one."""
    if part is None:
        return jsonschema.Draft202012Validator(of)
    registry = referencing.Registry().with_resource(
        "urn:whole", referencing.Resource.from_contents(of)
    )
    return jsonschema.Draft202012Validator({"$ref": f"urn:whole#/{part}"}, registry=registry)


def objections(document, part=None):
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in validator(part=part).iter_errors(document)
    ]


def test_the_shipped_schema_matches_the_generated_one():
    assert schema.to_json(schema.for_shipped_plugins()) == schema.shipped_text(), (
        "run tools/make-schema .venv/python3/bin/python"
    )


@pytest.mark.slow
def test_the_schema_is_valid_json_schema():
    jsonschema.Draft202012Validator.check_schema(SHIPPED)
    jsonschema.Draft202012Validator.check_schema(schema.for_installed_plugins())


def options(node, path=""):
    """Every option in a schema, with the path of its object."""
    if isinstance(node, dict):
        properties = node.get("properties", {})
        for name, its in properties.items() if "if" not in path.split("/") else ():
            if isinstance(its, dict) and not {"$ref", "const", "allOf"} & its.keys():
                yield f"{path}/{name}", its
        for key, inner in node.items():
            yield from options(inner, f"{path}/{key}")
    elif isinstance(node, list):
        for inner in node:
            yield from options(inner, path)


def test_every_option_has_a_description_and_a_type():
    found = dict(options(SHIPPED))
    # Objects whose keys are kinds of keys instead of option names.
    sizes = "/$defs/validators.public_key/properties/allowed_keys/"

    assert len(found) > 100
    assert [] == [
        path
        for path, its in found.items()
        if not path.startswith(sizes)
        and not (its.get("description") and {"type", "enum", "anyOf", "if"} & its.keys())
    ]


@pytest.mark.parametrize(
    "name", [name for name in SHIPPED["$defs"] if name.startswith(("validators.", "fixups."))]
)
def test_writing_a_default_equals_omitting_it(name, tmp_path):
    kind, _, plugin = name.partition(".")
    signature = plugins.Signature.of(load_plugin(f"anchor.{kind}", plugin), SUPPLIED)
    described = SHIPPED["$defs"][name]["properties"].items()
    written = {option: its["default"] for option, its in described if "default" in its}

    validated = signature.validate(written, tmp_path) if written else {}

    for option, value in validated.items():
        default = signature.model.model_fields[f"option_{option}"].default
        assert _value(default) == _value(value), option


def _value(default):
    """The value of a default in the reference."""
    if not hasattr(default, "__dict__"):
        return default
    return {name: _value(value) for name, value in vars(default).items()}


def test_the_sample_names_its_schema_and_matches_it():
    sample = json.loads((ROOT / "config.json").read_text())

    assert (ROOT / sample["$schema"]).read_text() == schema.shipped_text()
    assert [] == objections(sample)


# The keys of a client configuration, which the schema does not describe.
CLIENT = set(ClientSettings.model_fields)


def part_of(example):
    """The parts of a configuration in an example, as pairs of a schema and a value."""
    sections = SHIPPED["properties"]
    if set(SHIPPED["else"]["required"]) <= example.keys() or "auth" in example:
        return [(None, example)]
    if example.keys() <= sections.keys():
        return [
            (f"$defs/{kind}" if kind in SHIPPED["else"]["required"] else f"properties/{kind}", one)
            for kind, its in example.items()
            for one in (its.values() if kind in SHIPPED["else"]["required"] else [its])
        ]
    if "backend" in example:
        return [("$defs/signing_ca", example)]
    if "cases" in example or ("url" in example and example.keys() <= CLIENT):
        return []
    kinds = [
        f"$defs/{kind}.{name}"
        for name in example
        for kind in ("validators", "fixups")
        if (found := SHIPPED["$defs"].get(f"{kind}.{name}"))
        and example[name].keys() <= found["properties"].keys()
    ]
    assert len(kinds) == len(example), example
    return list(zip(kinds, example.values(), strict=True))


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_every_documented_example_matches_the_schema(page):
    blocks = re.findall(
        r"^( *)\.\. code-block:: json\n((?:\1 +:\w.*\n)*)\n((?:\1 +.*\n|\n)+)",
        page.read_text() + "\n",
        re.MULTILINE,
    )

    for _, options, block in blocks:
        for part, example in part_of(json.loads(block)):
            # Examples of rejected configurations are marked.
            refused = ":caption: old" in options
            assert refused == bool(objections(example, part)), (block, objections(example, part))


@pytest.fixture
def complete(ca, tmp_path):
    """A configuration with every option."""
    (tmp_path / "blocklist.dat").write_bytes(bytes(16))
    local = {"cert_path": str(ca.cert_path), "key_path": "ca.key", "passphrase_env": "X"}
    token = {
        "pkcs11_path": "p.so",
        "slot": 1,
        "token_label": "a",
        "token_serial": "1",
        "pin": "1234",
        "key_id": "01",
    }
    return {
        "$schema": "anchor/config.schema.json",
        "database": {
            "url": "postgresql://anchor@db.example.com/anchor",
            "password_file": "p",
            "pool_size": 4,
            "timeout_seconds": 1.5,
            "connect_timeout_seconds": 5,
        },
        "authentication": {
            "one": {"backend": "static", "user": "a", "secret": "b", "groups": ["c"]},
            "file": {
                "backend": "static",
                "user": "a",
                "secret_file": "b",
                "secret_env": "c",
                "max_waiting": 3,
            },
            "machines": {"backend": "static", "users_file": "users.jsonl"},
            "directory": {
                "backend": "ldap",
                "host": ["a", "b"],
                "base": "c",
                "port": 636,
                "ssl": True,
                "start_tls": False,
                "ca_file": "x.pem",
                "verify": True,
                "domain": "d.example",
                "allow_plaintext": False,
                "connect_timeout": 2.5,
                "timeout": 3,
                "user_dn": "{user}",
                "service_dn": "d",
                "service_secret": "e",
                "service_secret_file": "f",
                "service_secret_env": "G",
                "filter": "(a={user})",
                "name_attribute": "h",
                "group_attribute": "i",
                "group_name": "whole",
                "group_base": "j",
                "nested_groups": True,
            },
            "cloud": {
                "backend": "keystone",
                "url": "https://k.example.com",
                "ca_file": "x.pem",
                "timeout": 5,
                "allow_unscoped": True,
                "allow_domain_scoped": False,
                "allow_system_scoped": False,
                "application_credential_id": "1",
                "service_user": "a",
                "service_user_domain": "b",
                "user_domains": ["Default"],
                "service_project": "c",
                "service_project_domain": "d",
                "service_system": False,
                "service_secret": "e",
                "service_secret_file": "f",
                "service_secret_env": "G",
            },
            "jwt": {
                "backend": "oidc",
                "issuer": "https://issuer.example.com",
                "audience": ["a", "b"],
                "jwks_file": "keys.json",
                "jwks_url": "https://issuer.example.com/keys",
                "discovery": True,
                "ca_file": "x.pem",
                "bearer_file": "b",
                "algorithms": ["RS256", "Ed25519"],
                "username_claim": "sub",
                "groups_claim": "/a/b",
                "claims": {"team": "/a/team", "name": {"claim": "sub", "pattern": "a/{}"}},
                "require": {"sub": "web*", "count": [1, 2.5, True, "x"]},
                "max_lifetime": 600.5,
                "leeway": 10,
                "typ": "at+jwt",
                "single_use": True,
                "timeout": 2,
                "keep_keys": 0,
            },
        },
        "signing_ca": {
            "local": {
                "backend": "anchor",
                **local,
                "passphrase_file": "p",
                "output_path": "certs",
                "signing_hash": "sha384",
                "valid_hours": 1.5,
                "backdate_seconds": 1,
                "min_valid_hours": 1,
                "warn_lifetimes": 0,
            },
            "token": {
                "backend": "pkcs11",
                **token,
                "pin_file": "p",
                "pin_env": "P",
                "key_label": "l",
                "cert_path": str(ca.cert_path),
            },
        },
        "registration_authority": {
            "default": {
                "authentication": "one",
                "signing_ca": "local",
                "allowed_rsa_exponents": [65537],
                "max_failures": 1,
                "max_address_failures": 2,
                "failure_window_seconds": 1.5,
                "renewal": {
                    "enabled": True,
                    "grace_hours": 1.5,
                    "allow_fewer_names": True,
                    "max_renewals": 30,
                    "max_age_hours": 720,
                },
                "acme": {
                    "challenges": ["http-01", "dns-01", "tls-alpn-01", "dns-persist-01"],
                    "open": True,
                    "trust_token_names": True,
                    "profiles": {"short": {"description": "six hours", "valid_hours": 1.25}},
                    "networks": ["10.0.0.0/8"],
                    "resolvers": ["10.0.0.53"],
                    "challenge_seconds": 10,
                    "http_port": 80,
                    "tls_port": 443,
                    "caa": True,
                    "issuer_domain_names": ["ca.example.com"],
                    "order_hours": 24,
                    "max_duplicates": 5,
                    "max_pending_orders": 300,
                    "website": "https://www.example.com/",
                    "terms_of_service": "https://www.example.com/terms",
                },
                "validators": {
                    "standards_compliance": {"label_re": "[a-z]+", "allow_ipv4_mapped": False},
                    "source_cidrs": {"cidrs": ["10.0.0.0/8"]},
                    "whitelist_names": {
                        "names": ["%.example.com"],
                        "allow_cn_id": True,
                        "allow_dns_id": True,
                        "allow_ip_id": True,
                        "allow_uri_id": True,
                        "allow_email_id": True,
                        "allow_upn_id": True,
                        "allow_wildcard": False,
                    },
                    "requester_names": {"credential_names": "any"},
                    "blacklist_names": {
                        "domains": [".a"],
                        "networks": ["::1"],
                        "allowed_domains": [".b"],
                        "allowed_networks": ["10.0.0.0/8"],
                    },
                    "common_name": {"allowed_domains": ["."], "allowed_networks": ["::/0"]},
                    "alternative_names": {"allowed_domains": ["."]},
                    "alternative_names_ip": {"allowed_domains": ["."], "allowed_networks": []},
                    "server_group": {"group_prefixes": {"Nova": "nv"}},
                    "extensions": {"allowed_extensions": ["keyUsage"]},
                    "ca_status": {"ca_requested": False},
                    "key_usage": {"allowed_usage": ["digitalSignature"]},
                    "ext_key_usage": {"allowed_usage": ["serverAuth"]},
                    "public_key": {"allowed_keys": {"RSA": 3072, "EC": None}},
                    "compromised_keys": {"blocklist": "blocklist.dat"},
                    "subject_attributes": {"allowed": {"O": ["Example"]}, "required": ["O"]},
                },
                "fixups": {
                    "enforce_alternative_names_present": {},
                    "default_key_usage": {"usage": ["digitalSignature"]},
                    "default_extended_key_usage": {"usage": ["serverAuth"]},
                    "drop_extensions": {"extensions": ["keyUsage"]},
                    "normalize_names": {},
                    "drop_common_name": {},
                    "subject_attributes": {"keep": {"OU": ["%"]}, "fixed": {"O": "Example"}},
                },
            }
        },
        "audit": {
            "target": "messaging",
            "url": "rabbit://",
            "url_file": "u",
            "url_env": "U",
            "topic": "t",
            "queue_size": 1,
            "flush_seconds": 0.5,
        },
        "bans": {"path": "bans.json"},
    }


def test_the_complete_configuration_has_every_option(complete):
    """The tests below change each option of the complete configuration."""
    text = json.dumps(complete)
    checkpoint = {"checkpoint_key_path", "checkpoint_events", "checkpoint_seconds"}
    file_only = {"path", "node", *checkpoint}
    elsewhere = {"auth", "ca", "from", "next", "chain_path", *file_only}
    names = {path.rpartition("/")[2] for path, _ in options(SHIPPED)}

    sizes = {"DSA", "ED25519", "ED448"}
    assert set() == {name for name in names if f'"{name}"' not in text} - elsewhere - sizes


@pytest.fixture
def short(ca, tmp_path):
    """The short form with a next CA and an audit file."""
    root = make_ca(tmp_path, name="root")
    second = make_ca(tmp_path, name="second", issuer=root)
    return {
        "auth": {"static": {"user": "alice", "secret": "s3cret", "max_waiting": 2}},
        "ca": {
            "cert_path": str(ca.cert_path),
            "key_path": str(ca.key_path),
            "next": {
                "from": (now() + DAY).isoformat(),
                "cert_path": str(second.cert_path),
                "chain_path": str(root.cert_path),
                "key_path": "next.key",
            },
        },
        "validators": {"standards_compliance": {}},
        "fixups": {},
        "audit": {
            "target": "file",
            "path": "audit.jsonl",
            "checkpoint_key_path": "audit.key",
            "checkpoint_events": 5,
            "checkpoint_seconds": 1.5,
        },
    }


WRONG = (None, True, 7, "", "x", [7], {})
WRONG_NUMBERS = (-1, 0, 1.5)
UNKNOWN, MISSING = "an unknown key", "left out"

# Errors in the structure of a configuration, which the schema detects.
STRUCTURAL = re.compile(
    r"(unknown|missing) (option|key)|should be (a valid|an object|a path|greater|less|one of|'sha)"
    r"|is not a valid path"
)


def paths(node, path=()):
    """The path of every value below a path in a document."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    for key, inner in node.items() if isinstance(node, dict) else ():
        yield (*path, key)
        yield from paths(inner, (*path, key))


def parts(document):
    """Smaller documents that together contain the whole document.

    Testing every change on the whole document would take too long.
    """
    small = copy.deepcopy(document)
    authority = small["registration_authority"]["default"]
    of_plugins = {kind: authority[kind] for kind in ("validators", "fixups")}
    authority |= {kind: {} for kind in of_plugins}
    acme = authority.pop("acme", None)
    sections = {kind: small[kind] for kind in ("authentication", "signing_ca")}
    for kind, by_name in sections.items():
        small[kind] = {authority[kind]: by_name[authority[kind]]}
    yield small, ()
    if acme is not None:
        one = copy.deepcopy(small)
        one["registration_authority"]["default"]["acme"] = acme
        yield one, ("registration_authority", "default", "acme")
    for kind, by_name in sections.items():
        for name in by_name.keys() - {authority[kind]}:
            one = copy.deepcopy(small) | {kind: {name: by_name[name]}}
            one["registration_authority"]["default"][kind] = name
            yield one, (kind, name)
    for kind, by_name in of_plugins.items():
        for name, options in by_name.items():
            one = copy.deepcopy(small)
            one["registration_authority"]["default"][kind] = {name: options}
            yield one, ("registration_authority", "default", kind, name)


def variants(document, below=()):
    """The document with one change below a path, and a description of the change."""
    for path in [below, *paths(_at(document, below), below)]:
        number = isinstance(_at(document, path), int | float)
        changes = [*WRONG, *(WRONG_NUMBERS if number else ()), MISSING] if path else []
        for change in [*changes, UNKNOWN]:
            changed = copy.deepcopy(document)
            node = _at(changed, path[:-1])
            if change == UNKNOWN:
                inner = node[path[-1]] if path else changed
                if not isinstance(inner, dict):
                    continue
                inner["nonsense"] = {}
            elif change == MISSING:
                del node[path[-1]]
            else:
                node[path[-1]] = change
            yield path, change, changed


def _at(node, path):
    for key in path:
        node = node[key]
    return node


def config_errors(document, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(document))
    try:
        load_authorities(tmp_path / "config.json", offline=True, with_bans=False)
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.slow
@pytest.mark.parametrize("form", ["complete", "short"])
def test_the_schema_and_the_service_reject_the_same_documents(form, tmp_path, request):
    document = request.getfixturevalue(form)
    schema_validator = validator()

    assert ([], []) == (objections(document), config_errors(document, tmp_path))
    pieces = parts(document) if form == "complete" else [(document, ())]
    tried = [each for piece, below in pieces for each in variants(piece, below)]
    for path, change, changed in tried:
        accepted, reported = schema_validator.is_valid(changed), config_errors(changed, tmp_path)
        if not accepted:
            assert reported, f"only the schema refuses {path}: {change!r}: {objections(changed)}"
        structural = [line for line in reported if STRUCTURAL.search(line)]
        assert not (accepted and structural), f"the schema lets {path}: {change!r} pass: {reported}"
    assert len(tried) > 150


def test_the_schema_rejects_a_mixture_of_both_forms(complete, short):
    assert [] != objections(complete | {"ca": short["ca"]})
    assert [] != objections({"$schema": "x"})
    assert [] != objections({**short, "auth": {**short["auth"], "ldap": {}}})


@pytest.mark.parametrize("value", [7, None, {}, []])
def test_schema_is_a_string(document, tmp_path, value):
    assert ["$schema: should be a string"] == config_errors(
        {**document, "$schema": value}, tmp_path
    )


def test_a_backend_that_differs_from_its_key_is_rejected(short, tmp_path):
    short["auth"]["static"]["backend"] = "ldap"

    assert "auth.static.backend: is named by the key already" in config_errors(short, tmp_path)


def test_only_the_shipped_schema_accepts_unknown_plugins(document):
    authority = document["registration_authority"]["default"]
    authority["validators"] = {"not_there": {"any": ["thing"]}}
    installed = validator(schema.for_installed_plugins())

    assert [] == objections(document)
    assert not installed.is_valid(document)
    authority["validators"] = {}
    assert installed.is_valid(document)


def test_the_command_prints_the_options_of_installed_plugins(plugins, capsys):
    plugins(
        '''
def weekdays(csr, days: tuple[int, ...], strict: bool = False):
    """The request comes on a good day.

    Args:
        days: the good ones, of which
            Monday is 0.
    """

def broken(csr, x: "Nowhere"): ...

class Odd: ...

def odd(csr, odd: Odd | None = None, **more): ...

def signs(csr, conf):
    """Signs elsewhere."""
''',
        "[anchor.validators]\nweekdays = trouble:weekdays\nbroken = trouble:broken\n"
        "odd = trouble:odd\ngone = nowhere:x\n[anchor.signing_backends]\nremote = trouble:signs\n",
    )

    assert 0 == main(["schema"])

    printed = json.loads(capsys.readouterr().out)
    assert {
        "description": "The request comes on a good day.",
        "type": "object",
        "properties": {
            "days": {
                "description": "The good ones, of which Monday is 0.",
                "type": "array",
                "items": {"type": "integer"},
            },
            "strict": {"default": False, "type": "boolean"},
        },
        "required": ["days"],
        "additionalProperties": False,
    } == printed["$defs"]["validators.weekdays"]
    for name in ("broken", "gone"):
        assert {"type": "object"} == printed["$defs"][f"validators.{name}"]
    assert validator(printed, "$defs/validators.odd").is_valid({"odd": 1, "other": 2})
    remote = {"backend": "remote", "cert_path": "x", "anything": {}, "next": None}
    schema_validator = validator(printed, "$defs/signing_ca")
    assert schema_validator.is_valid(remote)
    assert not schema_validator.is_valid({**remote, "valid_hours": "1"})
    assert not schema_validator.is_valid({**remote, "backend": "remoter"})


def test_the_command_prints_the_shipped_schema(capsys):
    assert 0 == main(["schema", "--shipped"])

    assert schema.shipped_text() == capsys.readouterr().out


def test_a_new_configuration_names_a_schema_in_its_directory(tmp_path):
    main(["init", str(tmp_path / "new")])

    document = json.loads((tmp_path / "new/config.json").read_text())
    named = (tmp_path / "new" / document["$schema"]).read_text()
    assert schema.shipped_text() == named
    assert [] == objections(document)
    (tmp_path / "new/config.json").unlink()
    (tmp_path / "new/secret").unlink()
    (tmp_path / "new/config.schema.json").write_text("mine")
    for path in (tmp_path / "new/CA").iterdir():
        path.unlink()
    assert 0 == main(["init", str(tmp_path / "new")])
    assert "mine" == (tmp_path / "new/config.schema.json").read_text()


def test_every_option_is_in_the_reference():
    """Every option has a directive on one of the reference pages."""
    without_options = {"audit.log", *(name for name in SHIPPED["$defs"] if _is_empty(name))}
    internal = {name for name in SHIPPED["$defs"] if name.startswith("next.")}

    inner = {
        "web",
        "signing_ca.next",
        "registration_authority.acme",
        "registration_authority.renewal",
    }
    assert inner | SHIPPED["$defs"].keys() == (
        reference_pages.documented() | without_options | internal
    )


def _is_empty(name):
    return not SHIPPED["$defs"][name]["properties"]


def test_a_remark_about_a_missing_option_fails_the_build():
    assert reference_pages.options.lines("bans", {"path": ["It is small."]})
    with pytest.raises(KeyError, match="no option paths"):
        reference_pages.options.lines("bans", {"paths": ["It is small."]})
