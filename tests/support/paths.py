"""The directories of the repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
DOC = ROOT / "doc/source"
TYPING = ROOT / "tests/typing"
VECTORS = ROOT / "tests/vectors"
