# SPDX-License-Identifier: Apache-2.0
"""
A configuration with every operator resolved; all else in it stays as it is, comments included.

Only the scalars that hold an operator are written anew, as JSON strings, which YAML knows too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from envoy_pyfilter._console import Refusal
from envoy_pyfilter._document import Document, Place, dotted
from envoy_pyfilter._operator import gateway, strict
from envoy_pyfilter._operator.alias_file import document
from envoy_pyfilter._operator.chains import get, inner
from envoy_pyfilter._operator.places import Format, When, formats
from envoy_pyfilter._operator.positions import Positions
from envoy_pyfilter._operator.result import Notice, Resolved
from envoy_pyfilter._operator.visible import Views

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import yaml

    from envoy_pyfilter._operator.aliases import Alias
    from envoy_pyfilter.operators import Profile

_OPENING: Final = re.compile("%EG_EXT_(?:PROC_)?FILTER_STATE")
_TOPS: Final = (
    *("static_resources", "dynamic_resources", "admin", "node"),
    *("filter_chains", "default_filter_chain", "virtual_hosts", "http_filters"),
)
_ENVOY_TYPE: Final = "type.googleapis.com/envoy."
_HEADER_END: Final = 16384  # bytes of a header's value that Envoy takes from its configuration
_COMMAND: Final = re.compile("%[^%].*%", re.DOTALL)
_UNSAFE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_PROPERTIES: Final = re.compile(r"\A(?:[&!]\S*\s+)*")  # of a scalar: anchor and tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to resolve; *aliases* are those of the file."""

    profile: Profile = "strict"
    aliases: Sequence[Alias] = ()
    unknown: str = "-"
    coalesce: bool = True


@dataclass(frozen=True, slots=True)
class Remark:
    """A warning about a place of a file; *line* 0: there is no file."""

    place: Place
    text: str
    line: int = 0
    column: int = 0

    def shown(self, file: Path) -> str:
        """Write it as compilers do."""
        where = f"{file}:{self.line}:{self.column}" if self.line else str(file)
        return f"{where}: warning: {dotted(self.place)}: {self.text}"


@dataclass(slots=True)
class Changes:
    """New texts by their places, and what has to be said of them."""

    texts: dict[Place, str] = field(default_factory=dict)
    notices: list[tuple[Place, Notice]] = field(default_factory=list)


def has_operator(text: str) -> bool:
    """Tell whether there is anything to resolve; what YAML can write with escapes is not seen."""
    return "EG_EXT_" in text


def is_envoy(value: object) -> bool:
    """Tell whether *value* is, or holds, configuration of Envoy."""
    tops = value if isinstance(value, list) else [value]
    if any(get(one, key) is not None for one in tops for key in _TOPS):
        return True
    return _has_type(value)


def _has_type(value: object) -> bool:
    if str(get(value, "@type") or "").startswith(_ENVOY_TYPE):
        return True
    return any(_has_type(one) for _, one in inner(value))


def changes(value: object, options: Options) -> Changes:
    """Resolve all formats of a configuration."""
    made, seen, views = Changes(), set[Place](), Views(options.aliases)
    for one in formats(value):
        if _OPENING.search(one.text) is None:
            continue
        seen.add(one.place)
        found = _resolved(one, views, options)
        if found.text != one.text:
            made.texts[one.place] = found.text
        made.notices += [(one.place, each) for each in found.notices]
    for place, text in _texts(value, ()):
        if place not in seen and (match := _OPENING.search(text)) is not None:
            notice = Notice(1, match.start() + 1, "Envoy evaluates no format here; left as it is")
            made.notices.append((place, notice))
    return made


