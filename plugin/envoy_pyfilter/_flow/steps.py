# SPDX-License-Identifier: Apache-2.0
"""The six hooks that return a status, and what Envoy's statuses are for each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from envoy_pyfilter.verdict import BodyStatus, HeadersStatus, TrailersStatus

REQUEST: Final = 1
RESPONSE: Final = 2
SEAM_FAILED: Final = -1  # C settles the hook itself (abi/settle.c)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A hook's name, its side of the stream, and Envoy's statuses for what can come out of it."""

    hook: str
    side: int
    pause: int
    buffer: int
    stop: int
    first: bool = False


def _steps(side: int, name: str) -> tuple[Step, Step, Step]:
    headers, body, trailers = HeadersStatus, BodyStatus, TrailersStatus
    return (
        Step(
            f"on_{name}_headers",
            side,
            int(headers.STOP_ITERATION),
            int(headers.STOP_ITERATION),
            int(headers.STOP_ITERATION),
            first=True,
        ),
        Step(
            f"on_{name}_body",
            side,
            int(body.STOP_ITERATION_AND_WATERMARK),
            int(body.STOP_ITERATION_AND_BUFFER),
            int(body.STOP_ITERATION_NO_BUFFER),
        ),
        Step(
            f"on_{name}_trailers",
            side,
            int(trailers.STOP_ITERATION),
            int(trailers.CONTINUE),
            int(trailers.STOP_ITERATION),
        ),
    )


REQUEST_HEADERS, REQUEST_BODY, REQUEST_TRAILERS = _steps(REQUEST, "request")
RESPONSE_HEADERS, RESPONSE_BODY, RESPONSE_TRAILERS = _steps(RESPONSE, "response")
SCHEDULED: Final = Step("run_on_worker", 0, 0, 0, 0)
