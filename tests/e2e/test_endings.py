# SPDX-License-Identifier: Apache-2.0
"""
The table of endings on real Envoys: each row over each protocol that can express it.

Whatever happened, the entries are those that are due, in order and once each; they have the
headers of the client's wire, and Envoy's own access log says the same.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

import pytest
from envoy_pyfilter.fields import ONLY_LOGGER

from . import bootstrap as b
from .endings import PROTOCOLS, ROWS, Ending
from .endings_row import BOTH, REQUEST
from .envoy import Envoy
from .http3 import Certificate
from .messages import Response
from .neighbours import overloaded
from .oracle import UNKNOWN, check, check_logged, check_request
from .scene import MARK as MARK_ID
from .scene import Scene
from .site import Site, as_dict
from .upstream import Upstream


class Case(NamedTuple):
    """A row, and how it is run."""

    name: str
    protocol: str
    compat: str

    def __str__(self) -> str:
        """Give the id of the test."""
        return "-".join([self.name, self.protocol, *(["cilium"] if self.compat != "none" else [])])


# What nobody knows at the handshake of a tunnel.
AT_THE_END = ("response_code_details", "response_flags", "bytes_received", "bytes_sent")
LATER = {"date", "server"}  # headers that Envoy adds behind all filters
MARK = b.direct("/mark", body="")
CASES = [
    Case(name, protocol, compat)
    for name, row in ROWS.items()
    for protocol in PROTOCOLS
    if protocol not in row.cannot
    for compat in (["none"] if row.cilium is None else ["none", "cilium"])
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_ending(
    request: pytest.FixtureRequest, release: str, certificate: Certificate, case: Case
) -> None:
    """The row's entries are written, and no other."""
    name, protocol, compat = case
    row = ROWS[name]
    site = new_site(request, row)
    access = {} if compat == "none" else {"log": {"compat": compat}}
    site.open(
        [*row.before, site.filter(dict(row.hooks) or None, access=access), *row.after],
        routes=[MARK, *(row.routes or [b.route()])],
        quic=certificate if protocol == "HTTP/3" else None,
        loggers=[site.logger()],
        **row.listener,
    )
    scene = Scene(site, protocol)
    try:
        got = row.client(scene)
        told = site.oracle((len(row.legs) or 1) + scene.exchanges)
    finally:
        scene.gate.open()
    entries = scene.entries_now() if row.own_envoy is None else scene.entries_of_all()
    print(protocol, got.status, got.headers, *told, *entries, sep="\n")
    assert kinds(row, compat) == [entry["kind"] for entry in entries]
    assert row.wire.get(protocol, row.status) == got.status
    if row.tunnel:
        assert list(REQUEST if compat == "none" else BOTH) == scene.amid
    judge(row, got, entries[-2:], told[-1], release, at_handshake=row.tunnel and compat != "none")
    if row.legs:
        judge_first_leg(row, scene, entries[:-2], told[0], release)
    lines = site.oracle(len(told) + (row.own_envoy is None))
    logged = site.logged(len(lines))
    for entry, line in zip(logged, lines, strict=True):
        judge_logged(row, entry, line)
    if compat == "none":
        found = differences(entries, [one for one in logged if not is_mark(one)], release)
        assert found == row.logged if release == "1.38.3" else found <= row.logged


def new_site(request: pytest.FixtureRequest, row: Ending) -> Site:
    """Make a site of the shared Envoy, or of one for the row alone."""
    if row.own_envoy is None:
        make: Callable[[], Site] = request.getfixturevalue("new_site")
        return make()
    upstream: Upstream = request.getfixturevalue("upstream")
    folder: Path = request.getfixturevalue("tmp_path")
    overload = None
    if row.own_envoy.get("overloaded"):
        pressure = folder / "pressure"
        pressure.write_text("1")
        overload = overloaded(pressure)
    envoy: Envoy = request.getfixturevalue("own_envoy")(overload=overload).start()
    return Site(envoy, upstream, folder, "alone")


