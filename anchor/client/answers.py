"""The parts of an answer of the service: its JSON, its error, and its times."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

from cryptography import x509

from anchor.client.transport import Reply


def clock_error(offset: float, url: str) -> str:
    """A sentence that says how far this machine's clock is ahead of the service's, or behind."""
    difference = datetime.timedelta(seconds=round(abs(offset)))
    direction = "ahead of" if offset > 0 else "behind"
    return f"this machine's clock is {difference} {direction} that of {url}: set it right"


def parse_json(reply: Reply) -> dict[str, Any] | None:
    """The JSON object in an answer; None if there is none."""
    if reply.media_type not in ("application/json", "application/problem+json"):
        return None
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def sentence_of(reply: Reply) -> str:
    """The error text of the service in one printable line; without one, the status."""
    problem = parse_json(reply)
    detail = problem.get("detail") if problem else None
    if isinstance(detail, str) and detail.strip():
        return printable(detail)
    return f"status {reply.status}"


def printable(text: str) -> str:
    """A text of the service in one line that a terminal can show."""
    line = re.sub(r"\s+", " ", text).strip()[:2000]
    return line if line.isprintable() else ascii(line)[1:-1]


def renew_after(value: object, certificate: x509.Certificate) -> datetime.datetime | None:
    """The renewal time, if it is valid and within the certificate's validity."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    life = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return moment.astimezone(datetime.UTC) if life[0] < moment < life[1] else None
