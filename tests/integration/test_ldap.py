"""Authentication by a real OpenLDAP."""

from __future__ import annotations

import contextlib
import logging
import sys

import ldap3
import pytest
from ldap3.core.exceptions import LDAPEntryAlreadyExistsResult

from anchor.auth import ldap_connection
from anchor.auth.loading import load_authenticator
from anchor.auth.results import AuthDetails
from anchor.errors import ConfigurationError, NotAuthenticated
from tests.support.pki import make_csr, shared_key
from tests.support.refused_renewals import refused_renewal
from tests.support.renewal import renew
from tests.support.servers.broken import broken_server
from tests.support.servers.processes import free_port
from tests.support.servers.slapd import SUFFIX

PEOPLE = f"ou=people,{SUFFIX}"
NOVA = AuthDetails("alice", ("Nova", "Odd, +ends", "Swift"))
BY_DN = {"service_dn": None, "service_secret": None, "user_dn": f"uid={{user}},{PEOPLE}"}


@pytest.fixture
def authenticate(slapd, tmp_path):
    """Authenticates with changed options of the backend."""

    def ask(user, secret, **changes):
        authenticator = load_authenticator("corp", slapd.options(**changes), tmp_path)
        return authenticator.authenticate("default", user, secret)

    return ask


@pytest.mark.parametrize("lookup", [{}, BY_DN], ids=["service account", "DN template"])
def test_a_user_has_the_name_and_the_groups_in_the_directory(authenticate, lookup):
    assert authenticate("alice", "alice-secret", **lookup) == NOVA
    assert authenticate("ALICE", "alice-secret", **lookup) == NOVA


@pytest.mark.parametrize("lookup", [{}, BY_DN], ids=["service account", "DN template"])
def test_start_tls(slapd, authenticate, lookup):
    lookup = lookup | {"ssl": False, "start_tls": True, "port": slapd.port}
    assert authenticate("alice", "alice-secret", **lookup) == NOVA


def test_plain_text_when_it_is_asked_for(slapd, authenticate):
    lookup = {"ssl": False, "allow_plaintext": True, "port": slapd.port}
    assert authenticate("alice", "alice-secret", **lookup) == NOVA


@pytest.mark.parametrize("lookup", [{}, BY_DN], ids=["service account", "DN template"])
@pytest.mark.parametrize(
    "user",
    [
        "nobody",
        "alic*",
        "*",
        "*)(uid=*",
        "alice)(uid=*",
        "alice,ou=people",
        "alice+cn=Alice",
        "alice\0",
        "alice\n",
        "alice\r\nbob",
        " alice",
        "alice ",
        "alice@other.domain",
        "EXAMPLE\\alice",
        "\\61lice",
        "",
        "a" * 300,
        "alice\u200b",
        "\udcff",
        f"alice,{PEOPLE}",
    ],
    ids=lambda user: ascii(user)[:20],
)
def test_a_hostile_name_matches_no_user(authenticate, lookup, user):
    with pytest.raises(NotAuthenticated):
        authenticate(user, "alice-secret", **lookup)


@pytest.mark.parametrize("lookup", [{}, BY_DN], ids=["service account", "DN template"])
def test_a_name_full_of_separators_is_one_name(authenticate, lookup):
    identity = authenticate("odd,name+x=y", "odd-secret", **lookup)

    assert AuthDetails("odd,name+x=y", ("Nova",)) == identity


@pytest.mark.parametrize("lookup", [{}, BY_DN], ids=["service account", "DN template"])
@pytest.mark.parametrize(
    ("user", "secret"),
    [("alice", "wrong"), ("nobody", "wrong"), ("dave", "wrong"), ("alice", "alice-secret\0")],
)
def test_wrong_unknown_and_without_a_password_are_refused_alike(authenticate, lookup, user, secret):
    with pytest.raises(NotAuthenticated) as refused:
        authenticate(user, secret, **lookup)

    assert str(refused.value) == "the credentials were not accepted"


