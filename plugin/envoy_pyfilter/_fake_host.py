# SPDX-License-Identifier: Apache-2.0
"""
A proxy's side of one stream, in memory. Public as ``envoy_pyfilter.testing.FakeHost``.

It keeps what Envoy would keep and refuses what Envoy's side would refuse: use after the stream's
end, use on another thread, headers in a map that is not there. What it is told to do (replies,
resumes) it only writes down; ``testing.FakeStream`` does it.
"""

from __future__ import annotations

import queue
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeAlias

from ._fake_parts import FakeMetrics, FakeScheduler, SentReply
from ._host import BodyKind, HeaderMap, MetadataSource, MetadataValue, NoteKind
from .attributes import ATTRIBUTES
from .errors import StreamGone, WrongThread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from ._host import Pairs
    from ._reads import Given, HookReads

Space: TypeAlias = "dict[str, dict[str, MetadataValue]]"


class FakeHost:
    """
    A ``Host`` in memory.

    Its public attributes are what a test sets before, or looks at after: ``maps`` (a map that the
    stream does not have is missing), ``bodies``, ``attributes`` by dotted name, ``state`` (filter
    state), ``spaces`` (metadata by source), ``notes``, ``failed_hooks``, ``replies``, ``calls``.
    """

    def __init__(self) -> None:
        self.maps: dict[HeaderMap, list[tuple[bytes, bytes]]] = {}
        self.bodies: dict[BodyKind, bytearray] = {}
        self.buffered_received: set[bool] = set()  # True: the request's, False: the response's
        self.attributes: dict[str, str | int | bool] = {}
        self.state: dict[bytes, bytes] = {}
        self.spaces: dict[MetadataSource, Space] = {source: {} for source in MetadataSource}
        self.metrics = FakeMetrics()
        self.route: object | None = None
        self.limit = 1 << 20
        self.worker = 0
        self.minor = 40  # which Envoy this is: 38 for 1.38
        self.notes: list[tuple[NoteKind, bytes, bytes, bytes]] = []
        self.failed_hooks: list[str] = []
        self.failure_codes: list[int] = []  # gRPC's, of the same hooks
        self.refused: list[tuple[int, bool]] = []  # changes: part, and whether it was too large
        self.custom_flags: list[bytes] = []
        self.replies: list[SentReply] = []
        self.calls: list[str] = []  # what the proxy was told to do, in order
        self.events: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.schedulers: list[FakeScheduler] = []
        self.given: Given = []
        self.cached = False
        self.learning: HookReads | None = None
        self._thread = threading.get_ident()
        self._gone = False

    def gone(self) -> None:
        """End Envoy's side: everything raises ``StreamGone`` from here on."""
        self._gone = True

    def release(self) -> int:
        """Minor version of the Envoy that this host plays."""
        return self.minor

    def on_worker(self) -> bool:
        """Whether the caller is on the thread that made this host."""
        return threading.get_ident() == self._thread

    def _check(self) -> None:
        if self._gone:
            raise StreamGone("the stream has ended; keep what you need of it, not the stream")
        if not self.on_worker():
            raise WrongThread("a stream is used on its own worker; see Stream.run_on_worker")

    # --- headers ---

    def headers(self, header_map: HeaderMap) -> list[tuple[bytes, bytes]]:
        """All pairs of a map."""
        self._check()
        return list(self.maps.get(header_map, ()))

    def header_values(self, header_map: HeaderMap, name: bytes) -> list[bytes]:
        """All values of one name."""
        return [value for key, value in self.headers(header_map) if key == name]

    def set_header(self, header_map: HeaderMap, name: bytes, value: bytes) -> bool:
        """Drop all values and append the new one, as Envoy does; an empty value only drops."""
        self._check()
        pairs = self.maps.get(header_map)
        if pairs is None:
            return False
        pairs[:] = [pair for pair in pairs if pair[0] != name]
        if value:
            pseudo = sum(key.startswith(b":") for key, _ in pairs)
            pairs.insert(pseudo if name.startswith(b":") else len(pairs), (name, value))
        return True

    def add_header(self, header_map: HeaderMap, name: bytes, value: bytes) -> bool:
        """Append a value; false for an empty one, as Envoy does."""
        self._check()
        if header_map not in self.maps or not value:
            return False
        self.maps[header_map].append((name, value))
        return True

    def remove_header(self, header_map: HeaderMap, name: bytes) -> bool:
        """Remove all values of *name*."""
        return self.set_header(header_map, name, b"")

    # --- bodies ---

    def body_size(self, kind: BodyKind) -> int:
        """Length in bytes."""
        return len(self.read_body(kind))

    def read_body(self, kind: BodyKind) -> bytes:
        """Copy the bytes; empty when there are none."""
        self._check()
        return bytes(self.bodies.get(kind, b""))

    def drain_body(self, kind: BodyKind, size: int) -> bool:
        """Remove bytes from the front."""
        self._check()
        if kind not in self.bodies:
            return False
        del self.bodies[kind][:size]
        return True

    def append_body(self, kind: BodyKind, data: bytes) -> bool:
        """Add bytes at the end; false where there is no such body."""
        self._check()
        if kind not in self.bodies:
            return False
        self.bodies[kind] += data
        return True

    def received_is_buffered(self, *, request: bool) -> bool:
        """Whether the received bytes are the buffered ones."""
        self._check()
        return request in self.buffered_received

    # --- what Envoy knows ---

    def attribute_string(self, attribute: int) -> bytes | None:
        """Look up a text attribute."""
        value = self._attribute(attribute)
        return value.encode("latin-1") if isinstance(value, str) else None

    def attribute_int(self, attribute: int) -> int | None:
        """Look up a number attribute."""
        value = self._attribute(attribute)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def attribute_bool(self, attribute: int) -> bool | None:
        """Look up a boolean attribute."""
        value = self._attribute(attribute)
        return value if isinstance(value, bool) else None

    def _attribute(self, number: int) -> str | int | bool | None:
        self._check()
        for name, attribute in ATTRIBUTES.items():
            if attribute.number == number:
                return self.attributes.get(name)
        return None

    def filter_state(self, key: bytes) -> bytes | None:
        """Bytes under *key*."""
        self._check()
        return self.state.get(key)

    def set_filter_state(self, key: bytes, value: bytes) -> bool:
        """Write bytes under *key*; false when there are some."""
        self._check()
        return self.state.setdefault(key, value) is value

    def metadata(self, source: MetadataSource, namespace: str, key: str) -> MetadataValue | None:
        """One value."""
        self._check()
        return self.spaces[source].get(namespace, {}).get(key)

    def metadata_keys(self, source: MetadataSource, namespace: str) -> list[str]:
        """Keys of a namespace."""
        self._check()
        return list(self.spaces[source].get(namespace, {}))

    def metadata_namespaces(self, source: MetadataSource) -> list[str]:
        """Namespaces of a source."""
        self._check()
        return list(self.spaces[source])

    def set_metadata(self, namespace: str, key: str, value: MetadataValue) -> bool:
        """Set dynamic metadata; a list is appended to the list that is there."""
        self._check()
        space = self.spaces[MetadataSource.DYNAMIC].setdefault(namespace, {})
        old = space.get(key)
        if not isinstance(value, list):
            space[key] = value
        elif old is None:
            space[key] = value.copy()
        elif isinstance(old, list):
            space[key] = [*old, *value]
        else:
            return False
        return True

    def change_metric(self, kind: str, metric: int, labels: Sequence[bytes], value: int) -> int:
        """Change a metric."""
        self._check()
        return self.metrics.change(kind, metric, labels, value)

    def worker_index(self) -> int:
        """Which worker."""
        self._check()
        return self.worker

    def route_config(self) -> object | None:
        """Return the per-route config."""
        self._check()
        return self.route

    def buffer_limit(self) -> int:
        """Bytes that are buffered at most."""
        self._check()
        return self.limit

    def set_buffer_limit(self, limit: int) -> None:
        """Change that limit."""
        self._check()
        self.limit = limit

    # --- what the proxy is told to do ---

    def reply(self, status: int, headers: Pairs, body: bytes, details: bytes) -> None:
        """Write a local reply down."""
        self._check()
        sent = SentReply(status=status, headers=list(headers), body=body, details=details)
        self.replies.append(sent)
        self.calls.append("reply")

    def reply_headers(self, headers: Pairs, *, end_of_stream: bool) -> None:
        """Write the start of a reply in pieces down."""
        self._told(f"reply_headers {list(headers)!r} {end_of_stream}")

    def reply_data(self, data: bytes, *, end_of_stream: bool) -> None:
        """Write a piece of a reply down."""
        self._told(f"reply_data {data!r} {end_of_stream}")

    def reply_trailers(self, trailers: Pairs) -> None:
        """Write the trailers of a reply down."""
        self._told(f"reply_trailers {list(trailers)!r}")

    def reset(self, reason: int, details: bytes) -> None:
        """Write a reset down."""
        self._told(f"reset {reason:d} {details.decode()}")

    def resume_request(self) -> None:
        """Write it down."""
        self._told("resume_request")

    def resume_response(self) -> None:
        """Write it down."""
        self._told("resume_response")

    def waiting_hooks(self, *, response: bool) -> AbstractContextManager[None]:  # noqa: ARG002
        """Do nothing: all of a fake stays."""
        self._check()
        return nullcontext()

    def late_begins(self, hook: int) -> None:
        """Do nothing: a fake keeps no statistics."""

    def late_ends(self, hook: int, status: int) -> None:
        """Do nothing."""

    def response_begun(self) -> bool:
        """Say no; ``testing.FakeStream`` knows better."""
        self._check()
        return False

    def clear_route_cache(self) -> None:
        """Write it down."""
        self._told("clear_route_cache")

    def clear_route_cluster_cache(self) -> None:
        """Write it down."""
        self._told("clear_route_cluster_cache")

    def _told(self, call: str) -> None:
        self._check()
        self.calls.append(call)

    def add_custom_flag(self, flag: bytes) -> None:
        """Keep a custom response flag."""
        self._check()
        self.custom_flags.append(flag)

    def scheduler(self) -> FakeScheduler:
        """Make a scheduler whose events go to ``events``."""
        self._check()
        scheduler = FakeScheduler(self.events)
        self.schedulers.append(scheduler)
        return scheduler

    def note(self, kind: NoteKind, key: bytes, text: bytes, json: bytes) -> None:
        """Keep a note."""
        self._check()
        self.notes.append((kind, key, text, json))

    def hook_failed(self, hook: str, code: int) -> None:
        """Keep the name of a hook that raised, and what of."""
        self.failed_hooks.append(hook)
        self.failure_codes.append(code)

    def change_refused(self, part: int, *, too_large: bool = False) -> None:
        """Keep what was to be changed."""
        self.refused.append((part, too_large))


def spaces(given: Mapping[str, Mapping[str, MetadataValue]] | None) -> Space:
    """Copy metadata that a test gives."""
    return {namespace: dict(keys) for namespace, keys in (given or {}).items()}
