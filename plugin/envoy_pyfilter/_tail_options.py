# SPDX-License-Identifier: Apache-2.0
"""The arguments of ``envoy-pyfilter tail``."""

from __future__ import annotations

import argparse
import re
from functools import partial

from envoy_pyfilter import _listen, _match
from envoy_pyfilter._tail import Asked

DESCRIPTION = """\
Shows access log entries as they come: a table on a terminal, JSON lines in a pipe.

With --socket it listens as Cilium's agent does, so a sink of type cilium (or Cilium's own
Envoy) sends its packets here. A FILE is what a sink of type file writes.
"""
EXAMPLES = """\
examples:
  envoy-pyfilter tail --socket /run/access_log.sock
  envoy-pyfilter tail --socket @entries --status 5xx,404 --path '/v1/*'
  envoy-pyfilter tail /var/log/envoy/entries.log --kind response --json | jq .duration_us
"""


def _mode(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise argparse.ArgumentTypeError(f"{text}: expected a mode, such as 0660")
    return int(text, 8)


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text}: expected a number of 1 or more")
    return int(text)


def _max_packet(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _listen.LARGEST_PACKET:
        most = _listen.LARGEST_PACKET
        raise argparse.ArgumentTypeError(f"{text}: expected a number of bytes, 1 to {most}")
    return int(text)


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``tail``."""
    where = parser.add_argument_group("where entries come from")
    where.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="JSON lines: a file, which may be rotated, a FIFO, or - for stdin",
    )
    where.add_argument(
        "--from-start",
        action="store_true",
        help="show what the files hold already, too",
    )
    where.add_argument("--socket", metavar="PATH", help="listen there; @NAME is an abstract name")
    where.add_argument(
        "--mode",
        type=_mode,
        help=f"permissions of the socket's file (default: {_listen.MODE:04o})",
    )
    where.add_argument(
        "--max-packet",
        metavar="BYTES",
        type=_max_packet,
        default=_listen.MAX_PACKET,
        help="larger packets are cut and not shown (default: %(default)s, as the agent's)",
    )

    which = parser.add_argument_group(
        "which are shown", "Each of the first five may be given several times."
    )
    add = partial(which.add_argument, action="append", default=[])
    add("--kind", metavar="KIND", help=f"{', '.join(_match.KINDS)}; several with commas")
    add("--status", metavar="STATUS", help="of responses: 404, 5xx, 400-499; several with commas")
    add("--method", metavar="METHOD", help="GET, POST, ...; several with commas")
    add("--host", metavar="GLOB", help="with or without its port: '*.example.com'")
    add("--path", metavar="GLOB", help="with or without its query: '/v1/*'")
    which.add_argument("--count", metavar="N", type=_positive, help="end after N entries")

    how = parser.add_argument_group("how")
    how.add_argument("--json", action="store_true", help="JSON lines on a terminal, too")
    how.add_argument("--headers", action="store_true", help="headers below each row of the table")


def asked(options: argparse.Namespace) -> Asked:
    """Read the options; WrongUse for what argparse does not judge."""
    wanted = _match.wanted(
        status=options.status,
        kind=options.kind,
        method=options.method,
        host=options.host,
        path=options.path,
    )
    return Asked(
        socket=options.socket,
        mode=options.mode,
        max_packet=options.max_packet,
        files=options.files,
        from_start=options.from_start,
        wanted=wanted,
        count=options.count,
        json=options.json,
        headers=options.headers,
    )