def test_an_unknown_user_is_asked_for_a_secret_too(slapd, tmp_path):
    """The directory gets as many binds as for a known user, so the time is about the same."""
    authenticator = load_authenticator("corp", slapd.options(), tmp_path)
    counts = []
    for user in ("alice", "nobody"):
        before = slapd.operations("Bind")
        with pytest.raises(NotAuthenticated):
            authenticator.authenticate("default", user, "wrong")
        counts.append(slapd.operations("Bind") - before)

    assert counts[0] == counts[1]


@pytest.mark.parametrize("secret", ["", "\0", "\udcff"], ids=ascii)
@pytest.mark.parametrize("lookup", [{}, BY_DN], ids=["service account", "DN template"])
def test_an_empty_secret_or_what_a_server_may_take_for_one_does_not_reach_the_directory(
    slapd, tmp_path, lookup, secret
):
    authenticator = load_authenticator("corp", slapd.options(**lookup), tmp_path)
    before = slapd.operations("Bind")

    with pytest.raises(NotAuthenticated):
        authenticator.authenticate("default", "alice", secret)

    # One of them is the search for this number.
    assert slapd.operations("Bind") == before + 1


def test_a_secret_is_not_changed_on_its_way(authenticate):
    """The secret contains a soft hyphen, which SASLprep would remove."""
    with pytest.raises(NotAuthenticated):
        authenticate("alice", "alice-\u00adsecret")


def test_a_name_with_two_entries_is_refused(authenticate, caplog):
    lookup = {"filter": "(mail={user})"}
    assert authenticate("alice@example.com", "alice-secret", **lookup).username == "alice"

    with pytest.raises(NotAuthenticated):
        authenticate("shared@example.com", "carol-secret", **lookup)

    assert "more than one entry" in caplog.text


def test_a_user_with_the_name_of_another_one_is_refused(slapd, authenticate, caplog):
    by_mail = {"filter": "(&(objectClass=inetOrgPerson)(|(uid={user})(mail={user})))"}
    slapd.add_user("twin", mail="first@example.com")
    assert authenticate("first@example.com", "secret", **by_mail).username == "twin"

    with slapd.administration() as connection:
        values = {"sn": "B", "uid": "twin", "mail": "second@example.com", "userPassword": "other"}
        connection.add(f"cn=Twin B,{PEOPLE}", "inetOrgPerson", values)

    for mail, secret in [("second@example.com", "other"), ("first@example.com", "secret")]:
        with pytest.raises(NotAuthenticated):
            authenticate(mail, secret, **by_mail)
        assert "more than one entry matches the user name 'twin'" in caplog.text
        caplog.clear()
    # Entries that the filter excludes are no users.
    only_first = {"filter": "(&(mail={user})(!(cn=Twin B)))"}
    assert authenticate("first@example.com", "secret", **only_first).username == "twin"


def test_an_entry_with_two_names_is_refused(authenticate, caplog):
    for user in ("two", "names"):
        with pytest.raises(NotAuthenticated):
            authenticate(user, "two-secret")
    assert "has 2 values of uid" in caplog.text


def test_an_entry_without_the_name_is_refused(authenticate):
    with pytest.raises(NotAuthenticated):
        authenticate("alice", "alice-secret", **BY_DN, name_attribute="employeeNumber")


def test_a_missing_base_is_a_refusal_and_a_warning(authenticate, caplog):
    with pytest.raises(NotAuthenticated):
        authenticate("alice", "alice-secret", base="ou=nowhere,dc=example,dc=com")

    assert "has no 'ou=nowhere,dc=example,dc=com'" in caplog.text


def test_groups_can_be_whole_names_and_below_a_base(authenticate):
    assert authenticate("alice", "alice-secret", group_base=f"OU=Groups, {SUFFIX}").groups == (
        "Nova",
        "Odd, +ends",
    )
    whole = authenticate(
        "alice", "alice-secret", group_name="whole", group_base=f"ou=elsewhere,{SUFFIX}"
    )
    assert [f"cn=swift,ou=elsewhere,{SUFFIX}"] == [group.lower() for group in whole.groups]


