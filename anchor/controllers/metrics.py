"""``GET /metrics``, for Prometheus."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network

from webob import Response

from anchor.errors import Forbidden
from anchor.metrics import prometheus
from anchor.metrics.registry import Metrics
from anchor.web.request import Request
from anchor.web.responses import respond


def show(
    request: Request, metrics: Metrics, networks: Collection[IPv4Network | IPv6Network]
) -> Response:
    """The metrics in Prometheus' text format.

    Raises:
        Forbidden: the client is in none of the networks.
    """
    client = request.client_address
    if client is None or not any(client in network for network in networks):
        raise Forbidden("only clients in metrics_networks (config.py) may read the metrics")
    text = prometheus.render(metrics.families())
    return respond(request, text.encode(), prometheus.CONTENT_TYPE)
