"""Suggestions for mistyped names."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from anchor.errors import ConfigProblem, ConfigurationError

if typing.TYPE_CHECKING:
    import pydantic

UNKNOWN_OPTION = "unknown option "


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name, such as ``: did you mean 'check'?``.

    Args:
        name: the unknown name.
        known: the names that would be right.

    Returns:
        an empty text if no known name is similar.
    """
    # Only mistakes need it.
    import difflib  # noqa: PLC0415

    candidates = sorted(known)
    lower = name.lower()
    # A long text has no typing mistake, and comparing it would take long.
    if not 1 < len(lower) <= 64:
        return ""
    similar = difflib.get_close_matches(lower, candidates, n=1, cutoff=0.6)
    # Part of a name, such as 'whitelist' for 'whitelist_names'.
    similar += [each for each in candidates if len(lower) > 3 and each.startswith(lower)]
    return f": did you mean {similar[0]!r}?" if similar else ""


def suggest_option(problem: ConfigProblem, model: type[pydantic.BaseModel]) -> ConfigProblem:
    """The problem; that of an unknown option ends with a similar option of the model."""
    if not problem.message.startswith(UNKNOWN_OPTION) or ": " in problem.message:
        return problem
    name = problem.message.removeprefix(UNKNOWN_OPTION).strip("'\"")
    inner = _model_at(model, problem.path)
    known = {field.alias or name for name, field in inner.model_fields.items()} if inner else set()
    return replace(problem, message=f"{problem.message}{did_you_mean(name, known)}")


@contextmanager
def suggesting(model: type[pydantic.BaseModel]) -> Iterator[None]:
    """Let unknown options in the block's errors end with a similar option of a second model."""
    try:
        yield
    except ConfigurationError as error:
        problems = [suggest_option(problem, model) for problem in error.problems]
        raise ConfigurationError(problems) from error


def _model_at(model: type[pydantic.BaseModel], path: str) -> type[pydantic.BaseModel] | None:
    """The model of the section at that path below another one; None if it has none."""
    for part in path.split(".") if path else ():
        field = model.model_fields.get(part)
        if field is None:
            return None
        annotations = (field.annotation, *typing.get_args(field.annotation))
        inner = next((each for each in annotations if hasattr(each, "model_fields")), None)
        if inner is None:
            return None
        model = typing.cast("type[pydantic.BaseModel]", inner)
    return model
