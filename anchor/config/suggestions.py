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
    # A long text has no typing mistake, and comparing it would take long.
    if len(name) > 64:
        return ""
    texts = {_comparable(each): each for each in sorted(known, reverse=True)}
    similar = _similar(_comparable(name), texts)
    return f": did you mean {texts[similar]!r}?" if similar else ""


def _comparable(name: str) -> str:
    """The name without what options share: their hyphens would make all of them similar."""
    return name.lower().lstrip("-").replace("-", "_")


def _similar(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant; None rather than a wild guess."""
    # Only mistakes need it.
    import difflib  # noqa: PLC0415

    if len(name) < 2:
        return None
    candidates = sorted(known)
    # Such mistakes change much of a short name.
    swapped = [each for each in candidates if sorted(each) == sorted(name)]
    wrong = [each for each in candidates if len(name) > 2 and _differ_by_a_letter(name, each)]
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.77)
    # Part of a name, such as 'whitelist' for 'whitelist_names'.
    longer = [each for each in candidates if len(name) > 3 and each.startswith(name)]
    words = set(name.split("_"))
    within = [each for each in candidates if words <= set(each.split("_"))]
    # More than a name, such as 'subject_alternative_names' for 'alternative_names'.
    shorter = [
        each
        for each in candidates
        if set(each.split("_")) <= words and len(each) * 3 >= len(name) * 2
    ]
    # Another form of a name's first word, such as 'certificate' for 'cert_path'.
    first = [(each, each.split("_")[0]) for each in candidates]
    begun = [each for each, word in first if len(word) > 3 and name.startswith(word)]
    # A word of several names means none of them.
    unique = (each for each in (within, shorter, begun) if len(each) == 1)
    groups = (swapped, wrong, close, longer, *unique)
    return next((group[0] for group in groups if group), None)


def _differ_by_a_letter(first: str, second: str) -> bool:
    return len(first) == len(second) and sum(map(str.__ne__, first, second)) == 1


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
