"""The options of a verb as checked keyword arguments of a Python function, in its signature and docstring."""

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

    positional   options that may also be given by position, after the function's own arguments
    The function receives them as one checked object if it has an argument `options`. Its signature lists them, and so
    does its docstring, in place of "{options}". A call with a missing, unknown or wrong argument raises UserError.
    """

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        parameters = inspect.signature(function).parameters
        own = [p for p in parameters.values() if p.name != "options"]
        signature = _signature(own, options, positional)
        verb = function.__name__

        @functools.wraps(function)
        def call(*args: Any, **keywords: Any) -> Result:
            given = bound(verb, options, signature, args, keywords)
            for p in own:
                kind = _annotation_text(p.annotation)
                if p.name in given and p.kind is not p.VAR_KEYWORD and not fits(given[p.name], kind):
                    raise UserError(f"{verb}: {p.name} = {shown(given[p.name])} is not of type {kind}")
            positionals = [given.pop(p.name) for p in own if p.kind is p.POSITIONAL_OR_KEYWORD and p.name in given]
            switches: dict[str, Any] = next((given.pop(p.name, {}) for p in own if p.kind is p.VAR_KEYWORD), {})
            values = {name: given.pop(name) for name in options.described() if name in given}
            checked = {"options": options.of(values)} if "options" in parameters else {}
            return function(*positionals, **checked, **given, **switches)

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__doc__ = (function.__doc__ or "").replace("    {options}", _option_lines(options))
        call.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        return call

    return decorate


def bound(
    verb: str, options: type[Options], signature: inspect.Signature, args: tuple[Any, ...], keywords: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by name. Raises UserError if one is missing, unknown or given twice."""
    takes_switches = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    names = [p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    names += SWITCHES if takes_switches else ()
    for name in keywords:
        if name in names:
            continue
        if "set" in options.described() and name in Recipe().to_dict():
            raise UserError(f"{verb}: {name} is a field of the recipe; use set={{{name!r}: …}}")
        hint = suggest(name, names) or f"; there are {', '.join(names)}"
        raise UserError(f"{verb}: unknown argument {name!r}{hint}")
    try:
        return signature.bind(*args, **keywords).arguments
    except TypeError as error:
        raise UserError(f"{verb}: {error}") from None


def fits(value: Any, annotation: str) -> bool:
    """Return whether `value` has the type of an annotation, and the elements of a list or tuple theirs.

    A class is compared by its name, because a module imported only for the type checker is not available here.
    """
    return _fits(value, ast.parse(annotation, mode="eval").body)


def _annotation_text(annotation: Any) -> str:
    """Return an annotation's text; without `from __future__ import annotations` it is a type."""
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

    own_positional = [p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
    option_positional = [parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in positional]
    option_keywords = [parameter(name, keyword) for name in options.described() if name not in positional]
    own_keywords = [p for p in own if p.kind is keyword]
    switches = [p for p in own if p.kind is p.VAR_KEYWORD]
    return inspect.Signature([*own_positional, *option_positional, *option_keywords, *own_keywords, *switches])


def _option_lines(options: type[Options]) -> str:
    """Return the lines of a docstring that explain each option, with its default."""
    described = options.described().values()
    margin = 4 + max((len(option.name) for option in described), default=0) + 2
    lines = []
    for option in described:
        choices = f"{', '.join(option.choices)}; " if option.choices else ""
        text = textwrap.fill(choices + option.help, WIDTH, initial_indent=" " * margin, subsequent_indent=" " * margin)
        lines.append(f"    {option.name}".ljust(margin) + text.lstrip())
    return "\n".join(lines)
