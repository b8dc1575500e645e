# SPDX-License-Identifier: Apache-2.0
"""
Which gRPC code a failed hook has in the statistics (docs/statistics.md has the table).

Where native ext_proc has a code for the same, it is that one: 2 is what a gRPC server of Python
answers when its handler raises, 3 a refused change, 4 a timeout, 9 an answer that is none. The seam
itself has 13 (``abi/settle.c``), and a response that outgrew its buffer 8 (``abi/statistics.c``).
"""

from __future__ import annotations

from typing import Final, TypeVar

_E = TypeVar("_E", bound=BaseException)

UNKNOWN: Final = 2
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
RESOURCE_EXHAUSTED: Final = 8
FAILED_PRECONDITION: Final = 9

_REFUSED: Final = "_envoy_pyfilter_refused"


class NoVerdictError(TypeError):
    """A hook returned what is no verdict."""


def refused(error: _E) -> _E:
    """Mark *error* as that of a change that could not be made, whatever its class is."""
    error.__dict__[_REFUSED] = True
    return error


def code_of(error: BaseException) -> int:
    """Return the code of what a hook raised."""
    if _REFUSED in error.__dict__:
        return INVALID_ARGUMENT
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return UNKNOWN


_CODES: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (NoVerdictError, FAILED_PRECONDITION),
    (TimeoutError, DEADLINE_EXCEEDED),
    (MemoryError, RESOURCE_EXHAUSTED),
    (RecursionError, RESOURCE_EXHAUSTED),
)
