# SPDX-License-Identifier: Apache-2.0
"""The sinks' config, and its way into the plan; docs/config.md explains each key."""

# os.path says False where pathlib raises (no permission, a name too long).
# ruff: noqa: PTH100, PTH112, PTH114, PTH116, PTH118, PTH119, PTH120

from __future__ import annotations

import functools
import json
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from . import formats
from ._imports import load_class
from ._problems import problem
from .errors import ConfigError
from .plan_spec import LONGEST_SOCKET, CiliumSpec, Part, SinkSpec
from .sinks import check_sink_class, make_sink

if TYPE_CHECKING:
    from collections.abc import Sequence

RingBytes = Annotated[int, msgspec.Meta(ge=65536, le=1 << 30)]

SMALLEST_PACKET: Final = 512
"""What an entry takes at most when all that can be left out is left out, texts of config aside."""

LONGEST_TEXT: Final = 256
"""Bytes of ``policy_name`` and of ``cilium_rule_ref`` (``CILIUM_TEXT_MAX`` in C)."""

_LARGEST_PACKET: Final = 1 << 17
_FRAME: Final = 64  # what a ring needs beside a packet
_PORT_MAX: Final = (1 << 16) - 1
_IDENTITY_MAX: Final = (1 << 32) - 1
_MAX_DIGITS: Final = 10


class FileSinkConfig(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="file",
):
    """A file, a FIFO or ``/dev/stdout``."""

    path: str
    format: Literal["json"] = "json"
    ring_bytes: RingBytes = 4 << 20


class PythonSinkConfig(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="python",
):
    """A class of the user's, see ``Sink``."""

    sink: str
    config: dict[str, Any] = {}
    ring_bytes: RingBytes = 4 << 20


class QueueConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What waits for the agent, and which entry is lost when it is full."""

    entries: int = 8192
    bytes: int = 8 << 20
    drop: Literal["oldest", "newest"] = "newest"


class CiliumSinkConfig(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="type",
    tag="cilium",
):
    """The access-log socket of Cilium's agent; six values are constants or formats."""

    socket: str
    max_packet: Annotated[int, msgspec.Meta(le=_LARGEST_PACKET)] = 4096
    policy_name: str = ""
    cilium_rule_ref: str = ""
    proxy_id: int | str = 0
    is_ingress: bool | str = False
    source_security_id: int | str = 0
    destination_security_id: int | str = 0
    queue: QueueConfig = QueueConfig()
    ring_bytes: RingBytes = 4 << 20


SinkConfig = FileSinkConfig | PythonSinkConfig | CiliumSinkConfig


def sink_specs(
    configs: Sequence[SinkConfig], owner: str, instance: str, *, validating: bool
) -> tuple[SinkSpec, ...]:
    """
    Return what the plan needs of each sink.

    *owner* is the filter's name, for messages, and *instance* its instance, for the sinks' names.
    Imports the classes of Python sinks. Looks at files' folders and changes nothing. Raises
    ``ConfigError``.
    """
    specs = []
    seen: dict[tuple[str, str], int] = {}
    for index, config in enumerate(configs):
        path = f"sinks[{index}]"
        if isinstance(config, FileSinkConfig):
            specs.append(_file_sink(config, f"{path}.path"))
            key, same = "path", ("file", _one_spelling(config.path))
        elif isinstance(config, CiliumSinkConfig):
            specs.append(_cilium_sink(config, path))
            name = config.socket
            known = name if name.startswith("@") else _one_spelling(name)
            key, same = "socket", ("cilium", known)
        else:
            key, same = "sink", (config.sink, json.dumps(config.config, sort_keys=True))
            spec = _python_sink(config, f"{path}.sink", owner, validating=validating)
            specs.append(replace(spec, name=f"{instance} {config.sink}"))
        if seen.setdefault(same, index) != index:
            raise problem(f"{path}.{key}", f"the same sink as sinks[{seen[same]}]")
    return tuple(specs)


def _one_spelling(path: str) -> str:
    """Return the path without links and doubled slashes before its last part, as C knows it."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def _file_sink(config: FileSinkConfig, path: str) -> SinkSpec:
    _check_file(config.path, path)
    return SinkSpec(type="file", path=config.path, ring_bytes=config.ring_bytes, name=config.path)


def _python_sink(config: PythonSinkConfig, path: str, owner: str, *, validating: bool) -> SinkSpec:
    cls = load_class(config.sink, path)
    check_sink_class(cls, path)
    where = f"{owner}: {path}"  # the config's loader is gone when the sink is made
    return SinkSpec(
        type="python",
        path="",
        ring_bytes=config.ring_bytes,
        target=None if validating else functools.partial(make_sink, cls, config.config, where),
    )


def _check_file(name: str, path: str) -> None:
    """Refuse what could not be appended to; nothing is opened or made."""
    if not name or "\0" in name:
        raise problem(path, "not a file's path", got=name)
    if name in ("/dev/stdout", "/dev/stderr"):  # links to whatever Envoy was started with
        return
    folder = os.path.dirname(os.path.abspath(name))
    if not os.path.isdir(folder):
        raise problem(path, f"there is no folder {folder}", got=name)
    mode = _mode(name)
    target = os.path.dirname(os.path.realpath(name))
    if os.path.islink(name) and not os.path.isdir(target):
        raise problem(path, f"a link into the folder {target}, which is not there", got=name)
    if len(os.fsencode(os.path.basename(name))) > os.pathconf(folder, "PC_NAME_MAX"):
        raise problem(path, "too long for a file's name", got=name)
    if stat.S_ISDIR(mode):
        raise problem(path, "a folder, not a file", got=name)
    if stat.S_ISSOCK(mode):
        raise problem(path, "a socket, not a file", got=name)
    if not mode and not os.access(folder, os.W_OK | os.X_OK):
        raise problem(path, f"no permission to make a file in {folder}", got=name)
    if mode and not os.access(name, os.W_OK):
        raise problem(path, "no permission to write to this file", got=name)


def _mode(name: str) -> int:
    """Return the file's type and permissions; 0 when there is none."""
    try:
        return os.stat(name).st_mode
    except OSError:
        return 0