@pytest.mark.parametrize("escaped", ["Sales\\, EMEA", "sales\\2c EMEA", "Sales\\2C\\20EMEA"])
def test_the_base_of_groups_may_have_escapes(slapd, authenticate, escaped):
    user = f"sales{len(escaped)}"
    unit = f"ou=Sales\\, EMEA,{SUFFIX}"
    member = slapd.add_user(user)
    with slapd.administration() as connection, contextlib.suppress(LDAPEntryAlreadyExistsResult):
        connection.add(unit, "organizationalUnit")
    with slapd.administration() as connection:
        connection.add(f"cn={user},{unit}", "groupOfNames", {"member": member})
        connection.modify(NOVA_GROUP, {"member": [(ldap3.MODIFY_ADD, [member])]})

    assert authenticate(user, "secret").groups == ("Nova", user)
    assert authenticate(user, "secret", group_base=f"OU={escaped},{SUFFIX}").groups == (user,)


def test_a_group_attribute_need_not_hold_names_of_entries(authenticate):
    identity = authenticate("alice", "alice-secret", group_attribute="sn", group_name="whole")

    assert identity.groups == ("A",)


def test_no_memberof_is_no_groups(authenticate):
    assert authenticate("bob", "bob-secret").groups == ()


def test_a_filter_can_restrict_the_users(authenticate):
    lookup = {"filter": f"(&(uid={{user}})(memberOf=cn=Nova,ou=groups,{SUFFIX}))"}
    assert authenticate("alice", "alice-secret", **lookup).username == "alice"
    assert authenticate("alice", "alice-secret", **lookup, **BY_DN).username == "alice"

    for more in ({}, BY_DN):
        with pytest.raises(NotAuthenticated):
            authenticate("bob", "bob-secret", **lookup, **more)


def config_errors(options, tmp_path):
    with pytest.raises(ConfigurationError) as error:
        load_authenticator("corp", options, tmp_path)
    return [str(problem) for problem in error.value.problems]


