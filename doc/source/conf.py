"""Sphinx's settings."""

import sys
from pathlib import Path

import anchor

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Anchor"
author = "the Anchor authors"
copyright = "the Anchor authors"  # noqa: A001  # Sphinx calls it so
version = release = anchor.__version__
extensions = ["options", "sphinx.ext.autodoc", "sphinx_copybutton"]
nitpicky = True
# The list of decisions for readers of the repository; the documentation has another one.
exclude_patterns = ["adr/README.rst"]

html_theme = "furo"
html_title = f"Anchor {version}"
html_favicon = "_static/anchor.svg"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["anchor.css"]
html_js_files = [("scrolling.js", {"defer": "defer"})]
# The button would open the page's source, which says less than the page.
html_theme_options = {"top_of_page_buttons": []}
html_search_scorer = str(Path(__file__).parent / "search-scorer.js")
html_show_sourcelink = False
html_copy_source = False

# A copy button copies the commands of a console block, without prompts and output.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
copybutton_exclude = ".linenos"
# Output is not copied.
copybutton_selector = "div:not(.highlight-text) > div.highlight pre"
