# SPDX-License-Identifier: Apache-2.0
"""What reads the usage of an LLM from its streamed response; ``variants.py`` names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import job, ours
from bench.bootstrap import external_processor, pipe_cluster
from bench.setup import Server, Setup
from bench.tools import PEERS

if TYPE_CHECKING:
    from pathlib import Path


def chunk_empty(_: Path) -> Setup:
    """A Python filter that does nothing with each chunk of a response."""
    return _hook("Empty")


def chunk_read(_: Path) -> Setup:
    """A Python filter that reads each chunk of a response."""
    return _hook("Reads")


def usage(_: Path) -> Setup:
    """The filter ``llm_usage``, without sinks."""
    return Setup(filters=[ours.our_filter("llm_usage", sinks=[])], witness=job.LLM_WITNESS)


def ext_proc(folder: Path) -> Setup:
    """Envoy's external processing of each chunk, and a server in Python that reads as ours does."""
    socket, out = folder / "ext_proc.sock", folder / "out.log"
    arguments = ["bench.peers.llm_ext_proc_server", str(socket)]
    return Setup(
        filters=[external_processor("llm_usage", response_body_mode="STREAMED")],
        clusters=[pipe_cluster("ext_proc", socket)],
        server=Server(arguments=arguments, socket=socket, when_checked=[str(out)]),
        output=out,
        read=job.of_usage,
        expected=job.LLM_EXPECTED,
        witness=job.LLM_WITNESS,
    )


def _hook(name: str) -> Setup:
    return Setup(filters=[ours.our_filter(f"llm_hooks:{name}", python_path=[str(PEERS)])])
