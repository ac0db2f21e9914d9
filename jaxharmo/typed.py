"""Parsed JSON -> annotated dataclasses, every leaf checked."""

import dataclasses
import math
import types
import typing
from typing import Any, Literal

from jaxharmo.errors import InputError


def build(kind: Any, value: Any, where: str) -> Any:
    """``value`` as the annotated type ``kind``; ``InputError`` naming the place where it is not.

    Supports dataclasses, unions of them with a field ``kind``, literals, tuples, lists, dicts
    with text as keys, plain types, and any of these or None.
    """
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal and value in arguments:
        return value
    if origin is types.UnionType and all(dataclasses.is_dataclass(each) for each in arguments):
        return _tagged(arguments, value, where)
    if origin is types.UnionType and types.NoneType in arguments:
        (kind,) = (each for each in arguments if each is not types.NoneType)
        return None if value is None else build(kind, value, where)
    if origin is tuple and isinstance(value, list):
        items = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(items) == len(value):
            return tuple(build(item, part, where) for item, part in zip(items, value, strict=True))
    if origin is list and isinstance(value, list):
        return [build(arguments[0], part, where) for part in value]
    if origin is dict and isinstance(value, dict):
        return {name: build(arguments[1], part, f"{where}.{name}") for name, part in value.items()}
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
    elif not isinstance(kind, types.GenericAlias) and type(value) is kind:
        return value
    raise InputError(f"{where}: {value!r} is not {getattr(kind, '__name__', kind)}")


def _tagged(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    """The dataclass whose default of ``kind`` the value's ``kind`` names."""
    by_tag = {kind.kind: kind for kind in kinds}
    tag = value.get("kind") if isinstance(value, dict) else None
    if tag not in by_tag:
        raise InputError(f"{where}.kind: {tag!r} is none of {', '.join(by_tag)}")
    return _dataclass(by_tag[tag], value, where)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    if not isinstance(value, dict):
        raise InputError(f"{where}: {value!r} is not a set of fields")
    unknown = sorted(set(value) - set(hints))
    if unknown:
        raise InputError(f"{where}: unknown field {', '.join(unknown)}")
    fields = {name: build(hints[name], part, f"{where}.{name}") for name, part in value.items()}
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from error
