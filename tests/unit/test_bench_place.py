# SPDX-License-Identifier: Apache-2.0
"""Where a run writes, and that it can is known before it begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench import figures, place, scenarios, session
from bench.figures import Found, Results
from bench.tools import ROOT
from bench.trouble import Trouble


def test_a_folder_that_cannot_be_had(tmp_path: Path) -> None:
    """A file in its way, or a folder in the way of a file, is one error that names the folder."""
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "deeper"):
        with pytest.raises(Trouble, match=f"^--out {folder} cannot be written into: "):
            _hold(folder)
    (tmp_path / "results.json").mkdir()
    with pytest.raises(Trouble, match=r"a folder stands where a file goes: results\.json"):
        _hold(tmp_path)


def test_two_runs_at_once(tmp_path: Path) -> None:
    """The second is refused, also in another process; when the first has ended, it is not."""
    with place.held(tmp_path / "out"):
        with pytest.raises(Trouble, match="another run writes into it"):
            _hold(tmp_path / "out")
        command = [sys.executable, "-m", "bench", "report", "--out", str(tmp_path / "out")]
        (tmp_path / "out" / "results.json").write_bytes(msgspec.json.encode(_results()))
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        said = f"bench: --out {tmp_path / 'out'}: another run writes into it\n"
        assert (1, said) == (done.returncode, done.stderr)
    _hold(tmp_path / "out")


def test_a_run_that_ended_early(tmp_path: Path) -> None:
    """What it measured is in results.json, and the report says what is lacking."""
    with place.held(tmp_path):
        session.keep(_results(lacking=["idle", "memory"]), tmp_path)
    found = figures.read(tmp_path / "results.json")
    text = session.write(found, scenarios.read(), tmp_path).read_text(encoding="utf-8")
    assert "**The run ended before it had measured idle, memory.**" in text
    whole = session.write(_results(), scenarios.read(), tmp_path).read_text(encoding="utf-8")
    assert "The run ended before" not in whole
    assert {"results.json", "report.md"} == {path.name for path in tmp_path.iterdir()}


def _results(lacking: list[str] | None = None) -> Results:
    found = Found(about="", commands={})
    return Results(
        command="python -m bench",
        profile="",
        envoy="1.40.0",
        machine={},
        tools={},
        scenarios={"one": found},
        lacking=lacking or [],
    )


def _hold(folder: Path) -> None:
    with place.held(folder):
        pass
