# SPDX-License-Identifier: Apache-2.0
"""
What ``llm_usage`` adds to a streamed response: `python -m bench.llm`.

Instructions of the whole Envoy process under callgrind, for one response of 200 chunks from an
upstream over HTTP/2. First it is seen that the filter finds the usage and that filters get as many
chunks as are meant.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import instructions, ours, tools
from bench.bootstrap import file_log, pipe_cluster, whole
from bench.envoy import started
from bench.running import bench, serving
from bench.setup import Server
from bench.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.envoy import Envoy
    from bench.running import Bench

PATH = "/v1/chat/completions"
WARM_UP, COUNTED, TIMES = 20, 50, 3


def _hook(name: str) -> dict[str, Any]:
    """Give a filter of ``peers/llm_hooks.py``."""
    return ours.our_filter(f"llm_hooks:{name}", python_path=[str(tools.PEERS)])


LLM_USAGE = ours.our_filter("llm_usage", sinks=[])
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "bare": [],
    "ours-chunk-empty": [_hook("Empty")],
    "ours-chunk-read": [_hook("Reads")],
    "ours-llm-usage": [LLM_USAGE],
}


def config(filters: list[dict[str, Any]], upstream: Path, log: Path) -> dict[str, Any]:
    """Give Envoy's config: these filters before the upstream."""
    text = "%DYNAMIC_METADATA(llm_usage:model)% %DYNAMIC_METADATA(llm_usage:total_tokens)%\n"
    file = file_log(log, {"text_format_source": {"inline_string": text}})
    route = {"match": {"prefix": "/"}, "route": {"cluster": "llm", "timeout": "0s"}}
    return whole(route, filters, [file], [pipe_cluster("llm", upstream)])


def send(port: int, requests: int) -> None:
    """Send requests on one connection, one at a time."""
    url = f"http://127.0.0.1:{port}{PATH}"
    out = tools.run(["h2load", "--h1", "-t", "1", "-c", "1", "-n", str(requests), url])
    if f"{requests} succeeded, 0 failed" not in out:
        raise Trouble(f"not all requests were answered:\n{out[-1000:]}")


@contextmanager
def running(
    here: Bench, folder: Path, filters: list[dict[str, Any]], chunks: int, *under: str
) -> Iterator[Envoy]:
    """Run the upstream, and Envoy with these filters before it."""
    socket = folder / "llm.sock"
    server = Server(arguments=["bench.peers.llm_server", str(socket), str(chunks)], socket=socket)
    whole = config(filters, socket, folder / "access.log")
    with (
        serving(server, folder),
        started(binary=here.binary, config=whole, folder=folder, under=under) as envoy,
    ):
        yield envoy


def check(here: Bench, chunks: int) -> None:
    """See that the usage is found, and that each event is a chunk."""
    filters = [LLM_USAGE, _hook("Counts")]
    with here.folder("check") as folder:
        with running(here, folder, filters, chunks) as envoy:
            send(envoy.port, 10)
            stats = json.loads(envoy.get("stats?format=json&filter=Counts.chunks"))["stats"]
        lines = (folder / "access.log").read_text(encoding="utf-8").splitlines()
    wanted = [f"bench-1 {chunks - 3 + 11}"] * 10
    if lines != wanted:
        raise Trouble(f"the usage was not found: {lines[:3]}, not {wanted[0]}")
    counted = [one["value"] for one in stats if "value" in one]
    if counted != [10 * chunks]:
        raise Trouble(f"filters got {counted} chunks of 10 responses, not {10 * chunks}")


def count(here: Bench, name: str, chunks: int) -> float:
    """Give the instructions of one response through a variant."""
    with here.folder(f"llm-{name}") as folder:
        out = folder / "callgrind.out"
        under = ("valgrind", "--tool=callgrind", "--instr-atstart=no")
        file = f"--callgrind-out-file={out}"
        with running(here, folder, VARIANTS[name], chunks, *under, file) as envoy:
            send(envoy.port, WARM_UP)
            tools.run(["callgrind_control", "-i", "on", str(envoy.pid)])
            for _ in range(TIMES):
                send(envoy.port, COUNTED)
                tools.run(["callgrind_control", "-d", str(envoy.pid)])
        dumps = [Path(f"{out}.{number + 1}") for number in range(TIMES)]
        return min(map(instructions.total, dumps)) / COUNTED


def lines(here: Bench, names: list[str], chunks: int) -> Iterator[str]:
    """Yield the table's lines."""
    check(here, chunks)
    yield f"Envoy {here.release}, a response of {chunks} chunks"
    yield f"{'variant':18} {'instructions':>13} {'added':>12} {'a chunk':>9}"
    bare = count(here, "bare", chunks)
    yield f"{'bare':18} {bare:13,.0f}"
    for name in names:
        total = count(here, name, chunks)
        added = total - bare
        yield f"{name:18} {total:13,.0f} {added:12,.0f} {added / chunks:9,.0f}"


def main() -> int:
    """Do what the command line asks; 1 with one line on stderr when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m bench.llm", description=__doc__)
    parser.add_argument("--envoy", help="a release or the path of a binary")
    parser.add_argument("--chunks", type=int, default=200, help="of a response (default: 200)")
    others = [name for name in VARIANTS if name != "bare"]
    parser.add_argument("--variant", action="append", choices=others, help="only this one")
    given = parser.parse_args()
    try:
        tools.need(*instructions.TOOLS)
        with bench(given.envoy) as here:
            for line in lines(here, given.variant or others, given.chunks):
                print(line, flush=True)
    except Trouble as trouble:
        print(f"bench.llm: {trouble}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
