"""``anchor token``: create, list, revoke and prune tokens."""

from __future__ import annotations

import json
import stat

import pytest
from cryptography.hazmat.primitives import hashes

from anchor.auth.token import mac_key_of
from anchor.cli import main
from anchor.errors import DatabaseUnavailable
from anchor.store.acme_records import AccountStatus
from anchor.store.database.acme_accounts import AcmeAccounts
from anchor.store.database.tokens import Tokens
from tests.support.acme import add_account
from tests.support.inventory import open_database
from tests.support.pki import make_csr
from tests.support.refused_renewals import refused_renewal
from tests.support.renewal import renewed
from tests.support.tokens import HOUR, add_token, make_token, token_configuration

CSR = make_csr("web1.example.com", "web1.example.com")


@pytest.fixture
def document(document):
    return token_configuration(document)


@pytest.fixture
def anchor(tmp_path, document, capsys):
    """Runs ``anchor``; returns its exit code, its output and its errors."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))

    def run(*arguments):
        capsys.readouterr()
        try:
            code = main.main([*arguments, "--config", str(config)])
        except SystemExit as ended:
            code = ended.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def create(anchor):
    """Creates a token as JSON; returns it."""

    def run(*arguments):
        words = ("--authority", "default", "--requester", "web1", "--json", *arguments)
        code, output, errors = anchor("token", "create", *words)
        assert (code, errors) == (0, "")
        return json.loads(output)

    return run


def test_a_token_is_good_for_one_certificate_within_a_day(create, service):
    token = create()

    assert list(token)[:2] == ["id", "secret"]
    stored = Tokens(service.settings.database).find(token["id"])
    assert (stored.uses, stored.expires - stored.created) == (1, 24 * HOUR)
    service.issue(CSR, user=token["id"], secret=token["secret"])
    service.sign(CSR, user=token["id"], secret=token["secret"], status=401)


def test_everything_about_a_token_can_be_chosen(create, service):
    token = create(
        *("--group", "web", "--group", "prod", "--group", "web", "--uses", "3"),
        *("--name", "WEB1.example.com", "--name", "192.0.2.1", "--name", "web1.example.com."),
        *("--expires", "90min"),
    )

    stored = Tokens(service.settings.database).find(token["id"])
    assert (stored.groups, stored.names) == (("web", "prod"), ("web1.example.com", "192.0.2.1"))
    assert (stored.uses, stored.expires - stored.created) == (3, 1.5 * HOUR)
    assert (token["groups"], token["names"]) == (["web", "prod"], ["web1.example.com", "192.0.2.1"])


def test_a_token_without_an_end_has_to_be_asked_for(create, anchor):
    assert create("--expires", "never")["expires"] is None

    assert "never" in anchor("token", "list", "--usable")[1]


def test_the_text_has_the_id_and_the_secret(anchor, service):
    code, output, errors = anchor(
        "token", "create", "--authority", "default", "--requester", "web1"
    )

    assert (code, errors) == (0, "")
    values = dict(line.split(maxsplit=1) for line in output.splitlines())
    assert list(values) == ["id:", "secret:", "uses:", "expires:"]
    service.issue(CSR, user=values["id:"], secret=values["secret:"])


def test_a_token_can_be_written_to_a_file_that_only_its_owner_can_read(anchor, service, tmp_path):
    path = tmp_path / "web1.token"
    words = ("token", "create", "--authority", "default", "--requester", "web1", "--output")

    code, output, errors = anchor(*words, str(path))

    assert (code, errors) == (0, "")
    token = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token["secret"] not in output and token["id"] in output
    service.issue(CSR, user=token["id"], secret=token["secret"])

    before = path.read_text()
    code, output, errors = anchor(*words, str(path))
    assert (code, output) == (1, "") and "exists already" in errors
    assert path.read_text() == before
    code, output, errors = anchor(*words, str(tmp_path / "\x1b" / ("x" * 300)))
    assert (code, output) == (1, "") and "\x1b" not in errors
    assert len(list(Tokens(service.settings.database).select())) == 1


def test_a_token_that_cannot_be_stored_leaves_no_file(anchor, tmp_path, monkeypatch):
    def fail(*_):
        raise DatabaseUnavailable("the database is locked")

    monkeypatch.setattr(Tokens, "add", fail)
    path = tmp_path / "web1.token"

    code, output, errors = anchor(
        *("token", "create", "--authority", "default", "--requester", "web1"),
        *("--output", str(path)),
    )

    assert (code, output) == (1, "") and "the database is locked" in errors
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("--authority", "x"), 1, "no registration authority 'x': the configuration has 'default'"),
        (("--requester", ""), 1, "should be 1 to 255 printable characters"),
        (("--requester", " web1"), 1, "without spaces around them"),
        (("--requester", "web1\n"), 1, "printable"),
        (("--requester", "\x1b[31m"), 1, "printable"),
        (("--requester", "\udcff"), 1, "printable"),
        (("--requester", "x" * 256), 1, "1 to 255"),
        (("--group", ""), 1, "--group: "),
        (("--name", "web%.example.com"), 1, "one name, no pattern"),
        (("--name", ""), 1, "--name: "),
        (("--name", "10.0.0.0/8"), 1, "--name: "),
        (("--uses", "0"), 2, "not a number from 1 to 1,000,000"),
        (("--uses", "-1"), 2, "not a number from 1"),
        (("--uses", "1000001"), 2, "not a number from 1"),
        (("--uses", "9" * 5000), 2, "not a number from 1"),
        (("--uses", "१"), 2, "not a number from 1"),
        (("--expires", "0"), 2, "less than a second"),
        (("--expires", "-1h"), 2, "expected one argument"),
        (("--expires", "soon"), 2, "not a span"),
    ],
)
def test_a_mistake_creates_no_token(anchor, service, arguments, code, reason):
    required = {"--authority": "default", "--requester": "web1"}
    words = [word for pair in (required | dict([arguments])).items() for word in pair]

    got, output, errors = anchor("token", "create", *words)

    assert (got, output) == (code, "")
    assert reason in errors
    assert list(Tokens(service.settings.database).select()) == []


@pytest.mark.parametrize("used", ["static", ["static"], ["static", "none"], None, 7])
def test_an_authority_that_accepts_no_tokens_is_named(anchor, document, tmp_path, used):
    document["authentication"]["static"] = {"backend": "static", "user": "a", "secret": "b"}
    document["registration_authority"]["default"]["authentication"] = used
    (tmp_path / "config.json").write_text(json.dumps(document))

    code, output, errors = anchor(
        "token", "create", "--authority", "default", "--requester", "web1"
    )

    assert (code, output) == (1, "")
    assert "registration_authority.default.authentication: names no authentication that" in errors
    assert '{"backend": "token"}' in errors


def test_an_authority_with_several_authentications_may_have_tokens(anchor, document, tmp_path):
    document["registration_authority"]["default"]["authentication"] = ["static", "tokens"]
    (tmp_path / "config.json").write_text(json.dumps(document))

    assert anchor("token", "create", "--authority", "default", "--requester", "web1")[0] == 0


# The list.


def test_the_list_has_no_secrets_and_only_usable_tokens(anchor, create, service):
    tokens = Tokens(service.settings.database)
    usable = create("--uses", "5", "--name", "web1.example.com")
    service.issue(CSR, user=usable["id"], secret=usable["secret"])
    revoked = create()
    tokens.revoke(revoked["id"])
    expired = make_token(expires=make_token().created - HOUR)
    tokens.add(expired)

    code, output, errors = anchor("token", "list", "--usable")
    header, line = output.splitlines()
    assert (code, errors) == (0, "")
    assert header.split()[:2] == ["ID", "STATE"]
    assert "4 of 5" in line and usable["id"] in line and "web1.example.com" in line

    output = anchor("token", "list", "--json")[1]
    listed = {each["id"]: each for each in map(json.loads, output.splitlines())}
    assert {each["state"] for each in listed.values()} == {"usable", "revoked", "expired"}
    assert (listed[usable["id"]]["used"], listed[usable["id"]]["uses_left"]) == (1, 4)
    assert listed[revoked["id"]]["revoked"]
    everything = output + anchor("token", "list")[1]
    for token in (usable, revoked):
        assert token["secret"] not in everything
        assert tokens.find(token["id"]).secret_hash not in everything


def test_an_empty_list_says_so(anchor, service):
    service.settings.database.prepare()

    assert anchor("token", "list", "--usable")[1].startswith(
        "there is no token that can be used in "
    )
    assert anchor("token", "list")[1].startswith("there is no token in ")
    assert anchor("token", "list", "--json") == (0, "", "")


def test_a_list_without_a_database_creates_none(anchor, tmp_path):
    code, _, errors = anchor("token", "list", "--usable")

    assert code == 1 and "there is no database yet" in errors
    assert not (tmp_path / "anchor.db").exists()


def test_hostile_text_in_a_token_reaches_no_terminal(anchor, service):
    add_token(service.settings.database, requester="\x1b[31mweb1", names=("\x1b[2J" * 100,))

    output = anchor("token", "list", "--usable")[1]

    assert "\x1b" not in output and "web1" in output


# Revoking.


def test_a_revoked_token_gets_nothing_more_and_its_certificates_are_told(anchor, create, service):
    token = create("--uses", "5")
    certificate = service.issue(CSR, user=token["id"], secret=token["secret"])

    code, output, _ = anchor("token", "revoke", token["id"])

    assert code == 0
    first, header, line, last = output.splitlines()
    assert first.endswith(
        f"the token {token['id']} of web1 is revoked: its certificates are not renewed any more"
    )
    assert header.startswith("EXPIRES") and "web1.example.com" in line
    assert last.startswith("the last certificate of the token ends at ")
    service.sign(CSR, user=token["id"], secret=token["secret"], status=401)
    assert "was revoked" in refused_renewal(service, certificate, CSR)

    code, output, _ = anchor("token", "revoke", token["id"], "--json")
    report = json.loads(output)
    assert (code, report["newly_revoked"], report["token"]["state"]) == (0, False, "revoked")
    assert [f"{certificate.serial_number:x}"] == [each["serial"] for each in report["certificates"]]
    assert "was revoked already" in anchor("token", "revoke", token["id"])[1]
    assert token["secret"] not in output


def test_a_token_of_an_authority_with_acme_can_make_accounts(anchor, create, document, tmp_path):
    assert create()["acme"] is False

    document["registration_authority"]["default"]["acme"] = {"challenges": []}
    (tmp_path / "config.json").write_text(json.dumps(document))
    token = create()

    database = open_database(tmp_path)
    assert token["acme"] is True
    assert Tokens(database).find(token["id"]).mac_key == mac_key_of(token["secret"])
    lines = anchor("token", "create", "--authority", "default", "--requester", "web1")[1]
    assert "ACME:    the id is the key identifier (kid), the secret is the HMAC key" in lines
    listed = [json.loads(line) for line in anchor("token", "list", "--json")[1].splitlines()]
    assert sorted(each["acme"] for each in listed) == [False, True, True]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_token_that_the_policy_always_refuses_is_created_with_a_warning(
    anchor, document, tmp_path, as_json
):
    words = ["token", "create", "--authority", "default", "--requester", "web1"]
    words += ["--json"] if as_json else []
    document["registration_authority"]["default"]["validators"]["requester_names"] = {
        "credential_names": "any"
    }
    (tmp_path / "config.json").write_text(json.dumps(document))

    code, output, errors = anchor(*words)
    assert (code, "secret" in output) == (0, True)
    assert errors.startswith(
        "warning: the token is not limited to names, and the policy of 'default' "
    )
    assert errors.endswith("create one with --name, and revoke this one\n")
    assert anchor(*words, "--name", "web1.example.com")[2] == ""


def test_a_revoked_token_ends_its_accounts(anchor, create, tmp_path):
    token = create("--uses", "3")
    database = open_database(tmp_path)
    bound = [add_account(database, token_id=token["id"]) for _ in range(2)]
    add_account(database, token_id=token["id"], status=AccountStatus.DEACTIVATED)
    gone = add_account(database, token_id=create()["id"], status=AccountStatus.DEACTIVATED)
    other = add_account(database)

    code, output, _ = anchor("token", "revoke", token["id"])

    assert code == 0
    assert "ACME accounts that ended with the token: 2\n" in output
    report = json.loads(anchor("token", "revoke", token["id"], "--json")[1])
    assert sorted(report["accounts"]) == sorted(account.id for account in bound)
    assert "ACME accounts" not in anchor("token", "revoke", gone.token_id)[1]
    accounts = AcmeAccounts(database)
    assert {accounts.find(account.id).status.value for account in bound} == {"revoked"}
    assert accounts.find(gone.id).status is AccountStatus.DEACTIVATED
    assert accounts.find(other.id).status is AccountStatus.VALID


def test_a_token_without_certificates_says_so(anchor, create):
    output = anchor("token", "revoke", create()["id"])[1]

    assert output.endswith("there is no certificate of the token in force\n")


def test_an_unknown_token_is_no_success(anchor, create):
    create()

    code, output, _ = anchor("token", "revoke", "tk_" + "a" * 16)

    assert code == 1 and "there is no token tk_aaaa" in output


def test_a_secret_in_place_of_the_id_is_not_repeated(anchor, create):
    token = create()

    code, output, errors = anchor("token", "revoke", f"x{token['secret']}")

    assert (code, output) == (1, "")
    assert token["secret"] not in errors and "not an identifier of a token" in errors
    assert (
        "that is not an identifier of a token, which is tk_" in anchor("token", "revoke", "xx")[2]
    )


def test_the_certificates_of_a_pruned_token_are_still_told(anchor, create, service):
    token = create("--expires", "1h")
    service.issue(CSR, user=token["id"], secret=token["secret"])
    tokens = Tokens(service.settings.database)
    assert tokens.prune(make_token().created + 2 * HOUR) == 0
    assert tokens.prune(make_token().created + 48 * HOUR) == 1

    code, output, _ = anchor("token", "revoke", token["id"])

    assert code == 1 and "web1.example.com" in output
    assert "the last certificate of the token ends" in output
    assert token["id"] not in anchor("token", "list")[1]


# In other commands.


def test_certificates_are_found_by_their_token(anchor, create, service):
    token, other = create(), create()
    for each in (token, other):
        service.issue(CSR, user=each["id"], secret=each["secret"])

    found = anchor("certs", "--token", token["id"], "--json")[1].splitlines()

    [fingerprint] = [json.loads(line)["fingerprint"] for line in found]
    assert anchor("certs", "--token", "tk_none")[1].startswith("there is no certificate that match")
    shown = anchor("certs", "show", fingerprint)[1]
    assert f"token:       {token['id']}" in shown
    shown = json.loads(anchor("certs", "show", fingerprint, "--json")[1])
    assert (shown["token_id"], shown["claims"]) == (token["id"], None)


def test_the_lineage_of_a_renewed_certificate_is_shown(anchor, create, service):
    token = create()
    old = service.issue(CSR, user=token["id"], secret=token["secret"])
    first = old.fingerprint(hashes.SHA256()).hex()
    new = renewed(service, old, CSR).fingerprint(hashes.SHA256()).hex()

    shown = anchor("certs", "show", new)[1]
    assert f"renewed from: {first}\n" in shown and "renewals:    1\n" in shown
    assert "credential:  certificate" in shown
    before, after = (
        json.loads(anchor("certs", "show", each, "--json")[1]) for each in (first, new)
    )
    assert (before["renewed_from"], before["renewals"], before["lineage_since"]) == (None, 0, None)
    assert (after["renewed_from"], after["renewals"]) == (first, 1)
    assert after["lineage_since"] == before["issued_at"]


def test_certificates_are_found_by_the_one_that_was_renewed(anchor, create, service):
    token = create("--uses", "2")
    old, other = (service.issue(CSR, user=token["id"], secret=token["secret"]) for _ in range(2))
    first, _ = (each.fingerprint(hashes.SHA256()).hex() for each in (old, other))
    new = {renewed(service, old, CSR).fingerprint(hashes.SHA256()).hex() for _ in range(2)}
    renewed(service, other, CSR)

    with_colons = ":".join(first[i : i + 2] for i in range(0, 64, 2))
    for text in (first, first[:12], first.upper(), with_colons):
        found = anchor("certs", "--renewed-from", text, "--json")[1].splitlines()
        assert {json.loads(line)["fingerprint"] for line in found} == new
    assert anchor("certs", "--renewed-from", "x")[0] == 2


def test_pruning_deletes_ended_tokens_too(anchor, create, service):
    create()
    tokens = Tokens(service.settings.database)
    end = make_token().created - 48 * HOUR
    tokens.add(make_token(created=end - HOUR, expires=end))

    for days, expected in (("3", 0), ("1", 1)):
        words = ("certs", "--prune", "--older-than", days)
        output = anchor(*words, "--dry-run")[1]
        assert ("would delete 1 tokens" in output) == bool(expected)
        assert ("deleted 1 tokens" in anchor(*words)[1]) == bool(expected)
    assert len(list(tokens.select())) == 1
