"""Plug-ins: found by stevedore under their entry point, bound once to their options.

Only names that the configuration mentions are imported.  What a plug-in takes is read off its
signature: parameters named after something that Anchor supplies (``csr``, ``conf``, ...) are filled
at each call, all others are options, typed by their annotations and proved at start-up.
"""

from __future__ import annotations

import functools
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pydantic

from anchor.errors import ConfigProblem, ConfigurationError

Options = Mapping[str, Any]


def load_plugin(namespace: str, name: str) -> Callable[..., Any]:
    """The object that exactly one installed distribution offers under that name.

    Raises:
        ConfigurationError: nothing, or more than one thing, is offered, or it cannot be imported.
    """

    # Not every command loads plug-ins, and it takes a while.
    from stevedore import driver  # noqa: PLC0415
    from stevedore import exception as stevedore_exception  # noqa: PLC0415

    def broken(_manager: object, _entry_point: object, error: BaseException) -> None:
        raise error

    try:
        # stevedore says at import which names it misses; here that is an error with a path.
        manager: driver.DriverManager[Any] = driver.DriverManager(
            namespace,
            name,
            on_load_failure_callback=broken,
            on_missing_entrypoints_callback=None,
        )
        plugin: Callable[..., Any] = manager.driver
    except stevedore_exception.MultipleMatches:
        raise ConfigurationError.about(
            "", f"more than one plug-in {name!r} is installed for {namespace}"
        ) from None
    except stevedore_exception.NoMatches:
        raise ConfigurationError.about(
            "", f"no plug-in {name!r} is installed for {namespace}"
        ) from None
    except Exception as error:
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
    offered = metadata.distribution("anchor").entry_points
    return frozenset(each.name for each in offered if each.group == namespace)


@dataclass(frozen=True)
class BoundFunction:
    """A function with its options filled in, and the names it supplied_names filled at each call."""

    call: functools.partial[Any]
    supplied_names: frozenset[str]

    def __call__(self, supplied: Mapping[str, object]) -> Any:
        return self.call(**{name: supplied[name] for name in self.supplied_names})


def bind_options(
    function: Callable[..., Any], options: Options, supplied: frozenset[str], base: Path
) -> BoundFunction:
    """Hold the options against the function's signature, and fill them in.

    Args:
        function: a plug-in; one that takes ``**kwargs`` gets all that is supplied and all options.
        options: as they stand in the configuration.
        supplied: the names of what will be given at each call.
        base: the directory that relative paths in the options start from.

    Raises:
        ConfigurationError: an option is unknown, missing or of a wrong type.
    """
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        # Called like a function it would do nothing, and a check that does nothing agrees.
        raise ConfigurationError.about("", "is a coroutine or a generator, not a plain function")
    signature = Signature.of(function, supplied)
    values = signature.validate(options, base)
    return BoundFunction(functools.partial(function, **values), signature.supplied_names)


@dataclass(frozen=True)
class Signature:
    """What a callable supplied_names supplied, and a model of the options it takes."""

    supplied_names: frozenset[str]
    model: type[pydantic.BaseModel]

    @classmethod
    def of(cls, function: Callable[..., Any], supplied: frozenset[str] = frozenset()) -> Signature:
        """Read a function's, or a class's constructor's, parameters."""
        return _read_signature(function, supplied)

    def names(self) -> frozenset[str]:
        """The names of the options."""
        return frozenset(field.alias or name for name, field in self.model.model_fields.items())

    def validate(self, options: Options, base: Path, *, offline: bool = False) -> dict[str, Any]:
        """The options that are given, by name, as values of the annotated types."""
        proved = validate_options(self.model, options, base, offline=offline)
        given = {
            field.alias or name: getattr(proved, name)
            for name, field in self.model.model_fields.items()
            if name in proved.model_fields_set
        }
        return given | (proved.model_extra or {})


@functools.lru_cache(maxsize=512)
def _read_signature(function: Callable[..., Any], supplied: frozenset[str]) -> Signature:
    """Remembered: a thousand authorities with the same validators read each of them once."""
    target = function.__init__ if inspect.isclass(function) else function
    try:
        hints = typing.get_type_hints(_function_of(target), include_extras=True)
    except Exception as error:
        raise ConfigurationError.about(
            "", f"its annotations cannot be resolved: {error}"
        ) from error
    supplied_names: set[str] = set()
    fields: dict[str, Any] = {}
    takes_anything = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_anything = True
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
            # The alias keeps names such as `_x` or `model_dump`, which pydantic cannot have.
            fields[f"option_{parameter.name}"] = (
                hints.get(parameter.name, Any),
                pydantic.Field(default, alias=parameter.name),
            )
    model = pydantic.create_model(
        "Options",
        __config__=pydantic.ConfigDict(
            extra="allow" if takes_anything else "forbid",
            arbitrary_types_allowed=True,
            allow_inf_nan=False,
        ),
        **fields,
    )
    return Signature(supplied if takes_anything else frozenset(supplied_names), model)


Model = typing.TypeVar("Model", bound=pydantic.BaseModel)


def validate_options(
    model: type[Model], options: Options, base: Path, *, offline: bool = False
) -> Model:
    """Validate options strictly: as JSON, where "24" is no number and 1 is not true.

    Args:
        model: the options' names and types.
        options: as they stand in the configuration.
        base: the directory that relative paths start from.
        offline: whether to leave secrets where they are.

    Raises:
        ConfigurationError: with a problem for each thing that is wrong.
    """
    try:
        return model.model_validate_json(
            json.dumps(options), strict=True, context={"base": base, "offline": offline}
        )
    except pydantic.ValidationError as error:
        raise ConfigurationError(
            [_translate(detail) for detail in error.errors(include_url=False, include_input=False)]
        ) from None


def _translate(detail: Any) -> ConfigProblem:
    """A pydantic error as a problem; values are never repeated, they may be secret."""
    location = [str(part) for part in detail["loc"]]
    if detail["type"] == "extra_forbidden":
        return ConfigProblem(".".join(location[:-1]), f"unknown option {location[-1]!r}")
    if detail["type"] == "missing":
        return ConfigProblem(".".join(location[:-1]), f"missing option {location[-1]!r}")
    if detail["type"] == "value_error":
        return ConfigProblem(".".join(location), str(detail["ctx"]["error"]))
    message = detail["msg"].removeprefix("Input ")
    return ConfigProblem(".".join(location), message)


def _function_of(target: Any) -> Any:
    """The plain function beneath partials and callable objects, which carries the annotations."""
    while isinstance(target, functools.partial):
        target = target.func
    if inspect.isroutine(target):
        return target
    return type(target).__call__
