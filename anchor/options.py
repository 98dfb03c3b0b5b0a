"""The former home of the option types; new plug-ins import :mod:`anchor.plugin_api`."""

from anchor.config import file_types, option_types
from anchor.config.file_types import *  # noqa: F403
from anchor.config.option_types import *  # noqa: F403

__all__ = file_types.__all__ + option_types.__all__
