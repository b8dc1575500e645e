# SPDX-License-Identifier: Apache-2.0
"""
Every way in which a stream can end, as a table; ``test_endings.py`` carries it out.

``docs/endings.md`` explains each of the numbers. ``endings_row.py`` says what a row is, and
``endings_steps.py`` what clients do.
"""

from .endings_cut import FAILED, LEFT
from .endings_refused import REFUSED
from .endings_replied import REPLIED
from .endings_row import PROTOCOLS, Ending
from .endings_special import SPECIAL
from .endings_timed import TIMED
from .endings_whole import WHOLE

ROWS: dict[str, Ending] = {
    **WHOLE,
    **LEFT,
    **FAILED,
    **REPLIED,
    **TIMED,
    **SPECIAL,
    **REFUSED,
}

__all__ = ["PROTOCOLS", "ROWS", "Ending"]
