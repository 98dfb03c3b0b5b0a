"""Log formatters and the handler for audit events, as ``config.py`` names them."""

from anchor.logs.formatters import AUDIT, JSON, REQUEST_ID, Text
from anchor.logs.lines import Lines

__all__ = ["AUDIT", "JSON", "REQUEST_ID", "Lines", "Text"]
