"""The ``web`` section of ``config.py``."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal

import pydantic

from anchor.config.file_types import FilePath, text
from anchor.config.option_types import Network
from anchor.renewal.door_urls import normalize_url

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))


def _base_url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("should be a URL such as 'https://anchor.example.com'")
    return normalize_url(value.rstrip("/"))


BaseUrl = Annotated[str, pydantic.PlainValidator(_base_url), text("uri")]
FrontPageMode = Literal["full", "short", "off"]


class WebSettings(pydantic.BaseModel):
    """The options of the section."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    max_body_bytes: Annotated[int, pydantic.Field(ge=1024, le=1 << 24)] = pydantic.Field(
        65536, description="the largest request body to accept"
    )
    body_seconds: Annotated[float, pydantic.Field(gt=0, le=3600)] = pydantic.Field(
        10, description="how many seconds a request body may take to arrive"
    )
    base_url: BaseUrl | None = pydantic.Field(
        None,
        description="the URL at which clients reach the service, such as "
        "``https://anchor.example.com``; the URL in a renewal proof is compared with it. By "
        "default it is compared with the Host header",
    )
    trusted_proxies: tuple[Network, ...] = pydantic.Field(
        (), description="networks of the proxies whose ``X-Forwarded-For`` is trusted"
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
