"""What is remembered of a request: what follows from its octets alone, and nothing else."""

from __future__ import annotations

import datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from anchor import timestamps
from anchor.auth.results import AuthDetails
from anchor.timestamps import utc_now
from anchor.ca import template
from anchor.ca.frame import Frame
from anchor.ca.template import Profile, build_template
from anchor.ca.verify_issued import verify_issued
from anchor.config.plugins import bind_options, load_plugin, shipped_names
from anchor.errors import SigningError, UnreadableRequest
from anchor.policy import policy
from anchor.policy.checks import SUPPLIED, Check, Context, Round
from anchor.policy.policy import Fixup
from anchor.store.bans import Ban, BanFile
from anchor.validators.errors import ValidationError, by_request_alone, is_by_request_alone
from anchor.web import request
from anchor.X509 import csr_reader
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.csr_reader import read_csr
from anchor.X509.signatures import algorithm
from anchor.X509.signing_request import X509Csr
from tests.pki import make_ca, make_csr, make_key, subject

HOUR = datetime.timedelta(hours=1)
NOBODY = Context(AuthDetails("nobody", []), None, {})


def changed(pem, position):
    return (
        pem[:position]
        + (b"B" if pem[position : position + 1] == b"A" else b"A")
        + pem[position + 1 :]
    )


def test_the_same_octets_are_the_same_value():
    pem = make_csr("www.example.com")

    assert read_csr(pem, "pem") is read_csr(bytes(bytearray(pem)), "pem")


def test_octets_that_differ_in_their_signature_prove_nothing():
    pem = make_csr("www.example.com")
    assert read_csr(pem, "pem").submitted.signature_is_valid

    forged = changed(pem, pem.index(b"\n-----END") - 12)

    assert not read_csr(forged, "pem").submitted.signature_is_valid


def test_an_encoding_is_part_of_what_was_submitted():
    pem = make_csr("www.example.com")
    der = read_csr(pem, "pem").submitted.der

    assert read_csr(der, "der").submitted.der == der
    for octets, encoding in ((pem, "der"), (der, "pem")):
        with pytest.raises(UnreadableRequest):
            read_csr(octets, encoding)


def test_what_is_refused_is_refused_again():
    for _ in range(3):
        with pytest.raises(UnreadableRequest, match="no PEM block"):
            read_csr(b"nothing", "pem")


def test_large_requests_are_not_kept():
    pem = make_csr("www.example.com", *(f"host{number}.example.com" for number in range(300)))
    assert len(pem) > csr_reader.REMEMBERED_OCTETS

    assert read_csr(pem, "pem") is not read_csr(pem, "pem")


