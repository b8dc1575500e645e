# SPDX-License-Identifier: Apache-2.0
"""One run: where its files lie, and how a variant is brought up with all that it needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from envoy_pyfilter import _envoy
from envoy_pyfilter._console import Refusal

from bench import bootstrap, job
from bench.ending import with_us
from bench.envoy import Envoy, started, stop
from bench.setup import Server
from bench.tools import ROOT
from bench.trouble import Trouble, wait_for
from bench.variants import variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.scenarios import Scenario
    from bench.setup import Setup


class Bench:
    """The Envoy that is measured, and a folder that goes when the run ends."""

    def __init__(self, release: str | None, work: Path) -> None:
        """*release*: a release or a path, as ``envoy-pyfilter run --envoy`` takes it."""
        try:
            self.binary = _envoy.find(release)
            self.release = _envoy.version(self.binary)
        except Refusal as refusal:
            raise Trouble(str(refusal)) from refusal
        self._work = work

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Make a folder for one start of a variant; it goes at the end of the block."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._work))
        yield folder
        shutil.rmtree(folder)  # after a failure the logs stay until the run ends

    def setup(self, name: str, folder: Path) -> Setup:
        """Make a variant's files and give its setup."""
        return variant(name)(folder)

    @contextmanager
    def envoy(
        self,
        scenario: Scenario,
        setup: Setup,
        folder: Path,
        *,
        under: tuple[str, ...] = (),
        options: tuple[str, ...] = (),
    ) -> Iterator[Envoy]:
        """
        Run what *setup* needs: a server beside Envoy, an upstream behind it, and Envoy.

        *under*: what Envoy is started with; *options*: more of its own.
        """
        with ExitStack() as stack:
            port = None
            if scenario.upstream:
                behind = bootstrap.upstream(scenario)
                inner = started(binary=self.binary, config=behind, folder=folder / "upstream")
                port = stack.enter_context(inner).port
            if scenario.llm:
                stack.enter_context(serving(_llm(folder), folder))
            server = stack.enter_context(serving(setup.server, folder)) if setup.server else None
            cluster = bootstrap.behind(scenario, folder, port)
            config = bootstrap.measured(scenario, setup, cluster)
            envoy = started(
                binary=self.binary,
                config=config,
                folder=folder,
                workers=scenario.workers,
                modules=setup.modules,
                under=under,
                options=options,
            )
            running = stack.enter_context(envoy)
            running.server_pid = server
            if setup.server is None and not setup.buffered:
                running.whole_lines = setup.output
            yield running


@contextmanager
def bench(release: str | None) -> Iterator[Bench]:
    """Make a run's folder; it goes at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        yield Bench(release, Path(work))


def _llm(folder: Path) -> Server:
    socket = bootstrap.llm_socket(folder)
    return Server(
        arguments=["bench.peers.llm_server", str(socket), str(job.LLM_CHUNKS)], socket=socket
    )


def log_of(server: Server, folder: Path) -> Path:
    """Tell where a server's own words go."""
    return folder / f"{server.socket.stem}.log"


@contextmanager
def serving(server: Server, folder: Path) -> Iterator[int]:
    """Run a server beside Envoy until the block ends, and give its process id."""
    command = [sys.executable, "-m", *server.arguments]
    log = log_of(server, folder)
    with log.open("w") as out:
        process = subprocess.Popen(with_us(command), stdout=out, stderr=out, cwd=ROOT)

    def listens() -> bool:
        if process.poll() is not None:
            words = log.read_text(errors="replace").strip()[-2000:]
            raise Trouble(f"{' '.join(server.arguments)} ended:\n{words}")
        return server.socket.exists()

    try:
        wait_for(listens, f"{server.arguments[0]}; its log is {log}")
        yield process.pid
    finally:
        stop(process)
