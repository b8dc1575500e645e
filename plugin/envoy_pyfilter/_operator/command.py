# SPDX-License-Identifier: Apache-2.0
"""``envoy-pyfilter resolve``, and what ``run``, ``config`` and ``check`` have of it."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from envoy_pyfilter._console import Refusal, say
from envoy_pyfilter._document import text_of
from envoy_pyfilter._operator import alias_file, rewrite
from envoy_pyfilter.operators import PROFILES

if TYPE_CHECKING:
    from envoy_pyfilter._operator.aliases import Alias

DESCRIPTION: Final = """\
Writes a configuration of Envoy again, with every %EG_EXT_FILTER_STATE(name:attribute)% in its
formats made into what Envoy has. All else stays as it is. Warnings go to stderr.
"""
_COALESCE_SINCE: Final = (1, 37)
_STDIN: Final = Path("-")


def _profile(text: str) -> str:
    if text not in PROFILES:
        known = ", ".join(PROFILES)
        raise argparse.ArgumentTypeError(f"{text}: unknown profile; known: {known}")
    return text


def _unknown(text: str) -> str:
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r}: expected text without control characters")
    return text


def _release(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})(\.\d{1,3})?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: expected a release of Envoy, such as 1.40")
    return int(found[1]), int(found[2])


def add_aliases(parser: argparse.ArgumentParser) -> None:
    """Add the option that all commands share."""
    parser.add_argument(
        "--aliases",
        metavar="FILE",
        type=Path,
        help="names of filters for %%EG_EXT_FILTER_STATE(name:attribute)%% in formats",
    )


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``resolve``."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=Path,
        default=_STDIN,
        help="a bootstrap, a listener, routes or a dump, in YAML or JSON (default: stdin)",
    )
    add_aliases(parser)
    parser.add_argument(
        "--profile",
        metavar="PROFILE",
        type=_profile,
        default=PROFILES[0],
        help=f"what is written: {', '.join(PROFILES)} (default: %(default)s)",
    )
    parser.add_argument(
        "--unknown",
        metavar="TEXT",
        type=_unknown,
        default="-",
        help="what strict writes for an unknown name, {name} in it is the name (default: -)",
    )
    parser.add_argument(
        "--for-envoy",
        metavar="VERSION",
        type=_release,
        help="the release that will read it (default: 1.37 or later, which has COALESCE)",
    )
    parser.add_argument(
        "--no-warnings", action="store_true", help="write nothing and fail if there is a warning"
    )


def given(file: Path | None) -> tuple[Alias, ...]:
    """Read the alias file, if there is one."""
    return () if file is None else alias_file.read(file, text_of(file))


def _text(file: Path) -> tuple[Path, str]:
    if file != _STDIN:
        return file, text_of(file)
    try:
        return Path("<stdin>"), sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(f"<stdin>: no text in UTF-8 (byte {error.start})") from error


def resolve(options: argparse.Namespace) -> int:
    """Run the command."""
    wanted = rewrite.Options(
        profile=options.profile,
        aliases=given(options.aliases),
        unknown=options.unknown,
        coalesce=options.for_envoy is None or options.for_envoy >= _COALESCE_SINCE,
    )
    name, text = _text(options.file)
    written, remarks = rewrite.rewrite(name, text, wanted)
    for one in remarks:
        say(one.shown(name))
    if remarks and options.no_warnings:
        return 1
    sys.stdout.write(written)
    return 0


def resolved_file(file: Path, aliases: Path | None, folder: Path) -> Path:
    """Give a configuration without operators: the file itself, or one made of it in *folder*."""
    text = text_of(file)
    if not rewrite.has_operator(text):
        return file
    written, remarks = rewrite.rewrite(file, text, rewrite.Options(aliases=given(aliases)))
    for one in remarks:
        say(one.shown(file))
    made = folder / file.name
    made.write_text(written, "utf-8")
    return made


def resolved_value(value: Any, aliases: Path | None) -> Any:
    """Give a configuration that we made with operators resolved."""
    made = rewrite.changes(value, rewrite.Options(aliases=given(aliases)))
    for place, notice in made.notices:
        say(rewrite.Remark(place, notice.text).shown(Path("envoy-pyfilter")))
    return rewrite.apply(value, made)
