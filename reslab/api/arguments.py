"""The arguments of a verb in Python: its options as keywords, its signature, its docstring; all checked."""

from __future__ import annotations

import ast
import functools
import inspect
import os
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_type_hints

from reslab.errors import UserError, suggest
from reslab.nets.names import SWITCHES
from reslab.options.option import Options, shown
from reslab.runs.recipe import Recipe

Result = TypeVar("Result")
WIDTH = 116  # characters of a line of a docstring


def takes(
    options: type[Options] = Options, *positional: str
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Return a decorator that gives a function the options of a verb as keyword arguments.

    positional   options that may be given by position too, after the function's own arguments
    The function itself receives them as one checked object, `options`, if it has an argument of that name. Its
    signature and its docstring (in the place of "{options}") list them. A call with a missing, unknown or wrong
    argument raises UserError.
    """

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        parameters = inspect.signature(function).parameters
        own = [p for p in parameters.values() if p.name != "options"]
        signature = _signature(own, options, positional)
        verb = function.__name__

        @functools.wraps(function)
        def called(*args: Any, **keywords: Any) -> Result:
            given = bound(verb, options, signature, args, keywords)
            for p in own:
                kind = _written(p.annotation)
                if p.name in given and p.kind is not p.VAR_KEYWORD and not fits(given[p.name], kind):
                    raise UserError(f"{verb}: {p.name} = {shown(given[p.name])} is not of type {kind}")
            first = [given.pop(p.name) for p in own if p.kind is p.POSITIONAL_OR_KEYWORD and p.name in given]
            rest: dict[str, Any] = next((given.pop(p.name, {}) for p in own if p.kind is p.VAR_KEYWORD), {})
            values = {name: given.pop(name) for name in options.described() if name in given}
            checked = {"options": options.of(values)} if "options" in parameters else {}
            return function(*first, **checked, **given, **rest)

        called.__signature__ = signature  # type: ignore[attr-defined]
        called.__doc__ = (function.__doc__ or "").replace("    {options}", _listed(options))
        called.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        return called

    return decorate


def bound(
    verb: str, options: type[Options], signature: inspect.Signature, args: tuple[Any, ...], keywords: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by name. Raises UserError if one is missing, unknown or given twice."""
    takes_switches = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    known = [p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    known += SWITCHES if takes_switches else ()
    for name in keywords:
        if name in known:
            continue
        if "set" in options.described() and name in Recipe().to_dict():
            raise UserError(f"{verb}: {name} is a field of the recipe; use set={{{name!r}: …}}")
        hint = suggest(name, known) or f"; there are {', '.join(known)}"
        raise UserError(f"{verb}: unknown argument {name!r}{hint}")
    try:
        return signature.bind(*args, **keywords).arguments
    except TypeError as error:
        raise UserError(f"{verb}: {error}") from None


def fits(value: Any, annotation: str) -> bool:
    """Return whether `value` is of the type that an annotation names.

    A class is compared by its name, so that the modules that only a type checker imports are not imported here. The
    elements of a list or tuple are compared too.
    """
    return _fits(value, ast.parse(annotation, mode="eval").body)


def _written(annotation: Any) -> str:
    """Return an annotation as it is written: a module without `from __future__ import annotations` has the type."""
    if annotation is inspect.Parameter.empty:
        return "Any"
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _fits(value: Any, node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _fits(value, node.left) or _fits(value, node.right)
    if isinstance(node, ast.Constant):
        return value is node.value
    if isinstance(node, ast.Subscript):
        name = ast.unparse(node.value)
        if name not in ("Iterable", "Sequence"):
            return _fits(value, node.value)
        is_list = isinstance(value, Iterable) and not isinstance(value, str | bytes)
        return is_list and (not isinstance(value, list | tuple) or all(_fits(part, node.slice) for part in value))
    name = ast.unparse(node)
    if name in ("Callable", "Tell"):
        return callable(value)
    if name == "Path":
        return isinstance(value, os.PathLike)
    if name == "int" and isinstance(value, bool):
        return False
    return name == "Any" or any(kind.__name__ == name for kind in type(value).__mro__)


def _signature(own: list[inspect.Parameter], options: type[Options], positional: tuple[str, ...]) -> inspect.Signature:
    hints = get_type_hints(options)
    keyword = inspect.Parameter.KEYWORD_ONLY

    def parameter(name: str, kind: Any) -> inspect.Parameter:
        return inspect.Parameter(name, kind, default=options.described()[name].default, annotation=hints[name])

    first = [p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_place = [parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in positional]
    by_name = [parameter(name, keyword) for name in options.described() if name not in positional]
    last = [p for p in own if p.kind is p.VAR_KEYWORD]
    return inspect.Signature([*first, *by_place, *by_name, *(p for p in own if p.kind is keyword), *last])


def _listed(options: type[Options]) -> str:
    """Return the lines of a docstring that say what each option means, and its default."""
    described = options.described().values()
    margin = 4 + max((len(one.name) for one in described), default=0) + 2
    lines = []
    for one in described:
        choices = f"{', '.join(one.choices)}; " if one.choices else ""
        text = textwrap.fill(choices + one.help, WIDTH, initial_indent=" " * margin, subsequent_indent=" " * margin)
        lines.append(f"    {one.name}".ljust(margin) + text.lstrip())
    return "\n".join(lines)
