# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, in the classes that a caller needs to tell apart."""

from __future__ import annotations


class PyFilterError(Exception):
    """Base of the package's exceptions; never raised itself."""


class ConfigError(PyFilterError):
    """A filter's configuration is wrong. The message names the key and what was expected."""


class StreamGone(PyFilterError):  # noqa: N818 (a state, not a mistake)
    """The stream has ended in Envoy, so there is nothing left to ask or to change."""


class WrongThread(PyFilterError):  # noqa: N818 (it says enough)
    """A stream was used on another thread; ``Stream.run_on_worker`` leads to its own."""
