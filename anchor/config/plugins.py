"""Loading plug-ins by their entry points, and binding them to their options.

Only plug-ins that the configuration names are imported.  The signature of a plug-in tells its
options: Anchor supplies parameters such as ``csr`` and ``conf`` at each call; all other parameters
are options, which are validated against their annotations at start-up.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pydantic

from anchor.config.suggestions import UNKNOWN_OPTION, did_you_mean, suggest_option
from anchor.errors import ConfigProblem, ConfigurationError

Options = Mapping[str, Any]


def load_plugin(namespace: str, name: str) -> Callable[..., Any]:
    """Import the plug-in with that entry point.

    Args:
        namespace: the entry point group, such as ``anchor.validators``.
        name: the entry point in the group.

    Raises:
        ConfigurationError: no distribution or more than one has that entry point, or the plug-in
            cannot be imported or called.
    """

    # Slow to import, and not every command loads plug-ins.
    from stevedore import driver  # noqa: PLC0415
    from stevedore import exception as stevedore_exception  # noqa: PLC0415

    # Its warning about a missing plug-in would repeat the error below; DriverManager ignores
    # on_missing_entrypoints_callback.
    logging.getLogger("stevedore.named").setLevel(logging.ERROR)

    def raise_error(_manager: object, _entry_point: object, error: BaseException) -> None:
        raise error

    try:
        manager: driver.DriverManager[Any] = driver.DriverManager(
            namespace,
            name,
            on_load_failure_callback=raise_error,
        )
        plugin: Callable[..., Any] = manager.driver
    except stevedore_exception.MultipleMatches:
        raise ConfigurationError.about(
            "", f"more than one plug-in {name!r} is installed for {namespace}"
        ) from None
    except stevedore_exception.NoMatches:
        names = metadata.entry_points(group=namespace).names
        raise ConfigurationError.about(
            "", f"no plug-in {name!r} is installed for {namespace}{did_you_mean(name, names)}"
        ) from None
    except (Exception, SystemExit) as error:
        raise ConfigurationError.about(
            "",
            f"the plug-in {name!r} for {namespace} cannot be loaded: "
            f"{type(error).__name__}: {error}",
        ) from error
    if not callable(plugin):
        raise ConfigurationError.about("", f"the plug-in {name!r} for {namespace} is not callable")
    return plugin


def shipped_names(namespace: str) -> frozenset[str]:
    """The names of the plug-ins that come with Anchor."""
    entry_points = metadata.distribution("anchor").entry_points
    return frozenset(entry.name for entry in entry_points if entry.group == namespace)


Plugin = typing.TypeVar("Plugin", bound=Callable[..., Any])


def options_checked_by(check: Callable[[Mapping[str, Any]], None]) -> Callable[[Plugin], Plugin]:
    """A decorator for plug-ins whose options depend on each other.

    Args:
        check: a function of the options that the configuration has; it raises ValueError at
            start-up if they do not fit together.
    """

    def decorate(function: Plugin) -> Plugin:
        vars(function)["check_options"] = check
        return function

    return decorate


@dataclass(frozen=True)
class BoundFunction:
    """A function with its options filled in, and the names that each call has to supply."""

    call: functools.partial[Any]
    supplied_names: frozenset[str]

    def __call__(self, supplied: Mapping[str, object]) -> Any:
        return self.call(**{name: supplied[name] for name in self.supplied_names})


def bind_options(
    function: Callable[..., Any], options: Options, supplied: frozenset[str], base: Path
) -> BoundFunction:
    """Validate the options against the function's signature, and fill them in.

    Args:
        function: a plug-in; with ``**kwargs`` it gets every supplied value and every option.
        options: the options in the configuration.
        supplied: the names of the values that each call supplies.
        base: the directory that relative paths in the options start from.

    Raises:
        ConfigurationError: an option is unknown, missing or of a wrong type.
    """
    # A call would only create an object, and a check that raises nothing accepts the request.
    if inspect.isclass(function):
        raise ConfigurationError.about("", "is a class, not a plain function")
    called = _function_of(function)
    if inspect.iscoroutinefunction(called) or inspect.isgeneratorfunction(called):
        raise ConfigurationError.about("", "is a coroutine or a generator, not a plain function")
    signature = Signature.of(function, supplied)
    values = signature.validate(options, base)
    check = getattr(function, "check_options", None)
    if check is not None:
        try:
            check(values)
        except ValueError as error:
            raise ConfigurationError.about("", str(error)) from None
    return BoundFunction(functools.partial(function, **values), signature.supplied_names)


@dataclass(frozen=True)
class Signature:
    """The supplied parameters of a callable, and a model of its options."""

    supplied_names: frozenset[str]
    model: type[pydantic.BaseModel]

    @classmethod
    def of(cls, function: Callable[..., Any], supplied: frozenset[str] = frozenset()) -> Signature:
        """The signature of a function, or of the constructor of a class."""
        return _read_signature(function, supplied)

    def names(self) -> frozenset[str]:
        """The names of the options."""
        return frozenset(field.alias or name for name, field in self.model.model_fields.items())

    def validate(self, options: Options, base: Path, *, offline: bool = False) -> dict[str, Any]:
        """Validate options; the result has only those given, as values of the annotated types."""
        validated = validate_options(self.model, options, base, offline=offline)
        given = {
            field.alias or name: getattr(validated, name)
            for name, field in self.model.model_fields.items()
            if name in validated.model_fields_set
        }
        return given | (validated.model_extra or {})


# Cached because a thousand authorities may use the same validators.
@functools.lru_cache(maxsize=512)
def _read_signature(function: Callable[..., Any], supplied: frozenset[str]) -> Signature:
    target = function.__init__ if inspect.isclass(function) else function
    try:
        hints = typing.get_type_hints(_function_of(target), include_extras=True)
    except Exception as error:
        raise ConfigurationError.about(
            "", f"its annotations cannot be resolved: {error}"
        ) from error
    supplied_names: set[str] = set()
    fields: dict[str, Any] = {}
    has_kwargs = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            has_kwargs = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            continue
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigurationError.about(
                "", f"its parameter {parameter.name!r} cannot be given by name"
            )
        elif parameter.name in supplied:
            supplied_names.add(parameter.name)
        else:
            default = ... if parameter.default is parameter.empty else parameter.default
            # Field names such as `_x` and `model_dump` are errors in pydantic, aliases are not.
            fields[f"option_{parameter.name}"] = (
                hints.get(parameter.name, Any),
                pydantic.Field(default, alias=parameter.name),
            )
    try:
        model = pydantic.create_model(
            "Options",
            __config__=pydantic.ConfigDict(
                extra="allow" if has_kwargs else "forbid",
                arbitrary_types_allowed=True,
                allow_inf_nan=False,
            ),
            **fields,
        )
    except Exception as error:
        # For example a type that needs another distribution.
        reason = str(error).partition("\n")[0]
        raise ConfigurationError.about("", f"its options cannot be validated: {reason}") from error
    return Signature(supplied if has_kwargs else frozenset(supplied_names), model)


Model = typing.TypeVar("Model", bound=pydantic.BaseModel)


def validate_options(
    model: type[Model], options: Options, base: Path, *, offline: bool = False
) -> Model:
    """Validate options strictly: the string "24" is not a number, and 1 is not true.

    Args:
        model: the options' names and types.
        options: the options in the configuration.
        base: the directory that relative paths start from.
        offline: True to read no secrets from files or the environment.

    Raises:
        ConfigurationError: with all problems of the options.
    """
    try:
        return model.model_validate_json(
            json.dumps(options), strict=True, context={"base": base, "offline": offline}
        )
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        problems = (suggest_option(problem, model) for problem in _translate_all(details))
        raise ConfigurationError(list(problems)) from None


# The types of a union, which pydantic appends to the path of an option.
_UNION_TYPE = re.compile(r"(constrained-)?(str|int|float|bool)|tuple\[.*\]", re.ASCII)


def _translate_all(details: Iterable[Any]) -> Iterator[ConfigProblem]:
    """The problems of options; those of a union say which types it accepts."""
    mismatches: dict[str, list[str]] = {}
    paths: list[str] = []
    for detail in details:
        # The first part is an option, of any name.
        first, *inner = map(str, detail["loc"]) if detail["loc"] else ("",)
        types = [bool(_UNION_TYPE.fullmatch(part)) for part in inner]
        location = [
            first,
            *(part for part, is_type in zip(inner, types, strict=True) if not is_type),
        ]
        problem = _translate({**detail, "loc": location})
        if any(types[-1:]) and detail["type"].endswith("_type"):
            mismatches.setdefault(problem.path, []).append(problem.message)
        else:
            paths.append(problem.path)
            yield problem
    for path, messages in mismatches.items():
        # The value has one of the types, and another problem.
        if any(f"{other}.".startswith(f"{path}.") for other in paths):
            continue
        *others, last = (message.removeprefix("should be ") for message in messages)
        expected = f"{', '.join(others)} or {last}" if others else last
        yield ConfigProblem(path, f"should be {expected}")


def _translate(detail: Any) -> ConfigProblem:
    """A pydantic error as a problem, without the value, which may be secret."""
    location = [str(part) for part in detail["loc"]]
    if detail["type"] == "extra_forbidden":
        return ConfigProblem(".".join(location[:-1]), f"{UNKNOWN_OPTION}{location[-1]!r}")
    if detail["type"] == "missing":
        return ConfigProblem(".".join(location[:-1]), f"missing option {location[-1]!r}")
    if detail["type"] == "value_error":
        return ConfigProblem(".".join(location), str(detail["ctx"]["error"]))
    # Without the names of Python's types: "Tuple should have at least 1 item after validation".
    message = re.sub(r"\A[A-Z]\w* (?=should )| after validation", "", detail["msg"])
    return ConfigProblem(".".join(location), message)


def _function_of(target: Any) -> Any:
    """The function with the annotations of a partial or a callable object."""
    while isinstance(target, functools.partial):
        target = target.func
    if inspect.isroutine(target):
        return target
    return type(target).__call__
