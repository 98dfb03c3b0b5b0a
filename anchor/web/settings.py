"""The ``web`` section of ``config.py``."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_network
from typing import Annotated, Literal, Self

import pydantic

from anchor.config.file_types import FilePath, text
from anchor.config.option_types import Network
from anchor.errors import ConfigurationError
from anchor.renewal.door_urls import normalize_url

_HEADER_NAME = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*", re.ASCII)
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))


def _base_url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("should be a URL such as https://anchor.example.com")
    return normalize_url(value.rstrip("/"))


def _header_name(value: object) -> str:
    # Servers cannot tell X_Y from X-Y, and proxies drop headers with an underscore.
    if not isinstance(value, str) or not _HEADER_NAME.fullmatch(value):
        raise ValueError(
            "should be the name of a header in letters, digits and hyphens, such as 'X-Client-Cert'"
        )
    return value


def _documentation_url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("should be a URL such as https://docs.example.com/anchor")
    return normalize_url(value).rstrip("/")


BaseUrl = Annotated[str, pydantic.PlainValidator(_base_url), text("uri")]
DocumentationUrl = Annotated[str, pydantic.PlainValidator(_documentation_url), text("uri")]
HeaderName = Annotated[str, pydantic.PlainValidator(_header_name), text("header name")]
FrontPageMode = Literal["full", "short", "off"]


class WebSettings(pydantic.BaseModel):
    """The options of the section."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    max_body_bytes: Annotated[int, pydantic.Field(ge=1024, le=1 << 24)] = pydantic.Field(
        65536, description="the largest request body to accept"
    )
    body_seconds: Annotated[float, pydantic.Field(gt=0, le=3600)] = pydantic.Field(
        10, description="how many seconds may pass until a request body has arrived"
    )
    base_url: BaseUrl | None = pydantic.Field(
        None,
        description="the URL at which clients reach the service, such as "
        "``https://anchor.example.com``. The URLs of ACME, of the commands on the front page and "
        "of the OpenAPI description begin with it, and the URL in a renewal proof is compared with "
        "it; without it, the Host header decides",
    )
    trusted_proxies: tuple[Network, ...] = pydantic.Field(
        (),
        description="networks of the proxies whose headers are trusted: ``X-Forwarded-For``, "
        "``X-Forwarded-Proto`` and the one that ``client_certificate_header`` names",
    )
    client_certificate_header: HeaderName | None = pydantic.Field(
        None,
        description="the header in which ``trusted_proxies`` send the client's TLS certificate: "
        "percent-encoded PEM (nginx' ``$ssl_client_escaped_cert``) or a byte sequence "
        "(RFC 9440). The proxy has to replace the header that a client sends. Under other servers "
        "than gunicorn choose a name without hyphens: they do not tell ``X_Client_Cert`` from "
        "``X-Client-Cert``. By default no header is read",
    )
    metrics_networks: tuple[Network, ...] = pydantic.Field(
        LOOPBACK, description="networks of the clients that may read ``/metrics``"
    )
    metrics_directory: FilePath | None = pydantic.Field(
        None,
        description="the directory with the counters of all worker processes; the counts survive "
        "a restart. By default a temporary directory, and the counts start at zero when the "
        "service starts",
    )
    front_page: FrontPageMode = pydantic.Field(
        "full", description="what the front page shows: full, short (no policies) or off"
    )

    documentation_url: DocumentationUrl | None = pydantic.Field(
        None,
        description="the URL of the documentation, such as ``https://docs.example.com/anchor``. "
        "The front page links to it, and so does the advice of ``anchor check``",
    )

    @pydantic.model_validator(mode="after")
    def _require_proxies(self) -> Self:
        if self.client_certificate_header is not None and not self.trusted_proxies:
            raise ValueError(
                "'client_certificate_header' is read only from 'trusted_proxies': list the proxies"
            )
        return self


def require_base_url(web: WebSettings, acme: Collection[str]) -> None:
    """Require the URL of the service if there is ACME: its URLs never come from a request.

    Args:
        web: the settings.
        acme: the names of the authorities with ACME.

    Raises:
        ConfigurationError: it is missing.
    """
    if acme and web.base_url is None:
        raise ConfigurationError.about(
            f"registration_authority.{min(acme)}.acme",
            "needs 'base_url' in the section 'web' of config.py, such as "
            "'https://anchor.example.com': clients sign the URLs of their requests",
        )