def _cilium_sink(config: CiliumSinkConfig, path: str) -> SinkSpec:
    _check_socket(config.socket, f"{path}.socket")
    policy_name = _text(config.policy_name, f"{path}.policy_name")
    cilium_rule_ref = _text(config.cilium_rule_ref, f"{path}.cilium_rule_ref")
    smallest = SMALLEST_PACKET + _longest(policy_name) + _longest(cilium_rule_ref)
    _check_sizes(config, smallest, path)

    def number(key: str, largest: int) -> tuple[Part, ...]:
        return _number(getattr(config, key), largest, f"{path}.{key}")

    return SinkSpec(
        type="cilium",
        path=config.socket,
        ring_bytes=config.ring_bytes,
        name=config.socket,
        cilium=CiliumSpec(
            max_packet=config.max_packet,
            queue_entries=config.queue.entries,
            queue_bytes=config.queue.bytes,
            drop_oldest=config.queue.drop == "oldest",
            policy_name=policy_name,
            cilium_rule_ref=cilium_rule_ref,
            proxy_id=number("proxy_id", _PORT_MAX),
            is_ingress=_truth(config.is_ingress, f"{path}.is_ingress"),
            source_security_id=number("source_security_id", _IDENTITY_MAX),
            destination_security_id=number("destination_security_id", _IDENTITY_MAX),
        ),
    )


def _check_socket(name: str, path: str) -> None:
    expected = "a path, or @name for an abstract one"
    if name in ("", "@") or "\0" in name or not _is_utf8(name):
        raise problem(path, "not a socket's path", got=name, expected=expected)
    if (size := len(name.encode())) > LONGEST_SOCKET:
        expected = f"at most {LONGEST_SOCKET} bytes"
        raise problem(path, f"too long for a socket ({size} bytes)", got=name, expected=expected)
    mode = 0 if name.startswith("@") else _mode(name)
    if mode and not stat.S_ISSOCK(mode):  # nothing there is fine: the agent may come later
        what = "a folder, not a socket" if stat.S_ISDIR(mode) else "a file, not a socket"
        raise problem(path, what, got=name)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_sizes(config: CiliumSinkConfig, smallest: int, path: str) -> None:
    """Refuse limits that no entry could pass."""
    largest = config.ring_bytes - _FRAME
    if config.max_packet < smallest:
        what, expected = "too small to hold any entry", f"at least {smallest}"
        raise problem(f"{path}.max_packet", what, got=config.max_packet, expected=expected)
    if config.max_packet > largest:
        what, expected = "larger than ring_bytes allows", f"at most {largest}"
        raise problem(f"{path}.max_packet", what, got=config.max_packet, expected=expected)
    if config.queue.entries < 1:
        what = "no entry could ever wait"
        where = f"{path}.queue.entries"
        raise problem(where, what, got=config.queue.entries, expected="at least 1")
    if config.queue.bytes < config.max_packet:
        what, expected = "too small for one entry", f"at least max_packet ({config.max_packet})"
        raise problem(f"{path}.queue.bytes", what, got=config.queue.bytes, expected=expected)


def _parts(text: str, path: str) -> tuple[Part, ...]:
    try:
        return formats.parse(text) if text else ()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _constant(parts: tuple[Part, ...]) -> bytes | None:
    """Return the text of a format without commands, or None."""
    if any(part.op != "literal" for part in parts):
        return None
    return b"".join(part.text for part in parts)


def _longest(parts: tuple[Part, ...]) -> int:
    constant = _constant(parts)
    return LONGEST_TEXT if constant is None else len(constant)


def _text(text: str, path: str) -> tuple[Part, ...]:
    parts = _parts(text, path)
    if _longest(parts) > LONGEST_TEXT:
        raise problem(path, "too long", got=text, expected=f"at most {LONGEST_TEXT} bytes")
    return parts


def _number(value: int | str, largest: int, path: str) -> tuple[Part, ...]:
    expected = f"0 to {largest}, or a format with commands"
    if isinstance(value, int):
        if not 0 <= value <= largest:
            raise problem(path, "out of range", got=value, expected=expected)
        return (Part(op="literal", text=b"%d" % value),)
    parts = _parts(value, path)
    constant = _constant(parts)
    if constant is None:
        return parts
    if not constant.isdigit():
        raise problem(path, "not a number", got=value, expected=expected)
    if len(constant) > _MAX_DIGITS or int(constant) > largest:
        raise problem(path, "out of range", got=value, expected=expected)
    return parts


def _truth(value: bool | str, path: str) -> tuple[Part, ...]:
    if isinstance(value, bool):
        return (Part(op="literal", text=b"true" if value else b"false"),)
    parts = _parts(value, path)
    if _constant(parts) not in (None, b"true", b"false"):
        expected = "true, false, or a format with commands"
        raise problem(path, "neither true nor false", got=value, expected=expected)
    return parts
