# SPDX-License-Identifier: Apache-2.0
"""
What a config's type says about the value at one place: its keys, its children, its words.

A *kind* is anything that msgspec can decode: a class, ``list[int]``, ``Annotated[...]``, a union.
"""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Collection, Iterator, Mapping
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec

from ._problems import joined, one_of

MISSING: Final = object()
"""Stands for the value of a required key that is not there."""

_WORDS: Final = {
    "array": "a list",
    "bool": "true or false",
    "bytes": "a base64 string",
    "float": "a number",
    "int": "an integer",
    "null": "null",
    "object": "a mapping",
    "str": "a string",
}
Child = tuple[str, Any, Any]  # path, value, kind
Field = tuple[str, Any, bool]  # name, kind, whether it must be there


def words(names: str) -> str:
    """Msgspec's name of a type, like ``int | null``, in words."""
    return one_of([_WORDS.get(name, name) for name in names.split(" | ")])


def wanted(kind: Any) -> str:
    """Return what may stand where *kind* is expected."""
    _, by_tag = tags(kind)
    if not by_tag and (values := choices(kind)):
        return one_of(values)
    try:
        msgspec.convert(MISSING, kind)
    except msgspec.ValidationError as error:
        return words(str(error).partition("`")[2].partition("`")[0])
    return "a value"


def choices(kind: Any) -> list[str]:
    """Return the texts that a ``Literal`` or an ``Enum`` takes, or null; empty for other kinds."""
    found = [_choices(member) for member in _members(kind) if member is not types.NoneType]
    if not found or not all(found):
        return []
    nothing = ["null"] if types.NoneType in _members(kind) else []
    return [value for values in found for value in values] + nothing


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [str(member.value) for member in kind]
    return []


def tags(kind: Any) -> tuple[str, dict[Any, Any]]:
    """Return the tag field of a tagged struct or union, and its structs by tag; or nothing."""
    field, by_tag = "", {}
    for member in _members(kind):
        config = getattr(_origin(member), "__struct_config__", None)
        if config is not None and config.tag_field is not None:
            field = config.tag_field
            by_tag[config.tag] = member
    return field, by_tag


def known_keys(value: Any, kind: Any) -> list[str] | None:
    """Return the keys that *kind* knows of the mapping *value*; None: whatever key."""
    fields = _fields(value, kind)
    if fields is None:
        return None
    field, by_tag = tags(kind)
    return ([field] if by_tag else []) + [name for name, _, _ in fields]


def children(value: Any, kind: Any, path: str) -> Iterator[Child]:
    """Yield what *value* holds, in the order of *kind*; ``MISSING`` for required keys."""
    fields = _fields(value, kind)
    if fields is not None:
        for name, child_kind, is_required in fields:
            if name in value or is_required:
                yield joined(path, name), value.get(name, MISSING), child_kind
    elif isinstance(value, dict):
        for member in _members(kind):
            if _is_mapping(member) and get_args(member):
                child_kind = get_args(member)[1]
                for key in sorted(value):
                    yield joined(path, key), value[key], child_kind
    elif isinstance(value, list):
        for index, (item, child_kind) in enumerate(_items(value, kind)):
            yield f"{path}[{index}]", item, child_kind


def _items(value: list[Any], kind: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the items of *value*, each with its kind."""
    lists = [member for member in _members(kind) if _is_list(member)]
    if len(lists) != 1:  # nobody can tell which one of several was meant
        return
    cls, args = _origin(lists[0]), get_args(lists[0])
    if hasattr(cls, "_fields"):  # a NamedTuple
        args = tuple(get_type_hints(cls, include_extras=True).values())
    if issubclass(cls, tuple) and args[-1:] != (...,):
        yield from zip(value, args, strict=False)
    elif args:
        yield from ((item, args[0]) for item in value)


def _fields(value: Any, kind: Any) -> list[Field] | None:
    """Return the fields that the mapping *value* may have; None when nobody can tell."""
    if not isinstance(value, dict):
        return None
    field, by_tag = tags(kind)
    if by_tag:
        structs = [member for tag, member in by_tag.items() if tag == value.get(field)]
    else:
        structs = [member for member in _members(kind) if _has_fields(_origin(member))]
    return _fields_of(structs[0]) if len(structs) == 1 else None


def _has_fields(cls: Any) -> bool:
    return hasattr(cls, "__struct_fields__") or dataclasses.is_dataclass(cls) or is_typeddict(cls)


def _fields_of(kind: Any) -> list[Field]:
    cls = _origin(kind)
    if hasattr(cls, "__struct_fields__"):
        return [(f.encode_name, f.type, f.required) for f in msgspec.structs.fields(kind)]
    hints = get_type_hints(cls, include_extras=True)
    if is_typeddict(cls):
        return [(name, hint, name in cls.__required_keys__) for name, hint in hints.items()]
    return [(f.name, hints[f.name], _is_required(f)) for f in dataclasses.fields(cls)]


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return (field.default, field.default_factory) == (dataclasses.MISSING, dataclasses.MISSING)


def _bare(kind: Any) -> Any:
    """Strip ``Annotated``, ``NewType`` and type aliases."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":  # type X = ..., from Python 3.12 on
            kind = kind.__value__
        else:
            return kind


def _members(kind: Any) -> list[Any]:
    kind = _bare(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return [inner for member in get_args(kind) for inner in _members(member)]
    return [kind]


def _origin(kind: Any) -> Any:
    return get_origin(kind) or kind


def _is_mapping(kind: Any) -> bool:
    origin = _origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _is_list(kind: Any) -> bool:
    origin = _origin(kind)
    is_collection = isinstance(origin, type) and issubclass(origin, Collection)
    return is_collection and not issubclass(origin, (str, bytes, Mapping))
