"""The application for servers that import one: ``gunicorn anchor.wsgi:application``.

``config.json`` is found wherever it is looked for, and ``config.py`` as by ``anchor serve``, unless
``$PECAN_CONFIG`` names another.
"""

from __future__ import annotations

import os

import pecan
from pecan.configuration import conf_from_file

from anchor import config_file
from anchor.cli.serve import find_config_py

_config_py = os.environ.get("PECAN_CONFIG") or str(find_config_py(config_file.find()))
# The whole Config, as a mapping: pecan.load_app knows this and file names.
application = pecan.load_app(conf_from_file(_config_py).to_dict())
