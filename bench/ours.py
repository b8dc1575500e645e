# SPDX-License-Identifier: Apache-2.0
"""Our variants, in each lane; ``variants.py`` names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import job
from bench.bootstrap import STRUCT, module, module_log
from bench.setup import Server, Setup
from bench.tools import PEERS

if TYPE_CHECKING:
    from pathlib import Path

LOG = {
    "request": False,
    "fields": ["method", "path", "authority", "response_code", "request_headers",
               "response_headers"],
    "request_headers": {"include": ["user-agent", "accept", "x-request-id"]},
    "response_headers": {"include": ["content-type", "content-length", "x-served-by"]},
}  # fmt: skip


def ours_json(folder: Path) -> Setup:
    """The access filter with a JSON file."""
    return Setup(
        filters=[access(file_sink(folder))],
        output=folder / "out.log",
        read=job.of_entry,
    )


def ours_logger_json(folder: Path) -> Setup:
    """The access logger with a JSON file."""
    config = {"@type": STRUCT, "value": {"log": LOG, "sinks": file_sink(folder)}}
    return Setup(
        logs=[module_log("envoy_pyfilter", "access", config)],
        output=folder / "out.log",
        read=job.of_entry,
    )


def ours_json_state(folder: Path) -> Setup:
    """The access filter with a JSON file and a filter state."""
    return _with_state(folder, metadata=False)


def ours_json_state_metadata(folder: Path) -> Setup:
    """The access filter with a JSON file, a filter state and the same as metadata."""
    return _with_state(folder, metadata=True)


def _with_state(folder: Path, *, metadata: bool) -> Setup:
    state = {"bench": job.STATE_FORMAT}
    return Setup(
        filters=[access(file_sink(folder), state=state, state_metadata=metadata)],
        output=folder / "out.log",
        read=job.of_entry,
        witness=job.STATE_WITNESS,
    )


def ours_python(folder: Path) -> Setup:
    """The access filter with a Python sink that does the job on its own thread."""
    return Setup(
        filters=[access([python_sink("Lines", path=str(folder / "out.log"))])],
        output=folder / "out.log",
        read=job.of_tabs,
        buffered=True,
    )


def ours_cilium(folder: Path) -> Setup:
    """The access filter with packets of protobuf over a UNIX socket, and a reader."""
    socket, out = folder / "agent.sock", folder / "out.log"
    log = {
        "request": False,
        "request_headers": {"include": ["x-request-id"]},
        "response_headers": LOG["response_headers"],
    }
    arguments = ["bench.peers.agent", str(socket)]
    return Setup(
        filters=[our_filter("access", log=log, sinks=[{"type": "cilium", "socket": str(socket)}])],
        server=Server(arguments=arguments, socket=socket, when_checked=[str(out)]),
        output=out,
        read=job.of_json,
        lacks=("user_agent", "accept"),
    )


def ours_unwanted(_: Path) -> Setup:
    """A Python filter that wants no hook."""
    return Setup(filters=[hook("Unwanted")])


def ours_hook_empty(_: Path) -> Setup:
    """A Python filter with one hook that does nothing."""
    return Setup(filters=[hook("Empty")])


def ours_hooks_empty(_: Path) -> Setup:
    """A Python filter with two hooks that do nothing, on either side's headers."""
    return Setup(filters=[hook("Headers")])


def ours_hooks_statistics(_: Path) -> Setup:
    """The same with statistics: the line as filter state, the object as metadata, the counters."""
    kept = {"key": "bench", "metadata_namespace": "bench"}
    return Setup(filters=[hook("Headers", statistics=kept)], witness=job.STATISTICS_WITNESS)


def ours_hooks_statistics_line(_: Path) -> Setup:
    """The same without the object."""
    return Setup(
        filters=[hook("Headers", statistics={"key": "bench"})], witness=job.STATISTICS_LINE_WITNESS
    )


def ours_hook(folder: Path) -> Setup:
    """A Python filter that does the job in one hook."""
    return writing(folder, "One")


def ours_hooks_three(folder: Path) -> Setup:
    """A Python filter that does the job in three hooks."""
    return writing(folder, "Three")


def our_filter(name: str, **config: Any) -> dict[str, Any]:
    """Give an HTTP filter of our module: *name* is its ``filter_name``."""
    return module("envoy_pyfilter", name, {"@type": STRUCT, "value": config})


def access(sinks: list[dict[str, Any]], **config: Any) -> dict[str, Any]:
    """Give the access filter that records the ten values for *sinks*."""
    return our_filter("access", log=LOG, sinks=sinks, python_path=[str(PEERS)], **config)


def python_sink(name: str, **config: Any) -> dict[str, Any]:
    """Give a sink of ``peers/sinks.py``."""
    return {"type": "python", "sink": f"sinks:{name}", "config": config}


def file_sink(folder: Path) -> list[dict[str, Any]]:
    """Give the sinks of a variant that writes a file."""
    return [{"type": "file", "path": str(folder / "out.log")}]


def hook(name: str, **config: Any) -> dict[str, Any]:
    """Give a filter of ``peers/hooks.py``."""
    return our_filter(f"hooks:{name}", python_path=[str(PEERS)], **config)


def writing(folder: Path, name: str, **config: Any) -> Setup:
    """Give the setup of a filter of ``peers/hooks.py`` that does the job."""
    return Setup(
        filters=[hook(name, path=str(folder / "out.log"), **config)],
        output=folder / "out.log",
        read=job.of_tabs,
        buffered=True,
        witness=job.LINE_STATE,
    )
