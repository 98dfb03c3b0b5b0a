"""Sphinx's settings."""

import sys
from pathlib import Path

import anchor

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Anchor"
author = "the Anchor authors"
copyright = "the Anchor authors"  # noqa: A001  # Sphinx calls it so
version = release = anchor.__version__
extensions = ["options", "sphinx.ext.autodoc"]
html_theme = "alabaster"
nitpicky = True
# The list of decisions for readers of the repository; the documentation has another one.
exclude_patterns = ["adr/README.rst"]
