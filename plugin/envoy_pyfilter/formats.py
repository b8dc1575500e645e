# SPDX-License-Identifier: Apache-2.0
"""
Formats: text with commands in it, in the notation of Envoy's access logs.

``%COMMAND%``, ``%COMMAND(argument)%``, each with ``:N`` before the last percent sign to keep only
the first N bytes; ``%%`` is a percent sign.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from ._problems import suggestion
from .errors import ConfigError
from .fields import ENTRY_FIELDS, ONLY_LOGGER, OPERATORS, STATE_FIELDS
from .plan_spec import (
    REQUEST_HEADERS,
    REQUEST_TRAILERS,
    RESPONSE_HEADERS,
    RESPONSE_TRAILERS,
    Part,
)

_HEADERS: Final = {
    "REQ": REQUEST_HEADERS,
    "REQ_TRAILER": REQUEST_TRAILERS,
    "RESP": RESPONSE_HEADERS,
    "TRAILER": RESPONSE_TRAILERS,
}
_ARGUMENTS: Final = {
    **dict.fromkeys(_HEADERS, "name"),
    "FIELD": "name",
    "NOTE": "key",
    "FILTER_STATE": "key",
    "DYNAMIC_METADATA": "namespace:key",
}
KNOWN: Final = (*_ARGUMENTS, *OPERATORS)
"""Every command that a format may have."""

# No part of it can give back what the next one could take, so matching is linear.
_COMMAND: Final = re.compile(r"%([A-Za-z0-9_]+)(?:\(([^()%]*)\))?(?::([0-9]+))?%")
_HEADER_NAME: Final = re.compile(r":?[!#$&'*+\-.^_`|~0-9a-z]+")
_MAX_LENGTH: Final = 1 << 20
_MAX_DIGITS: Final = 7

# Envoy's users write the path like this; the field follows the same rule.
_PATH: Final = ("REQ", "x-envoy-original-path?:path")


def parse(text: str) -> tuple[Part, ...]:
    """
    Return the parts of the format *text*; neighbouring literals are one part.

    Raises ``ConfigError``, whose message names the command and its place (the first character is
    1). Takes time linear in the length of *text*.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"half a character (a lone surrogate) at {error.start + 1}") from None
    if not text:
        raise ConfigError("empty; expected a format, like %RESPONSE_CODE%")
    parts: list[Part] = []
    literal: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "%":
            end = text.find("%", at)
            end = len(text) if end < 0 else end
            literal.append(text[at:end])
        elif text.startswith("%%", at):
            literal.append("%")
            end = at + 2
        else:
            parts += _literal(literal)
            part, end = _command(text, at)
            parts.append(part)
        at = end
    parts += _literal(literal)
    return tuple(parts)


def _literal(pieces: list[str]) -> list[Part]:
    text = "".join(pieces).encode()
    pieces.clear()
    return [Part(op="literal", text=text)] if text else []


def _command(text: str, at: int) -> tuple[Part, int]:
    """Return the command that begins at *at*, and where the text goes on."""
    match = _COMMAND.match(text, at)
    if match is None:
        _refuse(at, "not a command: expected %NAME% or %NAME(argument)%, and %% for a percent sign")
    name, argument, length = match.groups()
    if name in _ARGUMENTS and not argument:
        _refuse(at, f"%{name}% needs an argument: %{name}({_ARGUMENTS[name]})%")
    if name in OPERATORS and argument is not None:
        _refuse(at, f"%{name}% takes no argument")
    if name not in KNOWN:
        _refuse(at, f"unknown command %{name}%{suggestion(name, KNOWN)}")
    limit = _max_length(at, name, length)
    if name in OPERATORS:
        return Part(op="field", text=OPERATORS[name].encode(), max_length=limit), match.end()
    return _part(at, name, argument, limit), match.end()


def _part(at: int, name: str, argument: str, limit: int) -> Part:
    if name == "NOTE":
        return Part(op="note", text=argument.encode(), max_length=limit)
    if name == "FIELD":
        return _field(at, argument, limit)
    if name == "FILTER_STATE":
        return _filter_state(at, argument, limit)
    if name == "DYNAMIC_METADATA":
        return _metadata(at, argument, limit)
    return _header(at, name, argument.lower(), limit)


def _max_length(at: int, name: str, digits: str | None) -> int:
    if digits is None:
        return 0
    if len(digits) > _MAX_DIGITS or not 1 <= int(digits) <= _MAX_LENGTH:
        _refuse(at, f"the length of %{name}% must be 1 to {_MAX_LENGTH}")
    return int(digits)


def _field(at: int, name: str, limit: int) -> Part:
    if name not in STATE_FIELDS:
        if name in ONLY_LOGGER:
            _refuse(at, f"no format has the field {name}")
        if name in ENTRY_FIELDS:
            _refuse(at, f"the field {name} is not a single value of the stream")
        _refuse(at, f"unknown field {name}{suggestion(name, STATE_FIELDS)}")
    return Part(op="field", text=name.encode(), max_length=limit)


def _filter_state(at: int, argument: str, limit: int) -> Part:
    key, _, form = argument.partition(":")
    if not key or form not in ("", "PLAIN"):
        _refuse(at, f"%FILTER_STATE({argument})%: expected a key; its value is taken as plain text")
    return Part(op="filter_state", text=key.encode(), max_length=limit)


def _metadata(at: int, argument: str, limit: int) -> Part:
    name_space, _, key = argument.partition(":")
    if not name_space or not key or ":" in key:
        _refuse(at, f"%DYNAMIC_METADATA({argument})%: expected namespace:key, one key deep")
    return Part(op="metadata", text=argument.encode(), max_length=limit)


def _header(at: int, command: str, name: str, limit: int) -> Part:
    if (command, name) == _PATH:
        return Part(op="field", text=b"path", max_length=limit)
    if "?" in name:
        _refuse(at, f"%{command}({name})%: alternatives (?) are not supported")
    if _HEADER_NAME.fullmatch(name) is None:
        _refuse(at, f"%{command}({name})%: not a header name")
    return Part(op="header", text=name.encode(), map=_HEADERS[command], max_length=limit)


def _refuse(at: int, what: str) -> NoReturn:
    raise ConfigError(f"at character {at + 1}: {what}")
