# SPDX-License-Identifier: Apache-2.0
"""Whether a variant does the work, before it is counted: what it wrote against what was sent."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench import bootstrap, h2load, running
from bench.bootstrap import file_log
from bench.trouble import Trouble, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.running import Bench
    from bench.scenarios import Scenario
    from bench.setup import Setup

LAST = 20  # lines of a log that are shown
SOON = ("--file-flush-interval-msec", "100")  # Envoy's own file logs are not waited for


def check(bench: Bench, scenario: Scenario, name: str) -> dict[str, Any]:
    """
    Send requests through a variant, and compare what it wrote; ``Trouble`` if it is wrong.

    Give Envoy's config as it is measured; ``FOLDER`` in it is where the variant's files lie.
    """
    sent = scenario.requests
    with bench.folder(f"check-{name}") as folder:
        witness = folder / "witness.log"
        plain = bench.setup(name, folder)
        setup = _writing(_with_witness(plain, witness))
        logs = [folder / "envoy.log"]
        if setup.server is not None:
            logs.append(running.log_of(setup.server, folder))
        with bench.envoy(scenario, setup, folder, options=SOON) as envoy, _naming(name, logs):
            h2load.send(scenario, envoy.port, sent)
            if setup.output is not None and not setup.buffered:
                _wait_for_lines(setup.output, sent)
        with _naming(name, logs):
            if setup.output is not None:
                compare_output(setup, setup.output, sent)
            if setup.witness is not None:
                compare_witness(witness, setup.witness[1], sent)
        config = bootstrap.measured(scenario, plain, bootstrap.behind(scenario, folder, 0))
        found: dict[str, Any] = json.loads(json.dumps(config).replace(str(folder), "FOLDER"))
        return found


def _with_witness(setup: Setup, witness: Path) -> Setup:
    if setup.witness is None:
        return setup
    line = {"text_format_source": {"inline_string": setup.witness[0] + "\n"}}
    return replace(setup, logs=[*setup.logs, file_log(witness, line)])


def _writing(setup: Setup) -> Setup:
    """Have the server write down what it gets."""
    if setup.server is None:
        return setup
    arguments = [*setup.server.arguments, *setup.server.when_checked]
    return replace(setup, server=replace(setup.server, arguments=arguments))


def _wait_for_lines(path: Path, sent: int) -> None:
    """Give it time to write them all; a lack is told by the comparison."""
    with suppress(Trouble):
        wait_for(lambda: len(_lines(path)) >= sent, "the lines", 10)


def _lines(path: Path) -> list[str]:
    """Give the whole lines of a file."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def compare_output(setup: Setup, path: Path, sent: int) -> None:
    """Raise ``Trouble`` unless the file at *path* has the right lines for all that was sent."""
    lines = _lines(path) if path.exists() else []
    read = setup.read
    expected = {key: text for key, text in setup.expected.items() if key not in setup.lacks}
    if read is None:
        raise Trouble("its output has no reader")
    for line in lines:
        try:
            found = read(line)
        except (ValueError, KeyError) as error:
            raise Trouble(f"wrote what cannot be read ({error}): {line}") from error
        if found != expected:
            raise Trouble(f"wrote {found}, not {expected}")
    if setup.buffered:
        if not 0 < len(lines) <= sent:
            raise Trouble(f"wrote {len(lines)} lines for {sent} requests")
    elif len(lines) != sent:
        raise Trouble(f"wrote {len(lines)} lines for {sent} requests")


def compare_witness(path: Path, expected: str, sent: int) -> None:
    """Raise ``Trouble`` unless Envoy's log at *path* has the *expected* line for each request."""
    lines = _lines(path)
    wrong = [line for line in lines if line != expected]
    if wrong or len(lines) != sent:
        raise Trouble(
            f"Envoy's own log has {len(lines)} lines for {sent} requests, of which {len(wrong)} "
            f"are not {expected!r} {wrong[:1]}"
        )


@contextmanager
def _naming(name: str, logs: list[Path]) -> Iterator[None]:
    try:
        yield
    except Trouble as trouble:
        last = "".join(f"\n{log.name} ends with:\n{end}" for log in logs if (end := _end(log)))
        raise Trouble(f"{name} does not do the work: {trouble}{last}") from trouble


def _end(log: Path) -> str:
    """Give the last lines of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LAST:])
