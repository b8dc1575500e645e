# SPDX-License-Identifier: Apache-2.0
"""What Envoy and its filters tell each other about a stream: metadata and filter state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast, overload

from ._text import Text, checked_text, utf8

if TYPE_CHECKING:
    from ._host import Host, MetadataSource, MetadataValue

_T = TypeVar("_T")
_NAMESPACE: Final = "namespace of metadata"
_STATE_KEY: Final = "key of filter state"

SettableValue: TypeAlias = (
    str
    | float
    | bool
    | list[str]
    | list[int]
    | list[float]
    | list[bool]
    | tuple[str, ...]
    | tuple[float, ...]
    | tuple[bool, ...]
)
"""What dynamic metadata can hold; a list's items are of one type."""


class Metadata:
    """
    Metadata of a route, a cluster or an upstream host; read only.

    Values are ``str``, ``float``, ``bool`` or a list of one of these; anything deeper is ``None``.
    """

    __slots__ = ("_host", "_source")

    def __init__(self, host: Host, source: MetadataSource) -> None:
        """Made by ``Stream``."""
        self._host = host
        self._source = source

    def get(self, namespace: str, key: str) -> MetadataValue | None:
        """One value, or ``None`` (ABI: ``http_get_metadata_string`` and its kin)."""
        return self._host.metadata(self._source, *_checked_key(namespace, key))

    def keys(self, namespace: str) -> list[str]:
        """List the keys of *namespace* (ABI: ``http_get_metadata_keys``)."""
        return self._host.metadata_keys(self._source, checked_text(namespace, _NAMESPACE))

    def namespaces(self) -> list[str]:
        """All namespaces (ABI: ``http_get_metadata_namespaces``)."""
        return self._host.metadata_namespaces(self._source)


class DynamicMetadata(Metadata):
    """The stream's own metadata, which filters write and access logs read."""

    __slots__ = ()

    def set(self, namespace: str, key: str, value: SettableValue) -> None:
        """
        Set *key* (ABI: ``http_set_dynamic_metadata_string`` and its kin).

        Numbers become doubles. A list's items are of one type; they are appended to the list that
        is there (ABI: ``http_add_dynamic_metadata_list_string`` and its kin). Raises ``TypeError``
        for other values, ``LookupError`` when Envoy refuses.
        """
        if not self._host.set_metadata(*_checked_key(namespace, key), _checked(value)):
            raise LookupError(f"Envoy refused the metadata {namespace}.{key}")


class FilterState:
    """
    Bytes that filters share under a name, until the stream ends.

    Keys and values may be ``str`` (UTF-8); values come back as ``bytes``. Access logs print them
    with ``%FILTER_STATE(key:PLAIN)%``.
    """

    __slots__ = ("_host",)

    def __init__(self, host: Host) -> None:
        """Made by ``Stream``."""
        self._host = host

    @overload
    def get(self, key: Text) -> bytes | None: ...
    @overload
    def get(self, key: Text, default: _T) -> bytes | _T: ...
    def get(self, key: Text, default: _T | None = None) -> bytes | _T | None:
        """Return the value, or *default* (ABI: ``http_get_filter_state_bytes``)."""
        value = self._host.filter_state(utf8(key, _STATE_KEY))
        return default if value is None else value

    def set(self, key: Text, value: Text) -> None:
        """
        Write a value (ABI: ``http_set_filter_state_bytes``).

        A key is written once in a stream: Envoy keeps the first value. Raises ``LookupError`` when
        it has one, or Envoy refuses for another reason.
        """
        # Most keys are these, and encoding is cheap where there is nothing to replace.
        name = key.encode() if type(key) is str and key.isascii() else utf8(key, _STATE_KEY)
        text = value if type(value) is bytes else utf8(value, "value of filter state")
        if self._host.set_filter_state(name, text):
            return
        if self._host.filter_state(name) is not None:
            raise LookupError(f"the filter state {key!r} is written already")
        raise LookupError(f"Envoy refused the filter state {key!r}")

    def __getitem__(self, key: Text) -> bytes:
        """Return the value; ``KeyError`` when there is none."""
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Text, value: Text) -> None:
        """As ``set``."""
        self.set(key, value)

    def __contains__(self, key: object) -> bool:
        """Whether *key* has a value."""
        return isinstance(key, (str, bytes)) and self.get(key) is not None


def _checked_key(namespace: str, key: str) -> tuple[str, str]:
    return checked_text(namespace, _NAMESPACE), checked_text(key, "key of metadata")


def _checked(value: SettableValue) -> MetadataValue:
    if isinstance(value, (list, tuple)):
        items = [_scalar(item) for item in value]
        if len({type(item) for item in items}) > 1:
            raise TypeError("the items of a metadata list must be of one type")
        return cast("MetadataValue", items)
    return _scalar(value)


def _scalar(value: object) -> str | float | bool:
    if isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    raise TypeError(
        f"metadata must be str, number, bool or a list of these, got {type(value).__name__}"
    )
