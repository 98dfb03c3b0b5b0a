"""The contents of a certificate, for any readable request and any time."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.ca.profile import Profile
from anchor.ca.template import CertificateTemplate, build_template, certificate_extensions
from anchor.ca.verify_issued import verify_issued
from anchor.errors import UnreadableRequest
from anchor.X509.ca_certificate import CACertificate
from anchor.X509.signing_request import X509Csr
from tests.support.paths import VECTORS
from tests.support.pki import DAY, KEY_KINDS, general_name, make_ca, make_csr, shared_key, subject
from tests.support.properties import examples

NOON = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
HASHES = (hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512())


@pytest.fixture(scope="module")
def issuers(tmp_path_factory):
    """A CA for each kind of key."""
    return {
        kind: CACertificate.of(
            make_ca(tmp_path_factory.mktemp("ca"), key=shared_key(kind)).certificate, ()
        )
        for kind in KEY_KINDS
    }


@pytest.fixture(scope="module")
def issuer(issuers):
    return issuers["ec-p256"]


def template_for(csr, issuer, *, serial_number=4711, begin=NOON, end=NOON + DAY):
    return CertificateTemplate(
        issuer=issuer,
        csr=csr,
        serial_number=serial_number,
        not_before=begin,
        not_after=end,
        extensions=tuple(certificate_extensions(csr, issuer)),
    )


def signed(template, kind="ec-p256", signing_hash=HASHES[1]):
    """The certificate, verified."""
    certificate = template.sign(shared_key(kind), signing_hash)
    verify_issued(certificate, template)
    return certificate


@pytest.mark.parametrize("signing_hash", HASHES, ids=lambda each: each.name)
@pytest.mark.parametrize("kind", KEY_KINDS)
def test_every_kind_of_ca_key_signs_with_every_hash(issuers, kind, signing_hash):
    csr = X509Csr.from_pem(make_csr())
    certificate = signed(template_for(csr, issuers[kind]), kind, signing_hash)

    used = certificate.signature_hash_algorithm
    assert used is None or used.name == signing_hash.name


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_every_kind_of_requested_key_is_certified(issuer, kind):
    csr = X509Csr.from_pem(make_csr("www.example.com", "192.0.2.1", key=shared_key(kind)))

    assert signed(template_for(csr, issuer)).public_key() == shared_key(kind).public_key()


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.der")), ids=lambda path: path.name)
def test_every_readable_request_can_be_certified(issuer, path):
    try:
        csr = X509Csr.from_der(path.read_bytes())
    except UnreadableRequest:
        return
    certificate = signed(template_for(csr, issuer))

    assert certificate.subject.public_bytes() == csr.subject.public_bytes()


MOMENTS = st.datetimes(
    datetime.datetime(1950, 1, 1), datetime.datetime(9999, 12, 30), timezones=st.just(datetime.UTC)
).map(lambda moment: moment.replace(microsecond=0))
NAMES = st.lists(
    st.tuples(
        st.sampled_from([NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.LOCALITY_NAME]),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=16),
    ),
    max_size=5,
)
USAGES = st.lists(st.booleans(), min_size=7, max_size=7).filter(any)


@pytest.mark.slow
@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(
    serial_number=st.integers(1, (1 << 159) - 1),
    moments=st.tuples(MOMENTS, MOMENTS).map(sorted),
    names=NAMES,
    alternative_names=st.lists(st.from_regex(r"[a-z]{1,60}(\.[a-z]{1,60}){0,3}", fullmatch=True)),
    usages=USAGES,
    critical=st.booleans(),
)
def test_any_certificate_matches_its_template(
    issuer, serial_number, moments, names, alternative_names, usages, critical
):
    usage = [(x509.KeyUsage(*usages, False, False), critical)] if usages[4] is False else []
    csr = X509Csr.from_pem(make_csr(None, *alternative_names, extensions=usage))
    csr = csr.with_subject(subject(None, *names))
    csr = csr.with_alternative_names([general_name(name) for name in alternative_names])
    begin, end = moments
    template = template_for(csr, issuer, serial_number=serial_number, begin=begin, end=end)

    certificate = signed(template)

    assert certificate.subject == csr.subject
    assert certificate.serial_number == serial_number
    assert (begin, end) == (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca


@given(
    moment=st.datetimes(
        datetime.datetime(1970, 1, 2),
        datetime.datetime(2200, 1, 1),
        timezones=st.just(datetime.UTC),
    )
)
def test_validity_starts_at_the_second_of_issue(tmp_path_factory, moment):
    profile = Profile(2 * HOUR, datetime.timedelta(seconds=60), HOUR, hashes.SHA256())
    begin = moment.replace(microsecond=0)
    ca = _long_lived(tmp_path_factory)

    template = build_template(_request(), ca, profile, moment)

    assert template.not_before == begin - profile.backdate
    # RFC 5280 4.1.2.5: the last second of the validity.
    assert template.not_after == begin + profile.validity - datetime.timedelta(seconds=1)


def _request(_made=[]):  # noqa: B006  # one for all examples
    if not _made:
        _made.append(X509Csr.from_pem(make_csr()))
    return _made[0]


def _long_lived(tmp_path_factory, _made=[]):  # noqa: B006  # one for all examples
    if not _made:
        end = datetime.datetime(2300, 1, 1, tzinfo=datetime.UTC)
        certificate = make_ca(tmp_path_factory.mktemp("ca"), not_after=end).certificate
        _made.append(CACertificate.of(certificate, ()))
    return _made[0]
