# SPDX-License-Identifier: Apache-2.0
"""
What the image (``envoy/Dockerfile``) starts: judges what it was given, then becomes Envoy.

1. A first argument that is no option is another program, which is run instead.
2. There have to be an Envoy that runs here, a bootstrap, and a folder for filters.
3. Envoy itself judges the bootstrap (``--mode validate``), which loads the filters, too. If it
   refuses, we say why in one line, with the place if we know it.
4. Envoy takes over this process: signals and stdout are Envoy's.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from envoy_pyfilter import _check, _child, _envoy, _health
from envoy_pyfilter._console import Refusal, say
from envoy_pyfilter._document import Document, text_of
from envoy_pyfilter._imports import ABOVE
from envoy_pyfilter._operator import command as _operator
from envoy_pyfilter._operator.rewrite import has_operator
from envoy_pyfilter._run import ADMIN, QUIET

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

CONFIG = Path("/etc/envoy/envoy.yaml")
FILTERS = Path("/filters")
_OWN = Path("/dev/shm")  # noqa: S108 (the container's own, and there when the root is read-only)
_CONFIG_OPTIONS = ("-c", "--config-path")
_LEVEL_OPTIONS = {"-l", "--log-level"}
_ANOTHER_MODE = {"-h", "--help", "--version", "--mode"}


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _taken(arguments: list[str], names: Sequence[str]) -> str | None:
    """Take an option and its value out of *arguments*, and give the value."""
    for place, one in enumerate(arguments):
        if one in names:
            value = "".join(arguments[place + 1 : place + 2])
            del arguments[place : place + 2]
            if not value:
                raise Refusal(f"{one} needs the path of a bootstrap")
            return value
    return None


def _denied(place: Path) -> Refusal:
    return Refusal(f"{place}: Permission denied (the container's user is {os.getuid()})")


def _text_of(config: Path) -> str:
    """Read the bootstrap; Refusal when it cannot be read."""
    try:
        return text_of(config)
    except Refusal as refusal:
        if isinstance(refusal.__cause__, PermissionError):
            raise _denied(config) from refusal
        raise


def _reason(envoy: Path, config: Path, arguments: Sequence[str]) -> str | None:
    """Say in one line why Envoy refuses *config*; None when it does not."""
    refused = _check.with_envoy(envoy, config, arguments)
    if not refused:
        return None
    logging.disable()  # of a filter that raises we say what, not where
    known = [
        one
        for one in _check.static(text_of(config))
        if one.level == "error" and one.line  # without a line: only that none of ours is there
    ]
    text = (known or refused)[0].shown(config)
    text = text.replace(ABOVE, f"envoy-pyfilter check {config} shows its traceback")
    if "ModuleNotFoundError" in text and not any(FILTERS.iterdir()):
        text += f"; {FILTERS} is empty: mount the folder of your filters there"
    return text


def _resolved(config: Path, text: str) -> Path:
    """Give the bootstrap as Envoy takes it: itself, or one without our operator in its formats."""
    if not has_operator(text):
        return config
    return _operator.resolved_file(config, None, Path(tempfile.mkdtemp(dir=_OWN)))


def _has_admin(text: str) -> bool:
    try:
        value = Document(text).value
    except yaml.YAMLError:  # so Envoy says what is wrong
        return True
    return not isinstance(value, dict) or "admin" in value


def envoy_command(arguments: Sequence[str]) -> list[str]:
    """Give the command that *arguments*, which are Envoy's, mean; Refusal when it cannot work."""
    rest = list(arguments)
    config = Path(_taken(rest, _CONFIG_OPTIONS) or CONFIG)
    if not FILTERS.is_dir():
        raise Refusal(f"no folder {FILTERS}: mount the folder of your filters there")
    if not os.access(FILTERS, os.R_OK | os.X_OK):
        raise _denied(FILTERS)
    text = _text_of(config)
    envoy = _envoy.present()
    if envoy is None:
        raise Refusal("no envoy on PATH")
    _envoy.require_supported(envoy)
    config = _resolved(config, text)
    if not _ANOTHER_MODE.intersection(rest):
        reason = _reason(envoy, config, rest)
        if reason is not None:
            raise Refusal(reason)
    command = [str(envoy), "-c", str(config), "--disable-hot-restart", *rest]
    if not _LEVEL_OPTIONS.intersection(rest):
        command += QUIET
    if not _has_admin(text):  # the health check asks it
        command += ["--config-yaml", ADMIN]
    if "--admin-address-path" not in rest:
        command += ["--admin-address-path", str(_health.ADDRESS)]
    return command


def main(arguments: list[str]) -> int:
    """Become what *arguments* mean; the exit code is given only when that fails."""
    for number in (signal.SIGINT, signal.SIGTERM):  # without a traceback, as process 1 too
        signal.signal(number, _end)
    command, environment = arguments, dict(os.environ)
    try:
        if not arguments or arguments[0].startswith("-"):
            command, environment = envoy_command(arguments), _envoy.environment()
    except Refusal as refusal:
        say(f"envoy-pyfilter: {refusal}")
        return refusal.code
    except OSError as error:
        say(f"envoy-pyfilter: {error}")
        return 1
    try:
        _child.become(command, environment)
    except OSError as error:
        say(f"envoy-pyfilter: {command[0]} cannot be started: {error.strerror}")
    return 127  # as a shell gives for a command that is not there


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
