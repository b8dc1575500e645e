# SPDX-License-Identifier: Apache-2.0
"""The stream of the scenario ``llm``."""

from __future__ import annotations

import json

from bench.peers.llm_server import events


def test_events() -> None:
    """It has as many events as are meant, the usage in the last but one, the word in the others."""
    stream = events(200)
    assert 200 == len(stream)
    assert all(one.startswith(b"data: ") and one.endswith(b"\n\n") for one in stream)
    *words, usage, done = [one[len(b"data: ") :].strip() for one in stream]
    assert b"[DONE]" == done
    assert {"prompt_tokens": 11, "completion_tokens": 197, "total_tokens": 208} == json.loads(
        usage
    )["usage"]
    assert all(json.loads(one)["usage"] is None for one in words)
