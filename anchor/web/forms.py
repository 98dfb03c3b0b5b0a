"""Parser for a submission: forms, and bare requests with an Authorization header."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import multipart

from anchor import errors
from anchor.auth.credentials import is_jwt
from anchor.renewal.proof import MAX_PROOF
from anchor.web import transfer_encoding
from anchor.web.authorization import (
    MAX_SECRET,
    MAX_USER,
    HeaderCredentials,
    decode_text,
    header_credentials,
)
from anchor.web.request import Request
from anchor.X509.csr_reader import detect_encoding

FIELDS = ("user", "secret", "encoding", "csr", "proof")
MAX_FIELDS = 16
MAX_ENCODING = 16
# Enough for a boundary.  The time to parse the header grows with the square of its length.
MAX_CONTENT_TYPE = 1024

# RFC 5967, RFC 5273.  The format is detected from the body, not from the media type.
BARE_REQUESTS = ("application/pkcs10", "application/pkcs7-mime", "application/cmc")


@dataclass(slots=True)
class Form:
    """The fields of a submission, decoded but not validated.

    Attributes:
        bearer: True if the secret came as a bearer token, without a user name.
    """

    user: str
    secret: str = field(repr=False)
    encoding: str
    csr: bytes = field(repr=False)
    bearer: bool = False


def read_form(request: Request, body: bytes) -> Form:
    """The fields of a submission: a form, or a bare request with an Authorization header.

    Raises:
        NotAuthenticated: there are no credentials.
        RequestError: a field is missing, given twice, too long or undecodable.
    """
    return _build_form(request, _read_fields(request, body))


@dataclass(slots=True)
class RenewalForm:
    """The fields of a renewal, decoded but not validated.

    Attributes:
        proof: the proof of possession of the old key; empty if there is none.
    """

    encoding: str
    csr: bytes = field(repr=False)
    proof: str = field(repr=False)


def read_renewal_form(request: Request, body: bytes) -> RenewalForm:
    """The fields of a renewal: a form, or a bare request.

    Raises:
        RequestError: a field is missing, given twice, too long or undecodable.
    """
    fields = _read_fields(request, body)
    _require_fields(fields)
    return RenewalForm(
        encoding=decode_text(fields["encoding"], "encoding", MAX_ENCODING),
        csr=fields["csr"],
        proof=decode_text(fields.get("proof", b""), "proof", MAX_PROOF).strip(),
    )


def _read_fields(request: Request, body: bytes) -> dict[str, bytes]:
    media_type, parameters = content_type(request)
    if media_type == "multipart/form-data":
        return _unique(_multipart_fields(body, parameters.get("boundary", "")))
    if media_type == "application/x-www-form-urlencoded":
        return _unique(_urlencoded_fields(body))
    if media_type in BARE_REQUESTS:
        return {"csr": body, "encoding": detect_encoding(body).encode()}
    if not media_type and not body:
        raise errors.MalformedSubmission("the request has no body")
    raise errors.UnsupportedSubmission(
        "the body should be multipart/form-data, application/x-www-form-urlencoded, "
        f"{' or '.join(BARE_REQUESTS)}"
    )


def content_type(request: Request) -> tuple[str, dict[str, str]]:
    """The media type of a request in lower case, and its parameters.

    Raises:
        MalformedSubmission: the header is too long.
    """
    header = request.environ.get("CONTENT_TYPE") or ""
    if len(header) > MAX_CONTENT_TYPE:
        raise errors.MalformedSubmission("the Content-Type is too long")
    media_type, parameters = multipart.parse_options_header(header)
    return media_type, parameters


def _build_form(request: Request, fields: dict[str, bytes]) -> Form:
    credentials = header_credentials(request)
    if credentials is None:
        credentials = _form_credentials(fields)
    elif "user" in fields or "secret" in fields:
        raise errors.MalformedSubmission("credentials are both in the form and in the header")
    _require_fields(fields)
    return Form(
        user=credentials.user,
        secret=credentials.secret,
        encoding=decode_text(fields["encoding"], "encoding", MAX_ENCODING),
        csr=fields["csr"],
        bearer=credentials.bearer,
    )


def _form_credentials(fields: dict[str, bytes]) -> HeaderCredentials:
    if not fields.get("secret"):
        raise errors.NotAuthenticated("there are no credentials")
    if is_jwt(fields["secret"].decode("latin-1")):
        # A JWT says itself who the requester is.
        fields.setdefault("user", b"")
    if "user" not in fields:
        raise errors.MalformedSubmission("the field 'user' is missing")
    return HeaderCredentials(
        decode_text(fields["user"], "user", MAX_USER),
        decode_text(fields["secret"], "secret", MAX_SECRET),
    )


def _require_fields(fields: dict[str, bytes]) -> None:
    for name in ("encoding", "csr"):
        if name not in fields:
            raise errors.MalformedSubmission(f"the field {name!r} is missing")
    if not fields["csr"].strip():
        raise errors.MalformedSubmission("the field 'csr' is empty")


def _unique(pairs: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    fields: dict[str, bytes] = {}
    for name, value in pairs:
        if name in fields and name in FIELDS:
            raise errors.MalformedSubmission(f"the field {name!r} is given twice")
        fields[name] = value
    return fields


def _multipart_fields(body: bytes, boundary: str) -> Iterable[tuple[str, bytes]]:
    segment: multipart.MultipartSegment | None = None
    chunks: list[bytes] = []
    try:
        with multipart.PushMultipartParser(
            boundary, len(body), max_segment_count=MAX_FIELDS, strict=True
        ) as parser:
            for event in parser.parse(body):
                if isinstance(event, multipart.MultipartSegment):
                    segment, chunks = event, []
                elif event:
                    chunks.append(bytes(event))
                elif segment is not None:
                    contents = transfer_encoding.decode(segment.headerlist, b"".join(chunks))
                    yield segment.name or "", contents
    except ValueError:
        # MultipartError is a ValueError; a hostile charset or boundary raises one too.
        raise errors.MalformedSubmission("the multipart form is malformed") from None


def _urlencoded_fields(body: bytes) -> Iterable[tuple[str, bytes]]:
    try:
        # Latin-1 maps each byte to one character; parse_qsl() of bytes fails on non-ASCII escapes.
        pairs = parse_qsl(
            body.decode("latin-1"),
            keep_blank_values=True,
            max_num_fields=MAX_FIELDS,
            encoding="latin-1",
        )
    except ValueError:
        raise errors.MalformedSubmission("the form has too many fields") from None
    for name, value in pairs:
        yield name, value.encode("latin-1")
