"""The former home of the option types; new plug-ins import :mod:`anchor.plugin_api`."""

from anchor.config.option_types import *  # noqa: F403
from anchor.config.option_types import __all__  # noqa: F401
