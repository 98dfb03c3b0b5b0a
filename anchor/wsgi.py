"""The application for servers that import one: ``gunicorn anchor.wsgi:application``.

``config.json`` is found wherever it is looked for, and ``config.py`` as by ``anchor serve``.
"""

from __future__ import annotations

import pecan
from pecan.configuration import conf_from_file

from anchor import config_file
from anchor.cli.serve import find_config_py

# The whole Config, as a mapping: pecan.load_app knows this and file names.
application = pecan.load_app(conf_from_file(str(find_config_py(config_file.find()))).to_dict())
