"""A verb's options as flags of the command line, made from their descriptions in `reslab.options`."""

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
Lang = Annotated[Literal["en", "ko"], Parameter(name="--lang", group=COMMON)]
Given = dict[str, Any]  # the options that the command line gives, by name


def whole(type_: Any, tokens: Sequence[Any]) -> int:
    """Return a whole number from the command line; the parser alone would round 1.5 to 2.

    Raises UserError if it is beyond what any option can mean.
    """
    option = tokens[0].keyword or ""
    try:
        value = int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value!r} is no whole number") from None
    return bounded(f"{option}: ", value)


def command(*, common: Collection[str] | None = None, **options: type[Options]) -> Callable[[Callable[..., None]], App]:
    """Return a decorator that makes a function a verb.

    options   by the name of an argument: the class whose options are flags. The function receives what was given of
              them as a dict
    common    names of the options on the first screen of the help page, if they are others than the class says
    """

    def decorate(function: Callable[..., None]) -> App:
        makers = {key: flags(cls, common) for key, cls in options.items()}
        annotations: dict[str, Any] = {key: Annotated[made, Parameter(name="*")] for key, made in makers.items()}

        @functools.wraps(function)
        def called(*args: Any, **keywords: Any) -> None:
            for key, cls in options.items():
                keywords[key] = given(cls, keywords.get(key))
            function(*args, **keywords)

        signature = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
        called.__annotations__ = {**hints, **annotations}
        called.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[
                p.replace(annotation=annotations[p.name], default=makers[p.name]()) if p.name in makers else p
                for p in signature.parameters.values()
            ]
        )
        verb = App(
            name=function.__name__.strip("_"),
            help_format="markdown",
            help_epilogue=_details(function),
            result_action="return_value",
        )
        verb.default(called)
        return verb

    return decorate


def _details(function: Callable[..., None]) -> str:
    """Return the paragraphs of a docstring between its first line, which `verbs.VERBS` has, and its parameters."""
    text = inspect.cleandoc(function.__doc__ or "").partition("\nParameters\n")[0]
    return text.partition("\n\n")[2].strip()


def flags(cls: type[Options], common: Collection[str] | None = None) -> Any:
    """Return a dataclass of a class's options as flags: None is what was not given."""
    parts = []
    for one in cls.described().values():
        shown = one.about.common if common is None else one.name in common
        group = COMMON if shown else GROUPS[one.about.group]
        hint: Any = Annotated[_flag_type(one) | None, _parameter(one, group)]
        parts.append((one.name, hint, field(default=None)))
    return make_dataclass(cls.__name__, parts, frozen=True, namespace={"__module__": __name__})  # else "types"


def _flag_type(one: Described) -> Any:
    """Return the type that the parser reads."""
    kind = one.types[0]
    origin = get_origin(kind) or kind
    if one.about.read is not None:
        return list[str] if origin is Mapping else str
    if origin is Literal or origin in (bool, int, float, str, Path):
        return kind
    return list[get_args(kind)[0]] if get_args(kind) else str  # type: ignore[misc]


def _parameter(one: Described, group: Group) -> Parameter:
    kind = one.types[0]
    more: dict[str, Any] = {"converter": whole} if kind is int else {}
    if one.choices:
        more["converter"] = lambda type_, tokens: checked(one, tokens[0].value)  # in the words that Python says too
    if kind is not bool or not one.optional:
        more["negative"] = ""
    if one.about.metavar:
        more["metavar"] = one.about.metavar
    return Parameter(name=one.flag, help=one.help, group=group, show_default=False, **more)


def given(cls: type[Options], values: Any) -> Given:
    """Return the options that were given, their texts read. Raises UserError if a text means no value."""
    if values is None:
        return {}
    options = {f.name: getattr(values, f.name) for f in fields(values) if getattr(values, f.name) is not None}
    for key, value in options.items():
        one = cls.described()[key]
        if one.about.read is not None:
            options[key] = one.about.read(one.flag, value)
    return options
