# SPDX-License-Identifier: Apache-2.0
"""``make demo-llm``: what tail shows of the demo's requests, read back."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import Any

from envoy_pyfilter import _demo_llm

from .command import ENVIRONMENT, PATIENCE, RELEASES, ROOT

DEMO = [sys.executable, str(ROOT / "envoy" / "demo_llm.py"), "--once", "--envoy", RELEASES[0]]
# In an order of their own: two workers wrote the entries, so neighbours may have changed places.
REQUESTS = sorted(_demo_llm.requests(), key=lambda one: (one[0], one[1].get("stream", False)))


def told(path: str, body: dict[str, Any]) -> list[Any]:
    """Give what the upstream's own JSON says: model, tokens in, out and in all."""
    answer = _demo_llm.answer(path, json.dumps({**body, "stream": False}).encode())
    assert answer is not None
    assert not answer.streamed
    whole = json.loads(answer.pieces[0])
    usage = whole["usage"]
    given = usage.get("prompt_tokens", usage.get("input_tokens"))
    made = usage.get("completion_tokens", usage.get("output_tokens", 0))
    return [whole["model"], given, made, usage.get("total_tokens", given + made)]


def is_stream(entry: dict[str, Any]) -> bool:
    """Tell by an entry whether its response was a stream of events."""
    return "event-stream" in entry["response_headers"]["content-type"]


def test_in_a_pipe() -> None:
    """Each form, streamed and not, has its entry with the model and the tokens."""
    done = subprocess.run(
        DEMO, env=ENVIRONMENT, capture_output=True, text=True, timeout=3 * PATIENCE, check=False
    )
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    entries.sort(key=lambda one: (one["path"], is_stream(one)))

    assert 0 == done.returncode, done.stderr
    assert [path for path, _ in REQUESTS] == [entry["path"] for entry in entries]
    for (path, body), entry in zip(REQUESTS, entries, strict=True):
        headers = entry["response_headers"]
        numbers = [int(headers[f"x-ai-{one}-tokens"]) for one in ("input", "output", "total")]
        assert body.get("stream", False) == is_stream(entry)
        assert told(path, body) == [headers["x-ai-model"], *numbers]


def test_on_a_terminal() -> None:
    """On a terminal they are columns of the table."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 130, 0, 0))
    with subprocess.Popen(DEMO, env=ENVIRONMENT, stdout=theirs, stderr=subprocess.PIPE) as demo:
        os.close(theirs)
        screen = b""
        with contextlib.suppress(OSError):  # once nobody has the other side open
            while True:
                screen += os.read(ours, 4096)
        _, log = demo.communicate(timeout=PATIENCE)
    os.close(ours)
    head, *rows = re.sub(r"\x1b\[\d*m", "", screen.decode()).splitlines()

    assert 0 == demo.returncode, log.decode()
    assert ["MODEL", "TOKENS"] == head.split()[-2:]
    assert len(REQUESTS) == len(rows)
    rows.sort(key=lambda one: [path for path, _ in REQUESTS if f" {path} " in one])
    for (path, body), row in zip(REQUESTS, rows, strict=True):
        model, given, made, total = told(path, body)
        assert f" {path} " in row
        assert [model, *f"in {given} out {made} total {total}".split()] == row.split()[-7:]
