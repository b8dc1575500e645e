# SPDX-License-Identifier: Apache-2.0
"""JSON of an API in which a value is not what the API says: the others are read all the same."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from envoy_pyfilter._llm.usage import MOST_TOKENS, Choice, Part, Payload, Usage

_P = TypeVar("_P", bound=Payload)

_SHOWN: Final = 40  # characters of an odd value
_COUNTS: Final = Usage.__struct_fields__


def read(text: bytes, kind: type[_P]) -> tuple[_P | None, str]:
    """Give what can be read, None where it is of no API that we know, and what is odd about it."""
    if not text.lstrip().startswith(b"{"):
        return None, ""
    given: dict[str, Any] = msgspec.json.decode(text)
    odd: list[str] = []
    found = kind(**_part(given, odd, ""))
    for name in ("response", "message"):
        inner = given.get(name)
        if isinstance(inner, dict):  # others have a text there, which is none of ours
            setattr(found, name, Part(**_part(inner, odd, f"{name}.")))
    for name, type_ in (("type", str), ("choices", list[Choice])):
        if name in kind.__struct_fields__:
            setattr(found, name, _or_none(given.get(name), type_))
    return found, odd[0] if odd else ""


def _part(given: dict[str, Any], odd: list[str], where: str) -> dict[str, Any]:
    """Read the model and the usage."""
    model, usage = given.get("model"), given.get("usage")
    if not isinstance(model, str | None):
        odd.append(f"{where}model is {_shown(model)}, no string")
        model = None
    if not isinstance(usage, dict | None):
        odd.append(f"{where}usage is {_shown(usage)}, no object")
        usage = None
    if usage is None:
        return {"model": model, "usage": None}
    counts = {}
    for name in _COUNTS:
        value = usage.get(name)
        counts[name] = _count(value)
        if value is not None and counts[name] is None:
            odd.append(f"{where}usage.{name} is {_shown(value)}, no number of tokens")
    return {"model": model, "usage": Usage(**counts)}


def _count(value: object) -> int | None:
    """Give a number of tokens; 5.0 is 5."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= MOST_TOKENS and value == int(value) else None


def _or_none(value: object, type_: Any) -> Any:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError:
        return None


def _shown(value: object) -> str:
    """Show a value as JSON, on one line and not at length."""
    text = ascii(value) if isinstance(value, float) else msgspec.json.encode(value).decode()
    text = "".join(one if one.isprintable() else "?" for one in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
