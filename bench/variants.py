# SPDX-License-Identifier: Apache-2.0
"""
The variants: Envoy's own extensions, modules in C, and ours in each lane, all doing the job.

A variant is a function of the folder in which its files lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import compiling, contended, job, llm, ours
from bench.bootstrap import STRING, external_processor, file_log, module, pipe_cluster, typed
from bench.setup import Server, Setup
from bench.tools import PEERS
from bench.trouble import Trouble, unknown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METADATA_WITNESS = ("%DYNAMIC_METADATA(bench:line)%", job.LINE)
JSON_FORMAT = {
    **{key: f"%REQ({name.upper()})%" for key, name in job.REQUEST_FIELDS.items()},
    **{key: f"%RESP({name.upper()})%" for key, name in job.RESPONSE_FIELDS.items()},
    "response_code": "%RESPONSE_CODE%",
}


def bare(_: Path) -> Setup:
    """Nothing but the proxy."""
    return Setup()


def native_json(folder: Path) -> Setup:
    """Envoy's file access log."""
    log = file_log(folder / "out.log", {"json_format": JSON_FORMAT})
    return Setup(logs=[log], output=folder / "out.log", read=job.of_json)


def native_json_state(folder: Path) -> Setup:
    """Envoy's file access log, and its ``set_filter_state``."""
    log = file_log(folder / "out.log", {"json_format": JSON_FORMAT})
    value = {
        "object_key": "bench",
        "factory_key": "envoy.string",
        "format_string": {"text_format_source": {"inline_string": job.STATE_FORMAT}},
    }
    state = typed("state", "filters.http.set_filter_state.v3.Config", on_request_headers=[value])
    return Setup(
        filters=[state],
        logs=[log],
        output=folder / "out.log",
        read=job.of_json,
        witness=job.STATE_WITNESS,
    )


def native_grpc(folder: Path) -> Setup:
    """Envoy's gRPC access log over a UNIX socket, and a reader."""
    socket, out = folder / "als.sock", folder / "out.log"
    common = {
        "log_name": "bench",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "als"}},
    }
    log = typed(
        "als",
        "access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        common_config=common,
        additional_request_headers_to_log=["accept"],
        additional_response_headers_to_log=["content-type", "content-length", "x-served-by"],
    )
    arguments = ["bench.peers.als_server", str(socket)]
    return Setup(
        logs=[log],
        clusters=[pipe_cluster("als", socket)],
        server=Server(arguments=arguments, socket=socket, when_checked=[str(out)]),
        output=out,
        read=job.of_json,
    )


def empty_c(folder: Path) -> Setup:
    """A dynamic module in C that does nothing."""
    return Setup(filters=[_c("empty", "", folder)], modules=compiling.module("empty", folder))


def fixed_c(folder: Path) -> Setup:
    """A hand-written dynamic module in C, a JSON file."""
    return Setup(
        filters=[_c("fixed", "json", folder)],
        modules=compiling.module("fixed", folder),
        output=folder / "out.log",
        read=job.of_json,
    )


def fixed_c_state(folder: Path) -> Setup:
    """A hand-written dynamic module in C, a JSON file and a filter state."""
    return Setup(
        filters=[_c("fixed", "state", folder)],
        modules=compiling.module("fixed", folder),
        output=folder / "out.log",
        read=job.of_json,
        witness=job.STATE_WITNESS,
    )


def lua(folder: Path) -> Setup:
    """Envoy's Lua filter, doing what our hook does."""
    return Setup(
        filters=[_lua("job", folder)],
        output=folder / "out.log",
        read=job.of_tabs,
        buffered=True,
        witness=job.LINE_STATE,
    )


def lua_metadata(folder: Path) -> Setup:
    """Envoy's Lua filter, ten values into dynamic metadata."""
    keys = [f"%DYNAMIC_METADATA(bench:request:{key})%" for key in job.REQUEST_FIELDS]
    keys += [f"%DYNAMIC_METADATA(bench:response:{key})%" for key in job.RESPONSE_FIELDS]
    return Setup(filters=[_lua("metadata", folder)], witness=("\t".join(keys), job.LINE))


def ext_proc(folder: Path) -> Setup:
    """Envoy's external processing, and a server in Python (``grpc.aio``)."""
    socket, out = folder / "ext_proc.sock", folder / "out.log"
    arguments = ["bench.peers.ext_proc_server", str(socket), str(out)]
    return Setup(
        filters=[external_processor("bench")],
        clusters=[pipe_cluster("ext_proc", socket)],
        server=Server(arguments=arguments, socket=socket),
        output=out,
        read=job.of_tabs,
        buffered=True,
        witness=METADATA_WITNESS,
    )


def _c(name: str, filter_name: str, folder: Path) -> dict[str, Any]:
    path = str(folder / "out.log")
    return module(f"bench_{name}", filter_name, {"@type": STRING, "value": path})


def _lua(name: str, folder: Path) -> dict[str, Any]:
    code = (PEERS / f"{name}.lua").read_text(encoding="utf-8")
    code = code.replace("@PATH@", str(folder / "out.log"))
    source = {"inline_string": code}
    return typed("lua", "filters.http.lua.v3.Lua", default_source_code=source)


VARIANTS: dict[str, Callable[[Path], Setup]] = {
    "bare": bare,
    "native-json": native_json,
    "native-json-state": native_json_state,
    "native-grpc": native_grpc,
    "empty-c": empty_c,
    "fixed-c": fixed_c,
    "fixed-c-state": fixed_c_state,
    "lua": lua,
    "lua-metadata": lua_metadata,
    "ext-proc": ext_proc,
    "ours-unwanted": ours.ours_unwanted,
    "ours-json": ours.ours_json,
    "ours-logger-json": ours.ours_logger_json,
    "ours-json-state": ours.ours_json_state,
    "ours-json-state-metadata": ours.ours_json_state_metadata,
    "ours-python": ours.ours_python,
    "ours-cilium": ours.ours_cilium,
    "ours-hook-empty": ours.ours_hook_empty,
    "ours-hooks-empty": ours.ours_hooks_empty,
    "ours-hooks-statistics-line": ours.ours_hooks_statistics_line,
    "ours-hooks-statistics": ours.ours_hooks_statistics,
    "ours-hook": ours.ours_hook,
    "ours-hooks-three": ours.ours_hooks_three,
    "ext-proc-llm": llm.ext_proc,
    "ours-chunk-empty": llm.chunk_empty,
    "ours-chunk-read": llm.chunk_read,
    "ours-llm-usage": llm.usage,
    "ours-json-quiet": contended.json_quiet,
    "ours-json-busy": contended.json_busy,
    "ours-json-busy-free": contended.json_busy_free,
    "ours-hook-quiet": contended.hook_quiet,
    "ours-hook-busy": contended.hook_busy,
    "ours-hook-busy-free": contended.hook_busy_free,
    "ours-hook-5000us": contended.hook_5000us,
    "ours-hook-1000us": contended.hook_1000us,
    "ours-hook-100us": contended.hook_100us,
    "ours-hook-10us": contended.hook_10us,
    "ours-hook-busy-5000us": contended.hook_busy_5000us,
    "ours-hook-busy-1000us": contended.hook_busy_1000us,
    "ours-hook-busy-100us": contended.hook_busy_100us,
    "ours-hook-busy-10us": contended.hook_busy_10us,
}


def variant(name: str) -> Callable[[Path], Setup]:
    """Give a variant; ``Trouble`` naming those that there are."""
    if name not in VARIANTS:
        raise Trouble(unknown("variant", name, VARIANTS))
    return VARIANTS[name]
