"""Parser for a submission: forms, and bare requests with an Authorization header."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import multipart

from anchor import errors
from anchor.auth.credentials import is_jwt
from anchor.web import transfer_encoding
from anchor.web.request import Request
from anchor.X509.csr_reader import detect_encoding

FIELDS = ("user", "secret", "encoding", "csr")
MAX_FIELDS = 16
MAX_USER = 256
MAX_SECRET = 16384
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
    content_type = request.environ.get("CONTENT_TYPE") or ""
    if len(content_type) > MAX_CONTENT_TYPE:
        raise errors.MalformedSubmission("the Content-Type is too long")
    media_type, parameters = multipart.parse_options_header(content_type)
    if media_type == "multipart/form-data":
        fields = _unique(_multipart_fields(body, parameters.get("boundary", "")))
    elif media_type == "application/x-www-form-urlencoded":
        fields = _unique(_urlencoded_fields(body))
    elif media_type in BARE_REQUESTS:
        fields = {"csr": body, "encoding": detect_encoding(body).encode()}
    elif not media_type and not body:
        raise errors.MalformedSubmission("the request has no body")
    else:
        raise errors.UnsupportedSubmission(
            "the body should be multipart/form-data, application/x-www-form-urlencoded, "
            f"{' or '.join(BARE_REQUESTS)}"
        )
    return _build_form(request, fields)


def _build_form(request: Request, fields: dict[str, bytes]) -> Form:
    bearer = _add_header_credentials(request, fields)
    if not fields.get("secret"):
        raise errors.NotAuthenticated("there are no credentials")
    if is_jwt(fields["secret"].decode("latin-1")):
        # A JWT says itself who the requester is.
        fields.setdefault("user", b"")
    for name in FIELDS:
        if name not in fields:
            raise errors.MalformedSubmission(f"the field {name!r} is missing")
    if not fields["csr"].strip():
        raise errors.MalformedSubmission("the field 'csr' is empty")
    return Form(
        user=_decode_text(fields, "user", MAX_USER),
        secret=_decode_text(fields, "secret", MAX_SECRET),
        encoding=_decode_text(fields, "encoding", 16),
        csr=fields["csr"],
        bearer=bearer,
    )


def _decode_text(fields: dict[str, bytes], name: str, limit: int) -> str:
    value = fields[name]
    if len(value) > limit:
        raise errors.MalformedSubmission(f"the field {name!r} is longer than {limit} octets")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise errors.MalformedSubmission(f"the field {name!r} is not UTF-8") from None


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


def _add_header_credentials(request: Request, fields: dict[str, bytes]) -> bool:
    """Add user and secret from the Authorization header; return True for a bearer token."""
    header = request.environ.get("HTTP_AUTHORIZATION", "")
    if not header:
        return False
    if "user" in fields or "secret" in fields:
        raise errors.MalformedSubmission("credentials are both in the form and in the header")
    scheme, _, credentials = header.partition(" ")
    credentials = credentials.strip(" ")
    match scheme.lower():
        case "basic":
            fields["user"], fields["secret"] = _basic_credentials(credentials)
            return False
        case "bearer":
            if not _BEARER.fullmatch(credentials):
                raise errors.MalformedSubmission("the bearer token in the header is malformed")
            fields["user"], fields["secret"] = b"", credentials.encode("ascii")
            return True
    raise errors.MalformedSubmission(
        "the scheme of the Authorization header is neither Basic nor Bearer"
    )


# RFC 6750 section 2.1.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


def _basic_credentials(encoded: str) -> tuple[bytes, bytes]:
    """User and secret of Basic authentication (RFC 7617)."""
    try:
        user, colon, secret = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        colon = b""
    if not colon:
        raise errors.MalformedSubmission("the Basic credentials in the header are malformed")
    return user, secret
