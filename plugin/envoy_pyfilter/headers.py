# SPDX-License-Identifier: Apache-2.0
"""A header map of a stream, as it is in Envoy now."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar, overload

from ._flow.codes import refused
from ._host import HeaderMap, Host
from ._reads import is_absent
from ._text import Text, header_name, header_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._reads import Given

_T = TypeVar("_T")

_PSEUDO: Final = {
    HeaderMap.REQUEST_HEADERS: {b":method", b":path", b":scheme", b":authority", b":protocol"},
    HeaderMap.REQUEST_TRAILERS: set[bytes](),
    HeaderMap.RESPONSE_HEADERS: {b":status"},
    HeaderMap.RESPONSE_TRAILERS: set[bytes](),
}
_NEEDED: Final = {b"host"}  # Envoy's other name of :authority
# Envoy writes an HTTP/1 request line as it is, so `GET /a HTTP/1.1 HTTP/1.1` would reach the peer.
_BLANK: Final = re.compile(rb"[\x00-\x20\x7f]")
_STATUS: Final = re.compile(rb"[2-5][0-9][0-9]")
_NOTHING: Final[Given] = []
_NO_PLACES: Final[dict[Text, int]] = {}
_LABELS: Final = {
    HeaderMap.REQUEST_HEADERS: "request headers",
    HeaderMap.REQUEST_TRAILERS: "request trailers",
    HeaderMap.RESPONSE_HEADERS: "response headers",
    HeaderMap.RESPONSE_TRAILERS: "response trailers",
}


class Headers:
    """
    One of a stream's four header maps.

    Names go in as ``str`` or ``bytes`` in any case and come out as lower-case ``bytes``. Values go
    in as ``bytes`` or ``str`` (Latin-1) and come out as ``bytes``. Pseudo headers (``:path``) are
    headers like others. A map that the stream does not have (yet) is empty and cannot be changed.

    The first read in a hook fetches the whole map (ABI: ``http_get_headers``); reads after that
    ask nobody until the map is changed or the hook returns.
    """

    __slots__ = ("_given", "_host", "_index", "_map", "_pairs", "_places")

    def __init__(self, host: Host, header_map: HeaderMap) -> None:
        """Made by ``Stream``."""
        self._host = host
        self._map = header_map
        self._given = _NOTHING  # what came with the hook; see ``_hooks``
        self._places = _NO_PLACES
        self._pairs: list[tuple[bytes, bytes]] | None = None
        self._index: dict[bytes, list[bytes]] | None = None

    @overload
    def get(self, name: Text) -> bytes | None: ...
    @overload
    def get(self, name: Text, default: _T) -> bytes | _T: ...
    def get(self, name: Text, default: _T | None = None) -> bytes | _T | None:
        """Return the first value of *name*, or *default*."""
        try:
            return self._given[self._places[name]]
        except (LookupError, TypeError):
            value = self._ask(name)
        return default if value is None else value

    def get_all(self, name: Text) -> list[bytes]:
        """All values of *name*, in order; empty when there is none."""
        return list(self._values().get(header_name(name), ()))

    def set(self, name: Text, value: Text) -> None:
        """
        Replace all values of *name* by one (ABI: ``http_set_header``).

        An empty value removes the header: the ABI makes no difference.

        Raises ``LookupError`` when the stream has no such map, ``ValueError`` for a bad name or
        value, and for pseudo headers that the map cannot hold.
        """
        try:
            key, text = self._settable(name, value)
        except (TypeError, ValueError) as error:
            self._refused(error)
            raise
        self._change(self._host.set_header(self._map, key, text))

    def add(self, name: Text, value: Text) -> None:
        """
        Append a value, keeping those that are there (ABI: ``http_add_header``).

        Raises as ``set``, and ``ValueError`` for an empty value, which the ABI cannot add, and for
        pseudo headers, which have one value.
        """
        try:
            key, text = _addable(name, value)
        except (TypeError, ValueError) as error:
            self._refused(error)
            raise
        self._change(self._host.add_header(self._map, key, text))

    def remove(self, name: Text) -> None:
        """
        Remove all values of *name*, if it has any (ABI: ``http_set_header``, no value).

        Raises ``ValueError`` for pseudo headers, and for ``host``, which Envoy cannot do without.
        """
        try:
            key, _ = self._settable(name, b"")
        except (TypeError, ValueError) as error:
            self._refused(error)
            raise
        self._host.remove_header(self._map, key)
        self._forget()

    def items(self) -> list[tuple[bytes, bytes]]:
        """All pairs of name and value, in Envoy's order."""
        return list(self._read())

    def __getitem__(self, name: Text) -> bytes:
        """Return the first value of *name*; ``KeyError`` when there is none."""
        try:
            return self._given[self._places[name]]
        except (LookupError, TypeError):
            value = self._ask(name)
        if value is not None:
            return value
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        """Whether *name* has a value."""
        return isinstance(name, (str, bytes)) and self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of name and value, as they were when the iteration began."""
        return iter(self.items())

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._read())

    def __repr__(self) -> str:
        """Name the map, not its content: headers hold secrets, and logs show this."""
        return f"<Headers: {_LABELS[self._map]}>"

    def _settable(self, name: Text, value: Text) -> tuple[bytes, bytes]:
        key, text = header_name(name), header_value(value)
        if key in _NEEDED or key.startswith(b":"):
            self._check_needed(key, text)
        return key, text

    def _refused(self, error: Exception) -> None:
        """Tell the statistics of a change that could not be made."""
        self._host.change_refused(self._map)
        refused(error)

    def _check_needed(self, name: bytes, value: bytes) -> None:
        """Refuse what would end Envoy or break its message: these headers it takes on trust."""
        if name not in _PSEUDO[self._map] and name not in _NEEDED:
            raise ValueError(f"{_LABELS[self._map]} cannot hold {name!r}")
        if not value and self._map in (HeaderMap.REQUEST_HEADERS, HeaderMap.RESPONSE_HEADERS):
            raise ValueError(f"Envoy cannot do without {name!r}")
        if _BLANK.search(value) is not None:
            raise ValueError(f"blank or control character in {name!r}: {value!r}")
        if name == b":status" and _STATUS.fullmatch(value) is None:
            raise ValueError(f":status must be 200 to 599, got {value!r}")

    def _ask(self, name: Text) -> bytes | None:
        """Ask for what did not come with the hook, so that the next stream's hook has it."""
        key = header_name(name)
        if isinstance(name, (str, bytes)) and is_absent(self._given, self._places.get(name)):
            return None
        values = self._values().get(key)
        learning = self._host.learning
        if learning is not None and self._host.on_worker():
            learning.learn_header(self._map, name, key)
        return values[0] if values else None

    def _read(self) -> list[tuple[bytes, bytes]]:
        if self._pairs is None:
            self._pairs = self._host.headers(self._map)
            self._host.cached = True
        return self._pairs

    def _values(self) -> dict[bytes, list[bytes]]:
        if self._index is None:
            index: dict[bytes, list[bytes]] = {}
            for name, value in self._read():
                index.setdefault(name, []).append(value)
            self._index = index
        return self._index

    def _change(self, done: bool) -> None:
        self._forget()
        if not done:
            raise refused(LookupError(f"the stream has no {_LABELS[self._map]} to change"))

    def _forget(self) -> None:
        self._pairs = self._index = None


def _addable(name: Text, value: Text) -> tuple[bytes, bytes]:
    key = header_name(name)
    if not value:
        raise ValueError(f"cannot add an empty value to {name!r}")
    if key in _NEEDED or key.startswith(b":"):
        raise ValueError(f"{name!r} has one value: set it")
    return key, header_value(value)
