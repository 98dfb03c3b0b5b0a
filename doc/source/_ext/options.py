"""The directive ``options``, which is replaced by a definition list of options."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

import anchor
from anchor.config_schema import schema
from anchor.documentation.options import lines, remarks_in


class Options(SphinxDirective):
    """The directive: it is replaced by the definition list."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[Any]:
        """The nodes of the definition list."""
        self.env.note_dependency(str(Path(anchor.__file__).with_name(schema.SHIPPED)))
        made = lines(self.arguments[0], remarks_in(list(self.content)))
        return self.parse_text_to_nodes(StringList(made, f"options {self.arguments[0]}"))


def setup(app: Any) -> dict[str, Any]:
    """Register the directive; Sphinx calls this."""
    app.add_directive("options", Options)
    return {"parallel_read_safe": True}