GOOD = {"backend": "ldap", "host": "localhost", "base": SUFFIX, "domain": "example.com"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ssl": False},
            "secrets would go over the wire in the clear: use 'ssl', 'start_tls' or, "
            "if you have to, 'allow_plaintext'",
        ),
        ({"start_tls": True}, "'start_tls' is for the plain port: it needs \"ssl\": false"),
        (
            {"user_dn": "uid={user}"},
            "exactly one of 'domain', 'user_dn' and 'service_dn' is needed",
        ),
        ({"domain": None}, "exactly one of 'domain', 'user_dn' and 'service_dn' is needed"),
        ({"domain": " "}, "domain: is empty"),
        ({"base": ""}, "base: is empty"),
        ({"group_base": " "}, "group_base: is empty"),
        ({"domain": None, "user_dn": "uid=alice"}, "user_dn: should have {user} in it"),
        ({"filter": "(uid=alice)"}, "filter: should have {user} in it"),
        ({"filter": "(uid={user}"}, "filter: is not a filter: invalid filter"),
        ({"service_secret": "x"}, "a 'service_secret' is of no use without 'service_dn'"),
        (
            {"domain": None, "service_dn": "cn=a"},
            "exactly one of 'service_secret', "
            "'service_secret_file' and 'service_secret_env' is needed",
        ),
        (
            {"ca_file": "nowhere.pem"},
            "ca_file: {}/nowhere.pem is no file of CA certificates: No such file or directory",
        ),
        ({"host": []}, "host: should be the name of a host, or a list of such names"),
        (
            {"host": "ldaps://localhost"},
            "host: should be a name such as 'ldap.example.com', not a URL",
        ),
        ({"host": 5}, "host: should be the name of a host, or a list of such names"),
        ({"port": 70000}, "port: should be less than or equal to 65535"),
        ({"timeout": 0}, "timeout: should be greater than 0"),
        ({"ssl": "yes"}, "ssl: should be a valid boolean"),
        ({"tls": True}, "unknown option 'tls': did you mean 'start_tls'?"),
        ({"max_waiting": 0}, "max_waiting: should be greater than or equal to 1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_contradictory_options_are_errors(tmp_path, changes, message):
    options = {name: value for name, value in (GOOD | changes).items() if value is not None}

    assert message.replace("{}", str(tmp_path)) in config_errors(options, tmp_path)


def test_all_errors_are_reported_at_once(tmp_path):
    options = GOOD | {"ssl": False, "domain": "", "filter": "uid"}

    assert len(config_errors(options, tmp_path)) == 3 + 1


def test_a_missing_library_is_named_with_what_installs_it(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("ldap3")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("anchor.auth.ldap", "anchor.auth.ldap_connection", "anchor.auth.ldap_lookup"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "ldap3", None)

    [message] = config_errors(GOOD, tmp_path)

    assert "pip install anchor[ldap]" in message


def test_neither_secrets_nor_those_of_the_service_are_in_the_log(
    slapd, serve, document, caplog, audit
):
    caplog.set_level(logging.DEBUG)
    document["authentication"]["static"] = slapd.options()
    service = serve(document)

    service.sign(user="alice", secret="alice-secret", status=200)
    service.sign(user="alice", secret="wrong-secret", status=401)
    service.sign(user="*", secret="alice-secret", status=401)

    assert "service-secret" not in caplog.text
    assert "alice-secret" not in caplog.text
    assert "wrong-secret" not in caplog.text
    assert ["alice", "alice", "alice", "*"] == [event["user"] for event in audit.events()]


def test_the_audit_has_the_directorys_spelling_of_a_name(slapd, serve, document, audit):
    document["authentication"]["static"] = slapd.options()

    serve(document).sign(user="ALICE", secret="alice-secret", status=200)

    assert [("audit.auth", "alice"), ("audit.sign", "alice")] == [
        (event["event"], event["user"]) for event in audit.events()
    ]


def test_results_come_in_pages(slapd, monkeypatch):
    monkeypatch.setattr(ldap_connection, "_PAGE", 2)
    directory = ldap_connection.Directory(("127.0.0.1",), slapd.port, None, False, 5, 5)

    def ask(connection):
        assert connection.bind(f"cn=anchor,ou=services,{SUFFIX}", "service-secret")
        return connection.search_all(PEOPLE, "(objectClass=inetOrgPerson)")

    found = directory.with_connection(ask)
    assert f"uid=alice,{PEOPLE}" in found
    assert len(set(found)) == len(found) > 4


# ---- renewals


@pytest.fixture
def renewing(slapd, serve, document):
    """Adds a user, and gets a certificate for a name that members of Nova may have.

    Returns the service, the certificate, the request, and the user's DN.
    """

    def begin(user, *, member=True, login=None, **changes):
        document["authentication"]["static"] = slapd.options(**changes)
        authority = document["registration_authority"]["default"]
        authority["validators"] = {"server_group": {"group_prefixes": {"Nova": "nv"}}}
        dn = slapd.add_user(user, mail=f"{user}@example.com")
        if member:
            with slapd.administration() as connection:
                connection.modify(NOVA_GROUP, {"member": [(ldap3.MODIFY_ADD, [dn])]})
        service = serve(document)
        csr = make_csr("nv-1.example.com" if member else "www.example.com")
        return service, service.issue(csr, user=login or user, secret="secret"), csr, dn

    return begin


NOVA_GROUP = f"cn=Nova,ou=groups,{SUFFIX}"


def change(dn, **values):
    """A change of the administrator that sets attributes; None removes one."""
    changes = {
        name: [(ldap3.MODIFY_REPLACE, [] if value is None else [value])]
        for name, value in values.items()
    }
    return lambda connection: connection.modify(dn, changes)


def test_a_renewal_needs_the_user_and_the_groups_that_the_policy_needs(slapd, renewing):
    service, certificate, csr, dn = renewing("renews")
    assert renew(service, certificate, shared_key(), csr).status_int == 200

    with slapd.administration() as connection:
        connection.modify(NOVA_GROUP, {"member": [(ldap3.MODIFY_DELETE, [dn])]})
    assert "server_group" in refused_renewal(service, certificate, csr, status=400)

    with slapd.administration() as connection:
        connection.modify(NOVA_GROUP, {"member": [(ldap3.MODIFY_ADD, [dn])]})
    assert renew(service, certificate, shared_key(), csr).status_int == 200

    with slapd.administration() as connection:
        connection.delete(dn)
    assert "not known any more" in refused_renewal(service, certificate, csr)


def test_a_user_whose_account_is_locked_renews_nothing(slapd, renewing):
    service, certificate, csr, dn = renewing("locked", member=False)

    with slapd.administration() as connection:
        change(dn, pwdAccountLockedTime="000001010000Z")(connection)
    assert "disabled or expired" in refused_renewal(service, certificate, csr)

    with slapd.administration() as connection:
        change(dn, pwdAccountLockedTime=None)(connection)
    assert renew(service, certificate, shared_key(), csr).status_int == 200


@pytest.mark.parametrize(
    ("attribute", "refused", "accepted"),
    [
        ("pwdStartTime", "20991231235959Z", "20250101000000Z"),
        ("pwdEndTime", "20250101000000Z", "20991231235959Z"),
    ],
)
def test_a_user_renews_only_while_the_directory_would_accept_the_password(
    slapd, renewing, attribute, refused, accepted
):
    service, certificate, csr, dn = renewing(f"limited-{attribute}", member=False)
    policy = slapd.add_password_policy(attribute)

    with slapd.administration() as connection:
        change(dn, pwdPolicySubentry=policy, **{attribute: refused})(connection)
    service.sign(csr, user=f"limited-{attribute}", secret="secret", status=401)
    assert "disabled or expired" in refused_renewal(service, certificate, csr)

    with slapd.administration() as connection:
        change(dn, **{attribute: accepted})(connection)
    assert renew(service, certificate, shared_key(), csr).status_int == 200


@pytest.mark.parametrize(
    "filter_",
    ["(mail={user})", "(mail:caseIgnoreIA5Match:={user})", "(&(mail={user})(!(title=left)))"],
)
def test_a_renewal_needs_an_entry_that_the_filter_matches(slapd, renewing, filter_):
    user = f"filtered{len(filter_)}"
    changes = {"filter": filter_, "login": f"{user}@example.com", "member": False}
    service, certificate, csr, dn = renewing(user, **changes)
    assert renew(service, certificate, shared_key(), csr).status_int == 200

    with slapd.administration() as connection:
        left = {"title": "left"} if "title" in filter_ else {"mail": None}
        change(dn, **left)(connection)
    assert "not known any more" in refused_renewal(service, certificate, csr)


def test_a_user_name_that_two_entries_have_renews_nothing(slapd, renewing):
    service, certificate, csr, _ = renewing("twice", member=False)

    slapd.add_user("other", uid=["other", "twice"])

    assert "not known any more" in refused_renewal(service, certificate, csr)


def test_a_directory_that_cannot_be_asked_renews_nothing(slapd, serve, document, renewing, caplog):
    _, certificate, csr, dn = renewing("unasked", member=False)
    section = document["authentication"]["static"]

    section["port"] = free_port()
    answer = refused_renewal(serve(document), certificate, csr, status=503)
    assert "the credentials cannot be checked now" in answer

    section |= {"port": slapd.tls_port, "service_secret": "wrong"}
    refused_renewal(serve(document), certificate, csr, status=503)
    assert "does not accept the service account" in caplog.text

    # With the user's own bind there is nobody who may ask.
    del section["service_dn"], section["service_secret"]
    section["user_dn"] = f"uid={{user}},{PEOPLE}"
    with slapd.administration() as connection:
        connection.delete(dn)
    assert renew(serve(document), certificate, shared_key(), csr).status_int == 200


# ---- unusual attributes


def ber(tag, *parts):
    """A BER value of less than 64 KiB."""
    contents = b"".join(parts)
    return bytes([tag, 0x82]) + len(contents).to_bytes(2, "big") + contents


@contextlib.contextmanager
def directory_with(attributes):
    """The port of a directory in which every user has these attributes and every bind succeeds."""
    attribute_list = ber(
        0x30,
        *(
            ber(0x30, ber(0x04, name.encode()), ber(0x31, *(ber(0x04, value) for value in values)))
            for name, values in attributes
        ),
    )
    success = ber(0x0A, b"\0"), ber(0x04), ber(0x04)

    def answers(kind):
        if kind == 0x60:
            return [ber(0x61, *success)]
        found = ber(0x64, ber(0x04, b"uid=alice,ou=people,dc=example,dc=com"), attribute_list)
        return [found, ber(0x65, *success)]

    def behave(connection, _stop):
        while message := connection.recv(65536):
            # SEQUENCE { messageID INTEGER, protocolOp ... }
            start = 2 + (message[1] & 0x7F if message[1] & 0x80 else 0)
            end = start + 2 + message[start + 1]
            number, kind = message[start:end], message[end]
            if kind == 0x42:
                return
            for answer in answers(kind):
                connection.sendall(ber(0x30, number, answer))

    with broken_server(behave) as port:
        yield port


UID = ("uid", [b"alice"])
NOVA_DN = b"cn=Nova,ou=groups,dc=example,dc=com"


@pytest.mark.parametrize("group_base", [None, "ou=groups,dc=example,dc=com"])
@pytest.mark.parametrize(
    ("attributes", "groups"),
    [
        ([UID], []),
        ([UID, ("memberOf", [])], []),
        ([("memberOf", []), UID], []),
        ([UID, ("MEMBEROF", []), ("telephoneNumber", []), ("", [])], []),
        ([UID, ("memberOf", []), ("memberOf;range=0-0", [NOVA_DN])], ["Nova"]),
        ([UID, ("memberOf;range=0-0", [NOVA_DN]), ("memberOf", [])], ["Nova"]),
        ([UID, ("memberOf", [NOVA_DN, b"\xff\xfe", b"\0\0", b"", b"30\x82", b","])], ["Nova"]),
        ([UID, ("memberOf", [b"\x80" * 40_000])], []),
    ],
)
def test_attributes_without_valid_values_are_not_groups(tmp_path, attributes, groups, group_base):
    with directory_with(attributes) as port:
        options = {
            "backend": "ldap",
            "host": "127.0.0.1",
            "port": port,
            "ssl": False,
            "allow_plaintext": True,
            "base": "dc=example,dc=com",
            "user_dn": "uid={user},ou=people,dc=example,dc=com",
        }
        if group_base:
            options["group_base"] = group_base
        authenticator = load_authenticator("it", options, tmp_path)
        identity = authenticator.authenticate("default", "alice", "alice-secret")

    assert AuthDetails("alice", groups) == identity


@pytest.mark.parametrize("names", [[], [b"alice", b"alice2"], [b"\xff"]])
def test_an_entry_without_exactly_one_name_is_refused(tmp_path, names):
    with directory_with([("uid", names), ("memberOf", [])]) as port:
        options = {"backend": "ldap", "host": "127.0.0.1", "port": port, "ssl": False}
        options |= {"allow_plaintext": True, "base": "dc=example,dc=com", "user_dn": "uid={user}"}
        authenticator = load_authenticator("it", options, tmp_path)
        with pytest.raises(NotAuthenticated):
            authenticator.authenticate("default", "alice", "alice-secret")
