"""Privacy classes: a field's class is part of its type, and everything that must be hidden follows from it."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel


class Level(enum.IntEnum):
    """How private a field is (DESIGN, Data classes). 3 and 4 are sealed at rest and never logged."""

    PUBLIC = 1
    INTERNAL = 2
    SENSITIVE = 3
    CRITICAL = 4


def level_of(model: type[BaseModel], field: str) -> Level:
    """The class of a field: its mark; else its parts' highest; free text without a mark is CRITICAL."""
    info = model.model_fields[field]
    marks = [mark for mark in info.metadata if isinstance(mark, Level)]
    return max(marks) if marks else _of_type(info.annotation)


def highest(model: type[BaseModel]) -> Level:
    """The highest class of any field."""
    return max((level_of(model, name) for name in model.model_fields), default=Level.PUBLIC)


def fields_above(model: type[BaseModel], cleared: Level, path: str = "") -> Iterator[str]:
    """Dotted names of the fields more private than `cleared`."""
    for name, info in model.model_fields.items():
        if level_of(model, name) <= cleared:
            continue
        inner = list(_models_in(info.annotation)) if not any(isinstance(m, Level) for m in info.metadata) else []
        if inner:
            for part in inner:
                yield from fields_above(part, cleared, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def _of_type(kind: Any) -> Level:
    if kind is str:
        return Level.CRITICAL
    if isinstance(kind, typing.NewType):
        return _of_type(kind.__supertype__)
    origin = get_origin(kind)
    if origin is Annotated:
        marks = [mark for mark in get_args(kind)[1:] if isinstance(mark, Level)]
        return max(marks) if marks else _of_type(get_args(kind)[0])
    if origin in (Union, types.UnionType, list, tuple, dict, set, frozenset):
        parts = [part for part in get_args(kind) if part is not Ellipsis]
        return max((_of_type(part) for part in parts), default=Level.CRITICAL)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return highest(kind)
    if kind in (object, Any):
        return Level.CRITICAL
    return Level.PUBLIC


def _models_in(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind):
        yield from _models_in(part)
