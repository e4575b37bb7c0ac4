"""One option, described once; `Options` is the base of the frozen classes that hold a verb's options. Torch-free."""

from __future__ import annotations

import operator
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from reslab.errors import UserError, suggest

Group = Literal["Training", "Data", "Network", "Machine", "Output"]


@dataclass(frozen=True)
class Option:
    """The metadata of an option's dataclass field; name, type and default are the field's own.

    default    the default in words, for the help page
    common     the option is on the first screen of the help page
    least      the smallest value
    most       the largest value
    read       parse the text of the flag; called with the flag and the text
    metavar    placeholder of the flag's value on the help page
    """

    help: str
    group: Group
    default: str
    common: bool
    least: int | None
    most: float | None
    read: Callable[[str, Any], Any] | None
    metavar: str | None


def option(
    default: Any,
    help: str,
    group: Group,
    *,
    text: str | None = None,
    common: bool = False,
    least: int | None = None,
    most: float | None = None,
    read: Callable[[str, Any], Any] | None = None,
    metavar: str | None = None,
) -> Any:
    """Return a dataclass field. `text` describes the default; it is required if the default is None."""
    if text is None:
        if default is None:
            raise TypeError(f"option {help!r}: say in words what None means")
        text = {True: "on", False: "off"}[default] if isinstance(default, bool) else str(default)
    return field(default=default, metadata={"option": Option(help, group, text, common, least, most, read, metavar)})


@dataclass(frozen=True)
class Described:
    """An option with its name, the types it takes (without None), whether it takes None, and its default."""

    name: str
    types: tuple[Any, ...]
    optional: bool
    default: Any
    about: Option

    @property
    def flag(self) -> str:
        """The option's name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def choices(self) -> tuple[str, ...]:
        """The possible words, or () if the option is not a choice of words."""
        return tuple(word for kind in self.types if get_origin(kind) is Literal for word in get_args(kind))

    @property
    def help(self) -> str:
        """The help text, with the default."""
        return f"{self.about.help} (default: {self.about.default})"


@dataclass(frozen=True)
class Options:
    """A verb's options. The constructor raises UserError if a value has a wrong type or is out of range."""

    verb: ClassVar[str] = ""

    @classmethod
    def described(cls) -> dict[str, Described]:
        """Return the options by name, in the order of the fields."""
        options: dict[str, Described] = _described(cls)  # type: ignore[arg-type]  # mypy checks the instances' hash
        return options

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return options from values by name. Raises UserError if a name is unknown."""
        for name in values:
            if name not in cls.described():
                raise UserError(f"{cls.verb}: unknown option {name!r}{suggest(name, cls.described())}")
        return cls(**values)

    def __post_init__(self) -> None:
        for option in self.described().values():
            object.__setattr__(self, option.name, checked(option, getattr(self, option.name)))


@cache
def _described(cls: Any) -> dict[str, Described]:
    hints = get_type_hints(cls)
    options = {}
    for item in fields(cls):
        hint = hints[item.name]
        kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        types = tuple(kind for kind in kinds if kind is not NoneType)
        assert item.default is not MISSING
        options[item.name] = Described(item.name, types, NoneType in kinds, item.default, item.metadata["option"])
    return options


def checked(option: Described, value: Any) -> Any:
    """Return `value` converted to the option's type. Raises UserError if it has another type or is out of range."""
    if value is None and (option.optional or Any in option.types):
        return None
    choices = option.choices
    if choices:
        if not isinstance(value, str) or value not in choices:
            raise UserError(
                f"{option.flag}: {shown(value)} is not one of {', '.join(choices)}{suggest(str(value), choices)}"
            )
        return value
    for kind in option.types:
        is_valid, converted = _converted(value, kind)
        if is_valid:
            return _in_range(option, converted)
    expected = " or ".join(NAMES.get(kind, str(kind)) for kind in option.types)
    raise UserError(f"{option.flag}: {shown(value)} is not {expected}")


NAMES: dict[Any, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path",
    Sequence[int]: "a list of whole numbers", Sequence[float]: "a list of numbers",
    Sequence[Path]: "a list of paths", tuple[str, ...]: "a list of names",
    Mapping[str, Any]: "a table of names and values",
}  # fmt: skip


def _converted(value: Any, kind: Any) -> tuple[bool, Any]:
    """Return whether `value` is of type `kind`, and the value converted to it."""
    base = get_origin(kind) or kind
    if base is Any:
        return True, value
    if base is bool:
        return isinstance(value, bool), value
    if base is int:
        return _is_whole(value), operator.index(value) if _is_whole(value) else value
    if base is float:
        is_number = isinstance(value, float) or _is_whole(value)
        return is_number, float(value) if is_number else value
    if base is Path:
        is_path = isinstance(value, str | os.PathLike)
        return is_path, Path(value) if is_path else value
    if base is Sequence:
        inner = get_args(kind)[0]
        parts = [_converted(part, inner) for part in value] if _is_list(value) else [(False, None)]
        return all(is_valid for is_valid, _ in parts), tuple(part for _, part in parts)
    if base is tuple:
        words = (value,) if isinstance(value, str) else value
        is_valid = _is_list(words) and all(isinstance(word, str) for word in words)
        return is_valid, tuple(words) if is_valid else value
    if base is Mapping:
        return isinstance(value, Mapping) and all(isinstance(key, str) for key in value), value
    return isinstance(value, base), value


def shown(value: Any) -> str:
    """Return a value's short form for a message, on one line."""
    return " ".join(reprlib.repr(value).split())


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def _is_whole(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _in_range(option: Described, value: Any) -> Any:
    least, most = option.about.least, option.about.most
    if least is not None and value < least:
        raise UserError(f"{option.flag}: {value} must be at least {least}")
    if most is not None and most < abs(value) < float("inf"):  # the code that uses the value refuses infinity
        raise UserError(f"{option.flag}: {value:g} is longer than any run; give at most {most:g}")
    return value