def test_what_a_client_claims_to_be_its_address_is_not_kept_when_it_is_long():
    request._parsed.cache_clear()
    environ = {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": f"fe80::1%{'a' * 10_000}"}
    environ[request.TRUSTED_PROXIES] = (ip_network("192.0.2.0/24"),)

    assert "unknown" == request.Request(environ).client_addr
    assert 1 == request._parsed.cache_info().currsize


def test_what_is_found_out_of_a_request_does_not_grow_without_end():
    notes = read_csr(make_csr("www.example.com"), "pem").notes
    for number in range(1000):
        notes[number] = number
        assert len(notes) <= notes.ROOM
        assert number in notes


# ---- what is asked once, and what is asked each time


@pytest.fixture
def csr():
    return read_csr(make_csr("www.example.com", key=make_key()), "pem")


def asked(calls, name, *, alone, refuses=()):
    """A check that writes down that it was asked, and refuses when it is told to."""

    def check(supplied):
        calls.append(name)
        if name in refuses:
            raise ValidationError("no")

    return Check(name, check, by_request_alone=alone)


def hold(round_, csr):
    """The names of the checks that refuse the request."""
    return {verdict.check for verdict in round_.verdicts(csr, NOBODY) if verdict.failure}


def test_a_check_by_the_request_alone_is_asked_once_and_others_each_time(csr):
    calls = []
    round_ = Round((asked(calls, "alone", alone=True), asked(calls, "other", alone=False)))

    for _ in range(3):
        assert not hold(round_, csr)

    assert ["alone", "other", "other", "other"] == calls


def test_what_a_check_said_of_one_request_it_has_not_said_of_another(csr):
    calls = []
    round_ = Round((asked(calls, "alone", alone=True),))
    assert not hold(round_, csr)

    assert not hold(round_, csr.without_extensions([]))
    assert not hold(round_, csr.with_subject(csr.subject))

    assert ["alone"] * 3 == calls


def test_the_checks_of_another_authority_are_asked(csr):
    calls = []
    checks = (asked(calls, "alone", alone=True),)

    assert not hold(Round(checks), csr)
    assert not hold(Round(checks), csr)

    assert ["alone", "alone"] == calls


@pytest.mark.parametrize("refuses", [{"alone"}, {"other"}, {"alone", "other"}])
def test_a_round_that_was_not_passed_is_asked_again_as_a_whole(csr, refuses):
    calls = []
    round_ = Round(
        (
            asked(calls, "alone", alone=True, refuses=refuses),
            asked(calls, "other", alone=False, refuses=refuses),
        )
    )

    for _ in range(2):
        assert refuses == hold(round_, csr)

    assert ["alone", "other"] * 2 == calls


def test_a_fixup_by_the_request_alone_makes_one_value_of_it(csr):
    made = []

    def function(supplied):
        made.append(supplied["csr"].without_extensions([]))
        return made[-1]

    once = Fixup("once", function, by_request_alone=True)
    each_time = Fixup("each time", function)

    assert once.mend(csr, NOBODY) is once.mend(csr, NOBODY)
    assert each_time.mend(csr, NOBODY) is not each_time.mend(csr, NOBODY)
    assert 3 == len(made)


def test_whatever_sees_more_than_the_request_is_asked_each_time():
    """A plug-in that is marked, but takes more, does not mean what the mark says."""

    @by_request_alone
    def alone(csr):
        """Nothing."""

    @by_request_alone
    def with_more(csr, auth_result):
        """Nothing."""

    def unmarked(csr):
        """Nothing."""

    bound = [
        bind_options(function, {}, SUPPLIED, Path()) for function in (alone, with_more, unmarked)
    ]
    assert [True, False, False] == [policy._by_request_alone(each) for each in bound]


def test_of_what_is_shipped_only_what_looks_nowhere_else_is_marked():
    shipped = {
        name: load_plugin(namespace, name)
        for namespace in (policy.VALIDATORS, policy.FIXUPS)
        for name in shipped_names(namespace)
    }
    # Who asks, from where, and a file that is mapped into memory.
    others = {"server_group", "source_cidrs", "compromised_keys"}
    assert others == {name for name in shipped if not is_by_request_alone(shipped[name])}


def test_a_request_that_was_certified_before_is_judged_by_what_has_changed(serve, document):
    document["registration_authority"]["default"]["validators"] = {
        "standards_compliance": {},
        "source_cidrs": {"cidrs": ["192.0.2.0/24"]},
    }
    document["bans"] = {"path": "bans.json"}
    service = serve(document)
    pem = make_csr("www.example.com", "www.example.com")
    first, second = service.issue(pem), service.issue(pem)
    assert first.serial_number != second.serial_number

    service.http.extra_environ["REMOTE_ADDR"] = "198.51.100.1"
    assert "source_cidrs" in service.sign(pem, status=400).text
    service.http.extra_environ["REMOTE_ADDR"] = "192.0.2.7"
    service.sign(pem, status=401, secret="wrong")
    bans = BanFile(service.path / "bans.json", utc_now)
    bans.add(Ban(kind="name", value="www.example.com", since=utc_now()))
    assert "banned" in service.sign(pem, status=400).text
    bans.remove("name", "www.example.com")
    assert service.issue(pem).serial_number not in {first.serial_number, second.serial_number}


# ---- what is read back


@pytest.fixture
def issue(tmp_path):
    """Builds, signs and reads back a certificate for one request, as often as it is called."""
    ca = make_ca(tmp_path)
    issuer = CACertificate.of(ca.certificate, ())
    profile = Profile(HOUR, HOUR, HOUR, hashes.SHA256())
    pem = make_csr("www.example.com", "www.example.com", key=make_key())

    def once(change=lambda blank: blank, *, key=ca.key, after=0, afterwards=lambda der: der):
        csr = read_csr(pem, "pem")
        moment = utc_now() + datetime.timedelta(seconds=after)
        blank = build_template(csr, issuer, profile, moment)
        der = change(blank).sign(algorithm(key, profile.signing_hash))
        return blank, verify_issued(afterwards(der), blank, issuer)

    return once


def test_each_certificate_for_a_request_has_its_own_number_and_time(issue):
    known = set()
    for after in range(300):
        blank, certificate = issue(after=after)
        known.add(certificate.serial_number)
        assert certificate.serial_number == blank.serial_number
        assert certificate.not_valid_before_utc == blank.not_before
        assert certificate.not_valid_after_utc == blank.not_after
    assert 300 == len(known)


def with_another_subject(blank):
    return blank._replace(csr=blank.csr.with_subject(subject("other.example.com")))


def with_another_key(blank):
    return blank._replace(csr=X509Csr.from_pem(make_csr(key=make_key())))


DIFFERENT = {
    "a serial number": (lambda blank: blank._replace(serial_number=4711), "serial number"),
    "a beginning": (
        lambda blank: blank._replace(not_before=blank.not_before - HOUR),
        "not before",
    ),
    "an end": (lambda blank: blank._replace(not_after=blank.not_after + HOUR), "not after"),
    "a subject": (with_another_subject, "subject"),
    "a key": (with_another_key, "public key"),
    "no extensions": (
        lambda blank: blank._replace(csr=blank.csr.without_extensions([]), extensions=()),
        "extensions",
    ),
}


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("what", DIFFERENT)
def test_another_than_the_approved_contents_are_noticed_however_often_it_went_well(
    issue, what, before
):
    for _ in range(before):
        issue()
    change, field = DIFFERENT[what]
    with pytest.raises(SigningError, match=f"differs from what was approved: .*'{field}'"):
        issue(change)
    issue()


@pytest.mark.parametrize("before", [0, 1, 3])
def test_another_key_than_the_cas_is_noticed_however_often_it_went_well(issue, before):
    for _ in range(before):
        issue()
    with pytest.raises(SigningError, match="does not verify"):
        issue(key=make_key())


@pytest.mark.parametrize("before", [0, 1, 3])
def test_another_name_than_the_cas_is_noticed_however_often_it_went_well(issue, before, tmp_path):
    for _ in range(before):
        issue()
    other = CACertificate.of(make_ca(tmp_path, name="Other CA").certificate, ())
    with pytest.raises(SigningError, match="not issued in the CA's name"):
        issue(lambda blank: blank._replace(issuer=other))


@pytest.mark.parametrize("before", [0, 1, 3])
def test_another_algorithm_than_what_was_signed_with_is_noticed(issue, before):
    """It stands behind what is signed, and says how the signature is to be verified."""
    for _ in range(before):
        issue()
    sha256, sha512 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d040304")

    def mislabelled(octets):
        signed, _, signature = octets.rpartition(sha256)
        return signed + sha512 + signature

    with pytest.raises(SigningError, match="does not verify"):
        issue(afterwards=mislabelled)


def test_a_request_that_has_the_validity_in_it_is_read_back_field_by_field(issue, tmp_path):
    """It cannot be said which of the two places is the validity's."""
    blank, certificate = issue()
    signed = certificate.tbs_certificate_bytes

    number, validity = blank.serial_number_octets(), blank.validity_octets()

    assert Frame.of(signed, number, validity) is not None
    assert Frame.of(signed + validity, number, validity) is None
    assert Frame.of(signed + number, number, validity) is None
    assert Frame.of(b"", number, validity) is None
    assert Frame.of(signed, number, validity).around(blank) == signed


# ---- what is remembered of a second


# A clock's moments: after 2200 a float's microseconds are no longer exact.
MOMENTS = st.datetimes(
    datetime.datetime(1970, 1, 2), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC)
)


@given(MOMENTS)
def test_times_are_written_as_python_writes_them(moment):
    assert moment.isoformat(timespec="milliseconds") == timestamps.with_milliseconds(moment)
    whole = moment.replace(microsecond=0)
    assert whole.isoformat() == timestamps.whole(whole)


@given(MOMENTS)
def test_a_certificates_validity_counts_from_the_second_of_its_issue(moment):
    profile = Profile(2 * HOUR, datetime.timedelta(seconds=60), HOUR, hashes.SHA256())
    begin = moment.replace(microsecond=0)

    expected = begin - profile.backdate, begin + profile.validity - datetime.timedelta(seconds=1)
    assert expected == template._validity(profile, int(moment.timestamp()))
