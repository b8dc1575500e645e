# SPDX-License-Identifier: Apache-2.0
"""
What can go wrong, in the classes that a caller needs to tell apart.
"""

from __future__ import annotations


class PyFilterError(Exception):
    """
    Base of the package's exceptions; never raised itself.
    """


class ConfigError(PyFilterError):
    """
    A filter's configuration is wrong. The message names the key and what was expected.
    """


class StreamGone(PyFilterError):  # noqa: N818  a state of the stream, not an error of its user
    """
    The stream has ended in Envoy, so there is nothing left to ask or to change.
    """


class WrongThread(PyFilterError):  # noqa: N818
    """
    A stream was used on a thread that is not its worker; ``Stream.run_on_worker`` leads there.
    """
