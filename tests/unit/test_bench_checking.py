# SPDX-License-Identifier: Apache-2.0
"""Whether a variant did its work: what it wrote, against what was sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import checking, job
from bench.setup import Setup
from bench.trouble import Trouble

SENT = 2000


def test_lines_of_the_variants() -> None:
    """What the variants write is read into the same ten values."""
    assert job.EXPECTED == job.of_tabs(job.LINE)
    assert job.EXPECTED == job.of_json(json.dumps({**job.EXPECTED, "response_code": 200}))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "wrote 0 lines for 2000 requests"),
        ([job.LINE] * 1999, "wrote 1999 lines"),
        ([job.LINE.replace("GET", "PUT")] * 2000, "'method': 'PUT'"),
        (["nothing"] * 2000, "cannot be read"),
    ],
)
def test_work_that_is_not_done(tmp_path: Path, lines: list[str], said: str) -> None:
    """Too few lines, wrong values and garbage are told from the work."""
    out = tmp_path / "out.log"
    setup = Setup(output=out, read=job.of_tabs)
    out.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(Trouble, match=said):
        checking.compare_output(setup, out, SENT)


def test_work_that_is_done(tmp_path: Path) -> None:
    """A line for each request is right; of a buffered file the last ones may be missing."""
    out = tmp_path / "out.log"
    out.write_text(f"{job.LINE}\n" * SENT)
    checking.compare_output(Setup(output=out, read=job.of_tabs), out, SENT)
    out.write_text(f"{job.LINE}\n" * 10 + "GET\t/v1")
    checking.compare_output(Setup(output=out, read=job.of_tabs, buffered=True), out, SENT)


def test_what_a_format_has_no_place_for(tmp_path: Path) -> None:
    """Values that a format lacks are not asked for; the others are."""
    out = tmp_path / "out.log"
    short = {key: text for key, text in job.EXPECTED.items() if key != "accept"}
    out.write_text((json.dumps(short) + "\n") * SENT)
    checking.compare_output(Setup(output=out, read=job.of_json, lacks=("accept",)), out, SENT)
    with pytest.raises(Trouble, match="wrote"):
        checking.compare_output(Setup(output=out, read=job.of_json), out, SENT)


def test_what_envoy_prints_of_a_stream(tmp_path: Path) -> None:
    """Each line of Envoy's own log is what the variant should have written into the stream."""
    out = tmp_path / "witness.log"
    out.write_text("right\n" * SENT)
    checking.compare_witness(out, "right", SENT)
    out.write_text("right\n" * (SENT - 1) + "-\n")
    with pytest.raises(Trouble, match="of which 1 are not 'right'"):
        checking.compare_witness(out, "right", SENT)
