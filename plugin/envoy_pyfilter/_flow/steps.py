# SPDX-License-Identifier: Apache-2.0
"""The six hooks that return a status, and what Envoy's statuses are for each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from envoy_pyfilter.verdict import BodyStatus, HeadersStatus, TrailersStatus

REQUEST: Final = 1
RESPONSE: Final = 2
SEAM_FAILED: Final = -1  # C settles the hook itself (abi/settle.c)
PAUSED: Final = 8
"""In the status of a pause, for C (``crossing.h``): it ends with a resume, unlike a ``BUFFER``."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """
    A hook's name and number, its side of the stream, and the statuses of what can come out of it.

    They are Envoy's, but for PAUSED in that of a pause.
    """

    hook: str
    number: int  # its place in HOOKS
    side: int
    pause: int
    buffer: int
    stop: int
    first: bool = False


def _steps(side: int, name: str, number: int) -> tuple[Step, Step, Step]:
    headers, body, trailers = HeadersStatus, BodyStatus, TrailersStatus
    return (
        Step(
            f"on_{name}_headers",
            number,
            side,
            int(headers.STOP_ITERATION) | PAUSED,
            int(headers.STOP_ITERATION),
            int(headers.STOP_ITERATION),
            first=True,
        ),
        Step(
            f"on_{name}_body",
            number + 1,
            side,
            int(body.STOP_ITERATION_AND_WATERMARK) | PAUSED,
            int(body.STOP_ITERATION_AND_BUFFER),
            int(body.STOP_ITERATION_NO_BUFFER),
        ),
        Step(
            f"on_{name}_trailers",
            number + 2,
            side,
            int(trailers.STOP_ITERATION) | PAUSED,
            int(trailers.CONTINUE),
            int(trailers.STOP_ITERATION),
        ),
    )


REQUEST_HEADERS, REQUEST_BODY, REQUEST_TRAILERS = _steps(REQUEST, "request", 0)
RESPONSE_HEADERS, RESPONSE_BODY, RESPONSE_TRAILERS = _steps(RESPONSE, "response", 3)
SCHEDULED: Final = Step("run_on_worker", -1, 0, 0, 0, 0)


def envoys(status: int) -> int:
    """Give what Envoy hears of a hook's status."""
    return status if status == SEAM_FAILED else status & ~PAUSED
