"""``python -m anchor``: the ``anchor`` command."""

import sys

from anchor.cli.main import main

sys.exit(main())
