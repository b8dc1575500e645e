# SPDX-License-Identifier: Apache-2.0
"""Filters with a hook for each chunk of a response: what ``llm_usage`` cannot cost less than."""

from __future__ import annotations

from envoy_pyfilter import Filter, Stream


class Empty(Filter):
    """Does nothing with a chunk."""

    def on_response_body(self, stream: Stream, end_of_stream: bool) -> None:
        """Do nothing."""


class Reads(Filter):
    """Reads each chunk."""

    def on_response_body(self, stream: Stream, end_of_stream: bool) -> None:  # noqa: ARG002
        """Read."""
        stream.response_body.read()
