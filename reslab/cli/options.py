"""Turn the options of `reslab.options` into flags of the command line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from cyclopts import App, Group, Parameter

from reslab.cli.app import MORE
from reslab.options.option import Described, Options, checked
from reslab.options.texts import bounded

COMMON = Group("Options", sort_key=1)
ORDER = ("Training", "Data", "Network", "Machine", "Output")  # on the help page
GROUPS = {name: Group(name, sort_key=place, help_formatter=MORE) for place, name in enumerate(ORDER, 2)}
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False, group=COMMON)]
All = Annotated[bool, Parameter(name="--all", negative="", show_default=False, group=COMMON)]
Csv = Annotated[bool, Parameter(name="--csv", negative="", show_default=False, group=COMMON)]
Null = Annotated[bool, Parameter(name=("--null", "-0"), negative="", show_default=False, group=GROUPS["Data"])]
Given = dict[str, Any]  # the options that the user gave, by name


def whole(type_: Any, tokens: Sequence[Any]) -> int:
    """Return a whole number from the command line; the parser alone would round 1.5 to 2.

    Raises UserError if it has more than 63 bits.
    """
    option = tokens[0].keyword or ""
    try:
        value = int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value!r} is not a whole number") from None
    return bounded(f"{option}: ", value)


def command(
    *, common: Collection[str] | None = None, **options: type[Options]
) -> Callable[[Callable[..., int | None]], App]:
    """Return a decorator that makes a function a verb; a number that it returns is the status of the process.

    options   argument name to the `Options` class whose fields become flags; the function gets a dict of those given
    common    names of the options on the first screen of the help page; by default those that the class marks
    """

    def decorate(function: Callable[..., int | None]) -> App:
        flag_classes = {key: flags(cls, common) for key, cls in options.items()}
        annotations: dict[str, Any] = {key: Annotated[cls, Parameter(name="*")] for key, cls in flag_classes.items()}

        @functools.wraps(function)
        def run(*args: Any, **keywords: Any) -> int | None:
            for key, cls in options.items():
                keywords[key] = given(cls, keywords.get(key))
            return function(*args, **keywords)

        signature = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
        run.__annotations__ = {**hints, **annotations}
        run.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[
                p.replace(annotation=annotations[p.name], default=flag_classes[p.name]())
                if p.name in annotations
                else p
                for p in signature.parameters.values()
            ]
        )
        verb = App(
            name=function.__name__.strip("_"),
            help_format="plaintext",
            help_epilogue=_details(function),
            result_action="return_value",
        )
        verb.default(run)
        return verb

    return decorate


def _details(function: Callable[..., int | None]) -> str:
    """Return the docstring's paragraphs between its first line and its parameters: the end of the help page."""
    text = inspect.cleandoc(function.__doc__ or "").partition("\nParameters\n")[0]
    return text.partition("\n\n")[2].strip()


def flags(cls: type[Options], common: Collection[str] | None = None) -> Any:
    """Return a dataclass with a field for each option of `cls`, annotated as a flag; None if the flag is not given."""
    parts = []
    for option in cls.described().values():
        is_common = option.about.common if common is None else option.name in common
        group = COMMON if is_common else GROUPS[option.about.group]
        hint: Any = Annotated[_flag_type(option) | None, _parameter(option, group)]
        parts.append((option.name, hint, field(default=None)))
    return make_dataclass(cls.__name__, parts, frozen=True, namespace={"__module__": __name__})  # else "types"


def _flag_type(option: Described) -> Any:
    """Return the type that the parser reads."""
    kind = option.types[0]
    origin = get_origin(kind) or kind
    if option.about.read is not None:
        return list[str] if origin is Mapping else str
    if origin is Literal or origin in (bool, int, float, str, Path):
        return kind
    return list[get_args(kind)[0]] if get_args(kind) else str  # type: ignore[misc]


def _parameter(option: Described, group: Group) -> Parameter:
    kind = option.types[0]
    more: dict[str, Any] = {"converter": whole} if kind is int else {}
    if option.choices:
        more["converter"] = lambda type_, tokens: checked(option, tokens[0].value)  # the same message as in Python
    if kind is not bool or not option.optional:
        more["negative"] = ""
    if option.about.metavar:
        more["metavar"] = option.about.metavar
    return Parameter(name=option.flag, help=option.help, group=group, show_default=False, **more)


def given(cls: type[Options], values: Any) -> Given:
    """Return the options that were given, with their texts parsed. Raises UserError if a text cannot be parsed."""
    if values is None:
        return {}
    options = {f.name: getattr(values, f.name) for f in fields(values) if getattr(values, f.name) is not None}
    for key, value in options.items():
        option = cls.described()[key]
        if option.about.read is not None:
            options[key] = option.about.read(option.flag, value)
    return options
