# SPDX-License-Identifier: Apache-2.0
"""
JSON text to a typed config, and the exact place and reason where it cannot be.

Rule 1: msgspec decides what is valid; this file only finds out where and says it in our words.
Rule 2: a key that nobody knows is an error at every level, whatever the class allows.
Rule 3: the first problem named does not depend on the order of keys in the text, which Envoy does
not keep: unknown keys come first, in order of their names, then fields in the class's order.
"""

from __future__ import annotations

import logging
from typing import Any, TypeVar

import msgspec

from ._problems import joined, one_of, problem, suggestion
from ._types import MISSING, children, choices, known_keys, tags, wanted, words
from .errors import ConfigError

log = logging.getLogger("envoy_pyfilter")
_T = TypeVar("_T")
_EXACT = 1 << 53  # up to here a double holds every integer


def parse_object(text: bytes, source: str) -> dict[str, Any]:
    """
    Return the JSON object in *text*; nothing at all counts as ``{}``.

    *source* is the name of what Envoy got the text from (``filter_config``). Raises
    ``ConfigError`` for anything but an object: then Envoy was given another message than a Struct.
    """
    if not text:
        return {}
    expected = f"{source} must be a google.protobuf.Struct"
    try:
        plain = text.decode("utf-8")
    except UnicodeDecodeError:
        raise problem("", f"{expected}, got bytes that are not UTF-8") from None
    try:
        value = msgspec.json.Decoder(float_hook=_number).decode(text)
    except msgspec.DecodeError:
        raise problem("", expected, got=plain) from None
    except RecursionError:
        raise problem("", f"{source} is nested too deeply") from None
    if not isinstance(value, dict):
        raise problem("", expected, got=value)
    return value


def _number(text: str) -> float:
    """All numbers of a Struct are doubles: a whole one may stand where an integer is expected."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) <= _EXACT else number


def decode(value: dict[str, Any], kind: type[_T]) -> _T:
    """
    Return *value* as a *kind* (a ``msgspec.Struct`` class).

    Raises ``ConfigError`` with the path of the first problem; the traceback of what user code
    raised (``__post_init__``) goes to the log.
    """
    name = kind.__qualname__
    try:
        msgspec.json.Decoder(kind)
    except Exception as error:  # a type that msgspec cannot decode, or cannot even find
        log.exception("%s cannot be used as a config", name)
        what = f"{name} cannot be used as a config: {type(error).__name__}: {error}"
        raise problem("", f"{what}; its traceback stands above") from None
    try:
        _refuse_unknown_keys(value, kind, "")
        try:
            return msgspec.convert(value, kind, str_keys=True)
        except msgspec.ValidationError as error:
            raise (_located(value, kind, "") or problem("", str(error))) from None
    except ConfigError:
        raise
    except RecursionError:
        raise problem("", "nested too deeply") from None
    except BaseException as error:  # SystemExit included: user code never ends Envoy
        log.exception("%s raised", name)
        what = f"{name} raised {type(error).__name__}: {error}"
        raise problem("", f"{what}; its traceback stands above") from None


def _refuse_unknown_keys(value: Any, kind: Any, path: str) -> None:
    known = known_keys(value, kind)
    if known is not None:
        for key in sorted(value):
            if key not in known:
                raise problem(joined(path, key), f"unknown key{suggestion(key, known)}")
    for child, child_value, child_kind in children(value, kind, path):
        _refuse_unknown_keys(child_value, child_kind, child)


def _located(value: Any, kind: Any, path: str) -> ConfigError | None:
    """Return the first problem inside *value*, or None when it is a *kind*."""
    if value is MISSING:
        return problem(path, "missing", expected=wanted(kind))
    message = _complaint(value, kind)
    if message is None:
        return None
    field, by_tag = tags(kind)
    if isinstance(value, dict) and by_tag and value.get(field) not in list(by_tag):
        return _unknown_tag(value, field, [str(tag) for tag in by_tag], path)
    for child, child_value, child_kind in children(value, kind, path):
        found = _located(child_value, child_kind, child)
        if found is not None:
            return found
    return _described(value, kind, path, message)


def _complaint(value: Any, kind: Any) -> str | None:
    """Return what msgspec says against *value*, or None."""
    try:
        msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _unknown_tag(value: dict[str, Any], field: str, known: list[str], path: str) -> ConfigError:
    where = joined(path, field)
    if field not in value:
        return problem(where, "missing", expected=one_of(known))
    return problem(where, f"unknown {field}", got=value[field], expected=one_of(known))


def _described(value: Any, kind: Any, path: str, message: str) -> ConfigError:
    """Return msgspec's *message* about *value* itself, in our words."""
    message, _, inner = message.partition(" - at `")
    if inner.startswith("key`"):
        return _wrong_key(value, kind, path)
    if inner:  # a type that we cannot look into
        return problem(f"{path}{inner.rstrip('`').removeprefix('$')}", message)
    if message.startswith("Expected `"):
        return _unexpected(value, kind, path, message)
    if (known := choices(kind)) and isinstance(value, str):
        return problem(path, "unknown value", got=value, expected=one_of(known))
    if isinstance(value, (dict, list)):
        return problem(path, message)
    return problem(path, message, got=value)


def _unexpected(value: Any, kind: Any, path: str, message: str) -> ConfigError:
    names, _, rest = message.removeprefix("Expected `").partition("`")
    if rest.startswith(", got"):
        return problem(path, "wrong type", got=value, expected=wanted(kind))
    limit = rest.partition(", got")[0]
    return problem(path, "not allowed", got=value, expected=f"{words(names)}{limit}")


def _wrong_key(value: dict[str, Any], kind: Any, path: str) -> ConfigError:
    """Name the first key that is not one: the values are right."""
    for key in sorted(value):
        message = _complaint({key: value[key]}, kind)
        if message is not None:
            names, _, rest = message.partition("`")[2].partition("`")
            expected = words(names) + rest.partition(", got")[0].rpartition(" - at ")[0]
            return problem(joined(path, key), "not allowed as a key", expected=expected)
    return problem(path, "a key is not allowed")
