"""The request class under its old name; new plug-ins import :mod:`anchor.plugin_api`."""

from anchor.web.request import Request

__all__ = ["Request"]
