"""The steps of Pecan's dispatch that Anchor replaces; doc/adr/0006 gives the reasons.

Pecan looks up any attribute that a path names, and turns the query and the body into arguments.
Both are hostile input here.
"""

from __future__ import annotations

import functools
from inspect import Arguments
from typing import Any

from pecan.core import PecanBase
from pecan.routing import handle_security
from pecan.util import _cfg, iscontroller
from webob import Response

from anchor.errors import UnknownPath


class StrictDispatch(PecanBase):  # type: ignore[misc]  # pecan has no types
    """A Pecan application that finds controllers by path segments only.

    Controllers are written as Pecan documents: exposed methods, ``index``, and other controllers as
    public attributes.  Segments after an exposed method are its positional arguments; the query and
    the body are not passed.
    """

    def find_controller(self, state: Any) -> tuple[Any, list[str], dict[str, Any]]:
        """Find the controller for the path and run the hooks that come before it.

        Raises:
            UnknownPath: no controller has that path.
        """
        request, details = state.request, state.request.pecan
        path = details["routing_path"] = request.environ.get("PATH_INFO", "")
        self.handle_hooks(self.hooks, "on_route", state)
        controller, arguments = self.route(request, self.root, path)
        handle_security(controller)
        details["extension"] = None
        details["content_type"] = _cfg(controller).get("content_type")
        state.controller = controller
        state.arguments = Arguments(arguments, [], {})  # type: ignore[arg-type]  # as Pecan does
        self.handle_hooks(self.determine_hooks(controller), "before", state)
        return controller, arguments, {}

    def route(self, _request: Any, node: Any, path: str) -> tuple[Any, list[str]]:
        """Walk from the root controller to an exposed method.

        Returns:
            The method, and the remaining segments as its arguments.

        Raises:
            UnknownPath: no method has that path, or the number of arguments is wrong.
        """
        if not path.startswith("/"):
            # `*`, and request lines without a slash, which some servers pass on.
            raise UnknownPath("there is nothing here")
        segments = path[1:].split("/") if path != "/" else []
        while segments and not iscontroller(node):
            node = _child(node, segments.pop(0))
        if not iscontroller(node):
            node = getattr(node, "index", None)
        if not iscontroller(node) or not _accepts_arguments(node, len(segments)):
            raise UnknownPath("there is nothing here")
        return node, segments

    def invoke_controller(
        self, controller: Any, args: list[str], kwargs: dict[str, Any], state: Any
    ) -> None:
        """Call the controller; Pecan renders a result that is not a response.

        Pecan would inspect the controller's signature for each request, to drop arguments that
        came from the query.  There are none, and that would cost 0.1 ms.
        """
        result = controller(*args)
        if isinstance(result, Response):
            state.response = result
            state.has_status = True
        else:
            # Pecan looks for a first argument of this name.
            def returned(self: Any = result) -> Any:
                return self

            returned._pecan = _cfg(controller)  # type: ignore[attr-defined]  # where Pecan looks
            super().invoke_controller(returned, [], kwargs, state)

    def _handle_empty_response_body(self, state: Any) -> None:
        """Send 204 for an empty rendering, as Pecan does, but decode no other to see it.

        A response that the controller has made keeps its status: RFC 8555 has empty ones with 200.
        """
        if not getattr(state, "has_status", False) and not state.response.content_length:
            super()._handle_empty_response_body(state)


def _child(node: object, segment: str) -> Any:
    """The controller or exposed method that a segment names, or None."""
    if segment.startswith("_") or segment in ("", "index"):
        return None
    child = getattr(node, segment, None)
    if iscontroller(child) or _exposes_methods(type(child)):  # type: ignore[arg-type]  # a type is hashable
        return child
    return None


@functools.cache
def _exposes_methods(kind: type[Any]) -> bool:
    """True if the class defines or inherits an exposed method."""
    return any(iscontroller(member) for base in kind.__mro__ for member in vars(base).values())


def _accepts_arguments(method: Any, count: int) -> bool:
    """True if an exposed method accepts that many positional arguments, beside ``self``."""
    signature = _cfg(method)["argspec"]
    maximum = len(signature.args) - 1
    minimum = maximum - len(signature.defaults or ())
    return minimum <= count and (count <= maximum or signature.varargs is not None)
