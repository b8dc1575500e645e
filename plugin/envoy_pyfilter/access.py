# SPDX-License-Identifier: Apache-2.0
"""The access filter: its config, and the plan that C carries out for each stream."""

# os.path says False where pathlib raises (no permission, a name too long).
# ruff: noqa: PTH100, PTH112, PTH116, PTH120

from __future__ import annotations

import functools
import json
import os
import stat
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec

from . import attributes, fields, formats
from ._imports import load_class
from ._patterns import compiled
from ._problems import joined, one_of, problem, suggestion
from .errors import ConfigError
from .fields import ENTRY_FIELDS
from .filter import Config, Filter
from .plan_spec import HeaderRules, PlanSpec, SinkSpec, StateSpec
from .sinks import check_sink_class, make_sink

SECRET: Final = ("authorization", "cookie", "proxy-authorization", "set-cookie")
"""Headers that are redacted on both sides unless ``reveal`` names them."""

RingBytes = Annotated[int, msgspec.Meta(ge=65536, le=1 << 30)]


class HeaderConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which headers of one side are logged, trailers included: names or globs."""

    include: list[str] = msgspec.field(default_factory=lambda: ["*"])
    exclude: list[str] = []
    redact: list[str] = []
    reveal: list[str] = []


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged, and when."""

    request: bool = True
    response_at: Literal["stream_complete", "end_of_stream"] = "stream_complete"
    fields: list[str] | None = None
    request_headers: HeaderConfig = HeaderConfig()
    response_headers: HeaderConfig = HeaderConfig()
    trailers: bool = True


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
    ring_bytes: RingBytes = 1 << 20


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
    ring_bytes: RingBytes = 1 << 20


class AccessConfig(Config, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The access filter's config; docs/config.md explains each key.

    A filter that derives from ``AccessFilter`` derives its own config from this one.
    """

    log: LogConfig = LogConfig()
    sinks: list[FileSinkConfig | PythonSinkConfig] = msgspec.field(
        default_factory=lambda: [FileSinkConfig(path="/dev/stdout")]
    )
    state: dict[str, str] = msgspec.field(default_factory=dict)


class AccessFilter(Filter):
    """
    Records each request when it arrives and each response when its stream is complete.

    All of that is done in C, by the plan below: the class overrides no hook, so Envoy's workers
    never enter Python for it. Derive from it to add to the record (``Stream.record``).
    """

    Config: ClassVar[type[Any]] = AccessConfig


def compile_plan(
    config: AccessConfig, instance: str, *, filter_name: str = "access", validating: bool = False
) -> PlanSpec:
    """
    Return what C has to do for each stream under *config*; *filter_name* is for messages.

    Imports the classes of Python sinks, but makes none: that is for ``SinkSpec.target``, which is
    None when *validating*. Looks at sinks' folders and changes nothing. Raises ``ConfigError``.
    """
    log = config.log
    return PlanSpec(
        instance=instance,
        log_request=log.request,
        at_end_of_stream=log.response_at == "end_of_stream",
        fields=_fields(log.fields, "log.fields"),
        request_headers=_rules(log.request_headers, "log.request_headers"),
        response_headers=_rules(log.response_headers, "log.response_headers"),
        trailers=log.trailers,
        state=tuple(_state(key, text) for key, text in sorted(config.state.items())),
        sinks=_sinks(config.sinks, filter_name, validating=validating),
    )


def _fields(names: list[str] | None, path: str) -> tuple[str, ...]:
    if names is None:
        return ENTRY_FIELDS
    if not names:
        raise problem(path, "empty; leave it out to log all fields")
    for index, name in enumerate(names):
        if name not in ENTRY_FIELDS:
            raise problem(f"{path}[{index}]", _unknown_field(name))
        if name in names[:index]:
            raise problem(f"{path}[{index}]", f"{name} is there twice")
    return tuple(name for name in ENTRY_FIELDS if name in names)


def _unknown_field(name: str) -> str:
    if name in fields.ATTRIBUTES:
        return f"{name} is Envoy's name of an attribute; the field is {fields.ATTRIBUTES[name]}"
    if name in attributes.ATTRIBUTES:
        return f"{name} is an attribute of Envoy that no field holds"
    return f"unknown field {name}{suggestion(name, ENTRY_FIELDS)}"


def _rules(config: HeaderConfig, path: str) -> HeaderRules:
    return HeaderRules(
        include=compiled(f"{path}.include", config.include),
        exclude=compiled(f"{path}.exclude", config.exclude),
        redact=_redacted(config, path),
    )


def _redacted(config: HeaderConfig, path: str) -> tuple[str, ...]:
    revealed = compiled(f"{path}.reveal", config.reveal)
    for index, name in enumerate(revealed):
        if name not in SECRET:
            raise problem(
                f"{path}.reveal[{index}]", f"{name} is shown anyway", expected=one_of(SECRET)
            )
    more = compiled(f"{path}.redact", config.redact)
    return tuple(dict.fromkeys([*(name for name in SECRET if name not in revealed), *more]))


def _state(key: str, text: str) -> StateSpec:
    path = joined("state", key)
    if not key or not key.isprintable() or " " in key:
        raise problem(path, "a filter-state key is printable text without spaces")
    try:
        return StateSpec(key=key.encode(), parts=formats.parse(text))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _sinks(
    configs: list[FileSinkConfig | PythonSinkConfig], owner: str, *, validating: bool
) -> tuple[SinkSpec, ...]:
    specs = []
    seen: dict[tuple[str, str], int] = {}
    for index, config in enumerate(configs):
        path = f"sinks[{index}]"
        if isinstance(config, FileSinkConfig):
            key, same = "path", ("file", os.path.abspath(config.path))
            specs.append(_file_sink(config, f"{path}.path"))
        else:
            key, same = "sink", (config.sink, json.dumps(config.config, sort_keys=True))
            specs.append(_python_sink(config, f"{path}.sink", owner, validating=validating))
        if seen.setdefault(same, index) != index:
            raise problem(f"{path}.{key}", f"the same sink as sinks[{seen[same]}]")
    return tuple(specs)


def _file_sink(config: FileSinkConfig, path: str) -> SinkSpec:
    _check_file(config.path, path)
    return SinkSpec(
        type="file",
        path=config.path,
        ring_bytes=config.ring_bytes,
        format=config.format,
        name=config.path,
    )


def _python_sink(config: PythonSinkConfig, path: str, owner: str, *, validating: bool) -> SinkSpec:
    cls = load_class(config.sink, path)
    check_sink_class(cls, path)
    where = f"{owner}: {path}"  # the config's loader is gone when the sink is made
    return SinkSpec(
        type="python",
        path="",
        ring_bytes=config.ring_bytes,
        target=None if validating else functools.partial(make_sink, cls, config.config, where),
        name=f"{owner} {config.sink}",
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
