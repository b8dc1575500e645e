# SPDX-License-Identifier: Apache-2.0
"""
The profile ``strict``: a format that Envoy accepts, whatever the operators in it are.

Both spellings of the operator are understood, a length inside or outside of the brackets, and an
attribute with or without ``FIELD:``. Envoy's own commands stay as they are; a percent sign that
begins no command is doubled, since Envoy would refuse the whole format for it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from envoy_pyfilter._operator.aliases import FORMS, Target, shown, target
from envoy_pyfilter._operator.lexer import Command, Stray, tokens
from envoy_pyfilter._operator.result import Notices, Resolved
from envoy_pyfilter._problems import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envoy_pyfilter._operator.aliases import Alias

NAMES: Final = ("EG_EXT_FILTER_STATE", "EG_EXT_PROC_FILTER_STATE")
_LENGTH_END: Final = 1 << 64  # Envoy's size_t
_LENGTH_BEHIND: Final = re.compile(r"%[A-Z_]+\([^()%\n]*\):[^%\n]*%")
_BAD_LENGTH: Final = re.compile(r"[-+][0-9]+|[-+]?[0-9]*\.[0-9]+")
_FORM: Final = "expected %EG_EXT_FILTER_STATE(name:attribute)%"


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What the text depends on beside the aliases.

    *unknown* stands for what cannot be resolved; ``{name}`` in it is the name. *coalesce*: Envoy
    has the command ``COALESCE`` (1.37 and later). *why* says why a name is unknown, *remark* what
    is odd about reading an attribute of an alias where the format stands; "" for nothing.
    """

    unknown: str = "-"
    coalesce: bool = True
    why: Callable[[str], str] = lambda _: ""
    remark: Callable[[Alias, str], str] = lambda _alias, _attribute: ""


@dataclass(slots=True)
class _Asked:
    """What an operator asks for."""

    name: str
    form: str = "TYPED"
    attribute: str = ""
    length: int | None = None
    remarks: list[str] = field(default_factory=list)

    def limit(self, digits: str) -> None:
        """Take a length; the smaller of two counts."""
        number = digits.lstrip("0") or "0"
        if len(number) > len(str(_LENGTH_END)) or int(number) >= _LENGTH_END:
            self.remarks.append(f"the length {shown(digits)} is too large and left out")
        elif self.length is None or int(number) < self.length:
            self.length = int(number)


def resolve(text: str, aliases: Sequence[Alias], settings: Settings) -> Resolved:
    """Resolve all operators of *text*."""
    if not any(f"%{name}" in text for name in NAMES):
        return Resolved(text)
    notices = Notices(text)
    by_name: dict[str, list[Alias]] = {}
    for alias in aliases:
        by_name.setdefault(alias.name, []).append(alias)
    pieces: list[str] = []
    for token in tokens(text):
        if isinstance(token, Stray):
            pieces.append("%%")
            notices.add(token.start, _stray(text, token.start))
        elif isinstance(token, Command) and token.name in NAMES:
            remarks: list[str] = []
            pieces.append(_operator(token, by_name, settings, remarks))
            for remark in remarks:
                notices.add(token.start, remark)
        else:
            pieces.append(text[token.start : token.end])
    return Resolved("".join(pieces), notices.all())


def _stray(text: str, at: int) -> str:
    if any(text.startswith(f"%{name}", at) for name in NAMES):
        if _LENGTH_BEHIND.match(text, at):
            return "the length behind this operator is no digits; it is written as text"
        return f"this operator is not closed, or holds a newline; it is written as text ({_FORM})"
    return "a percent sign that begins no command, which Envoy would refuse; doubled"


def _operator(
    token: Command, by_name: dict[str, list[Alias]], settings: Settings, remarks: list[str]
) -> str:
    asked = _asked(token)
    if isinstance(asked, str):
        remarks.append(f"{asked}; written as {_literal('', settings)}")
        return _literal("", settings)
    remarks += asked.remarks
    found: list[Target] = []
    for alias in by_name.get(asked.name, ()):
        one = target(alias, asked.form, asked.attribute)
        if isinstance(one, Target):
            one = one if _is_sayable(one) else f"no format can say {shown(one.argument)}"
        if isinstance(one, str):
            remarks.append(f"{shown(asked.name)}: {one}")
        elif one not in found:
            found.append(one)
            said = (one.remark, settings.remark(alias, asked.attribute))
            remarks += [f"{shown(asked.name)}: {text}" for text in said if text]
    if not found:
        literal = _literal(asked.name, settings)
        if asked.name in by_name:
            remarks.append(f"{shown(asked.name)} is written as {literal}")
        else:
            remarks.append(f"{_unknown(asked.name, by_name, settings)}; written as {literal}")
        return literal
    return _command(found, asked, settings, remarks)


def _take_length(asked: _Asked, pieces: list[str]) -> None:
    """Take the length out of what stands behind the form, if there is one."""
    if pieces and pieces[0].isascii() and pieces[0].isdigit():
        asked.limit(pieces.pop(0))
    elif len(pieces) > 1 and pieces[0] in FORMS and pieces[1].isascii() and pieces[1].isdigit():
        asked.limit(pieces.pop(1))
    elif pieces and _BAD_LENGTH.fullmatch(pieces[0]):
        asked.remarks.append(
            f"{shown(pieces.pop(0))} is no length, which is digits; it is left out"
        )


def _asked(token: Command) -> _Asked | str:
    """Read an operator; a sentence when it asks for nothing."""
    name, _, rest = (token.argument or "").partition(":")
    if not name:
        return f"an operator without a name; {_FORM}"
    asked = _Asked(name)
    pieces = rest.split(":")
    first = pieces.pop(0)
    if first == "FIELD":
        first, asked.form = (pieces.pop(0) if pieces else ""), "FIELD"
        if not first:
            return f"FIELD without a field's name; {_FORM}"
        asked.attribute = first
    elif first in FORMS:
        asked.form = first
    elif first:
        asked.form, asked.attribute = "FIELD", first
    _take_length(asked, pieces)
    if any(pieces):
        rest = ":".join(pieces)
        asked.remarks.append(f"{shown(rest)} has no meaning here and is left out")
    if token.length is not None:
        asked.limit(token.length)
    return asked


def _unknown(name: str, by_name: dict[str, list[Alias]], settings: Settings) -> str:
    why = settings.why(name)
    near = None if why else nearest(name, by_name)
    hint = f": {why}" if why else f"; did you mean {near}?" if near else ""
    return f"nothing is known as {shown(name)}{hint}"


def _literal(name: str, settings: Settings) -> str:
    return settings.unknown.replace("{name}", name).replace("%", "%%")


def _is_sayable(one: Target) -> bool:
    """Tell whether Envoy reads the command as one with this very argument."""
    (first, *more) = tokens(f"%{one.command}({one.argument})%")
    return not more and isinstance(first, Command) and first.argument == one.argument


def _command(found: list[Target], asked: _Asked, settings: Settings, remarks: list[str]) -> str:
    length = "" if asked.length is None else f":{asked.length}"
    one = found[0]
    if len(found) > 1 and settings.coalesce:
        operators = [{"command": each.command, "param": each.argument} for each in found]
        # The first ")" ends the argument of COALESCE.
        text = json.dumps({"operators": operators}, separators=(",", ":")).replace(")", "\\u0029")
        return f"%COALESCE({text}){length}%"
    if len(found) > 1:
        remarks.append(
            f"{shown(asked.name)} stands for {len(found)} filters, and there is no COALESCE here; "
            "only the first is read"
        )
    return f"%{one.command}({one.argument}){length}%"