def kinds(row: Ending, compat: str) -> list[str]:
    """Entries that are due."""
    if compat == "cilium" and row.cilium is not None:
        return list(row.cilium)
    return list(row.entries)


def judge(
    row: Ending,
    got: Response,
    entries: list[b.Dict],
    told: b.Dict,
    release: str,
    *,
    at_handshake: bool,
) -> None:
    """Compare a stream's entries with what the row, the client and Envoy say."""
    for entry in entries:
        if entry["kind"] != "response":
            check_request(entry, told)
            continue
        apart = {**row.differs}
        if row.late:
            apart |= {"start_time_unix_nano": entry["start_time_unix_nano"], "duration_ms": 0}
        if at_handshake:
            apart |= {name: entry.get(name) for name in AT_THE_END}
            apart["duration_ms"] = entry["duration_us"] // 1000
        check(entry, {**told, **apart}, release)
        assert row.status == entry["response_code"]
        if got.status:
            cuts = row.cuts | (LATER if at_handshake else set())
            assert headers_of(entry, cuts) == wire_of(got, entry, cuts)
            if got.get(b"content-length") is None:  # else HTTP/1.1 has no place for trailers
                assert as_dict(got.trailers) == entry.get("response_trailers", {})
    if len(entries) > 1:
        assert entries[-1]["time_unix_nano"] >= entries[0]["time_unix_nano"]


def judge_first_leg(
    row: Ending, scene: Scene, entries: list[b.Dict], told: b.Dict, release: str
) -> None:
    """Compare entries of a stream of which Envoy made another one: its request is changed then."""
    first, *second = entries
    mine = {"path": scene.asked.decode(), "scheme": first["scheme"]}
    assert mine == {name: first[name] for name in mine}
    check_request(first, {**told, **mine})
    for entry in second:
        check(entry, told, release)
        assert row.legs[0] == entry["response_code"]
        assert entry["time_unix_nano"] >= first["time_unix_nano"]


def judge_logged(row: Ending, entry: b.Dict, told: b.Dict) -> None:
    """Compare what our access logger wrote with Envoy's own line of the same log."""
    assert ("response", "DownstreamEnd") == (entry["kind"], entry["access_log_type"])
    same = {} if is_mark(entry) else row.differs
    check_logged(entry, {**told, **{name: same[name] for name in ("grpc_status",) if name in same}})


def is_mark(entry: b.Dict) -> bool:
    """Tell the test's own exchanges from the row's."""
    return str(entry.get("request_id")).startswith(MARK_ID)


def differences(entries: list[b.Dict], logged: list[b.Dict], release: str) -> set[str]:
    """Name the fields that the logger's entries have otherwise than the filter's."""
    filters = [entry for entry in entries if entry["kind"] == "response"]
    if len(filters) != len(logged):
        return {"entries"}
    apart = {"instance", "time_unix_nano", "start_time_unix_nano", "duration_us", *ONLY_LOGGER}
    apart |= UNKNOWN[release] | ({"response_code_details"} if release == "1.38.3" else set())
    return {
        name
        for entry, other in zip(filters, logged, strict=True)
        for name in (entry.keys() | other.keys()) - apart
        if entry.get(name) != other.get(name)
    }


def headers_of(entry: b.Dict, cuts: AbstractSet[str]) -> b.Dict:
    """Give the entry's response headers but for *cuts*."""
    return {name: value for name, value in entry["response_headers"].items() if name not in cuts}


def wire_of(got: Response, entry: b.Dict, cuts: AbstractSet[str]) -> b.Dict:
    """Give the headers that the client got, but for *cuts* and what only the codec makes."""
    codec = {"transfer-encoding", "connection", "content-length"} - entry["response_headers"].keys()
    wire = as_dict(got.headers)
    return {name: value for name, value in wire.items() if name not in codec | cuts}