def _texts(value: object, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    for key, one in inner(value):
        yield from _texts(one, (*place, key))


def _resolved(one: Format, views: Views, options: Options) -> Resolved:
    if options.profile != "strict":
        return _gateways(one, views, options)
    here = views.of(one.site)
    settings = strict.Settings(
        unknown=options.unknown, coalesce=options.coalesce, why=here.why, remark=here.remark
    )
    found = strict.resolve(one.text, here.aliases, settings)
    if one.site.form == "header" and len(found.text.encode("utf-8", "replace")) > _HEADER_END:
        text = f"longer than the {_HEADER_END} bytes that Envoy takes for a header; written as -"
        return Resolved("-", (Notice(1, 1, text),))
    if one.site.form == "command" and not _COMMAND.fullmatch(found.text):
        notice = Notice(1, 1, "Envoy wants a command here: one that is always unset")
        return Resolved("%FILTER_STATE(-:PLAIN)%", (*found.notices, notice))
    return found


def _gateways(one: Format, views: Views, options: Options) -> Resolved:
    """Resolve what Envoy Gateway resolved: the formats of file logs."""
    if not one.site.form.startswith("file"):
        text = f"{options.profile} resolves formats of file logs only; Envoy will refuse this one"
        return Resolved(one.text, (Notice(1, 1, text),))
    if options.profile == "eg-v3":
        return Resolved(gateway.v3(one.text, views.of(one.site).aliases))
    # It took no notice of what a log of upstream requests can read.
    is_upstream = one.site.when is When.UPSTREAM
    site = replace(one.site, when=When.END) if is_upstream else one.site
    return Resolved(gateway.v1(one.text, views.of(site).aliases))


def apply(value: Any, made: Changes) -> Any:
    """Give a configuration with the new texts."""

    def new(one: Any, place: Place) -> Any:
        if isinstance(one, dict):
            return {key: new(each, (*place, str(key))) for key, each in one.items()}
        if isinstance(one, list):
            return [new(each, (*place, number)) for number, each in enumerate(one)]
        return made.texts.get(place, one)

    return new(value, ()) if made.texts else value


def rewrite(name: Path, text: str, options: Options) -> tuple[str, list[Remark]]:
    """
    Give the text of a file with the operators resolved, and the warnings.

    Refusal when it is no YAML, has a key twice, or is no configuration of Envoy.
    """
    found = document(name, text)
    try:
        if not is_envoy(found.value):
            raise Refusal(
                f"{name}: no configuration of Envoy; expected a bootstrap, a listener, routes or a "
                "dump of them"
            )
        made = changes(found.value, options)
    except RecursionError:
        raise Refusal(f"{name}: nested too deeply") from None
    positions = Positions(text)
    remarks = [_remark(found, positions, place, notice) for place, notice in made.notices]
    return _written(name, text, found, made), sorted(remarks, key=lambda one: one.line)


def _remark(found: Document, positions: Positions, place: Place, notice: Notice) -> Remark:
    node = found.scalars.get(place)
    if node is None:
        return Remark(place, notice.text, found.line(place), 1)
    return Remark(place, notice.text, *positions.of(node, notice))


def _written(name: Path, text: str, found: Document, made: Changes) -> str:
    edits: dict[int, tuple[yaml.ScalarNode, str]] = {}
    for place, new in made.texts.items():
        node = found.scalars.get(place)
        if node is None:
            raise Refusal(f"{name}:{found.line(place)}: {dotted(place)}: its keys must be text")
        _, before = edits.setdefault(node.start_mark.index, (node, new))
        if before != new:
            raise Refusal(
                f"{name}:{node.start_mark.line + 1}: {dotted(place)}: this text is used in several "
                "places, in which it means different filters; write it out in each"
            )
    pieces: list[str] = []
    at = 0
    for start, (node, new) in sorted(edits.items()):
        old = text[start : node.end_mark.index]
        kept = "".join(_PROPERTIES.findall(old)[:1])
        tail = old[len(old.rstrip()) :] if node.style in ("|", ">") else ""
        pieces += [text[at:start], kept, _quoted(new), tail]
        at = node.end_mark.index
    return "".join([*pieces, text[at:]])


def _quoted(text: str) -> str:
    """Write a string as JSON and YAML both read it."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", quoted)
