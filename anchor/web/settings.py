"""The ``web`` section of ``config.py``."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal

import pydantic

from anchor.config.option_types import FilePath, Network

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))

Shown = Literal["full", "short", "off"]


class WebSettings(pydantic.BaseModel):
    """The ``web`` section of ``config.py``."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    max_body_bytes: Annotated[int, pydantic.Field(ge=1024, le=1 << 24)] = pydantic.Field(
        65536, description="the largest request body to accept"
    )
    body_seconds: Annotated[float, pydantic.Field(gt=0, le=3600)] = pydantic.Field(
        10, description="how many seconds a request body may take to arrive"
    )
    trusted_proxies: tuple[Network, ...] = pydantic.Field(
        (), description="the peers, as networks, whose ``X-Forwarded-For`` is believed"
    )
    metrics_networks: tuple[Network, ...] = pydantic.Field(
        LOOPBACK, description="the clients, as networks, that may read ``/metrics``"
    )
    metrics_directory: FilePath | None = pydantic.Field(
        None,
        description="where the processes keep what they count, so that it outlives a restart; by "
        "default in a directory below that for passing files, of the service's own, and counts "
        "start at zero with it",
    )
    front_page: Shown = pydantic.Field(
        "full", description="how much the front page tells: full, short (no policies) or off"
    )
