# SPDX-License-Identifier: Apache-2.0
"""
Packets of Cilium's access log, decoded into entries as our JSON lines have them.

The messages are those of ``cilium.proto``; they are made here from a table, so that nothing
generated is kept. protobuf is needed only by who calls ``Decoder``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from envoy_pyfilter._console import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envoy_pyfilter._table import Entry

PACKAGE: Final = "cilium"

ENUMS: Final = {
    "HttpProtocol": {"HTTP10": 0, "HTTP11": 1, "HTTP2": 2},
    "EntryType": {"Request": 0, "Response": 1, "Denied": 2},
}

# message -> field -> (number, type); "repeated T", "map" of strings, and "oneof T" are types too.
MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "KeyValue": {"key": (1, "string"), "value": (2, "string")},
    "HttpLogEntry": {
        "http_protocol": (1, "HttpProtocol"),
        "scheme": (2, "string"),
        "host": (3, "string"),
        "path": (4, "string"),
        "method": (5, "string"),
        "headers": (6, "repeated KeyValue"),
        "status": (7, "uint32"),
        "missing_headers": (8, "repeated KeyValue"),
        "rejected_headers": (9, "repeated KeyValue"),
    },
    "KafkaLogEntry": {
        "correlation_id": (1, "int32"),
        "error_code": (2, "int32"),
        "api_version": (3, "int32"),
        "api_key": (4, "int32"),
        "topics": (5, "repeated string"),
    },
    "L7LogEntry": {"proto": (1, "string"), "fields": (2, "map")},
    "LogEntry": {
        "timestamp": (1, "uint64"),
        "entry_type": (3, "EntryType"),
        "policy_name": (4, "string"),
        "cilium_rule_ref": (5, "string"),
        "source_security_id": (6, "uint32"),
        "source_address": (7, "string"),
        "destination_address": (8, "string"),
        "is_ingress": (15, "bool"),
        "destination_security_id": (16, "uint32"),
        "proxy_id": (17, "uint32"),
        "http": (100, "oneof HttpLogEntry"),
        "kafka": (101, "oneof KafkaLogEntry"),
        "generic_l7": (102, "oneof L7LogEntry"),
    },
}
_ONEOF: Final = "l7"
_SCALARS: Final = ("string", "bool", "int32", "uint32", "uint64")
_OWN: Final = (  # Cilium's words for where a stream belongs
    "policy_name",
    "cilium_rule_ref",
    "source_security_id",
    "destination_security_id",
    "is_ingress",
    "proxy_id",
)
_KINDS: Final = ("request", "response", "denied")
_PROTOCOLS: Final = ("HTTP/1.0", "HTTP/1.1", "HTTP/2")


class Unreadable(ValueError):  # noqa: N818 (what is counted, not an error of ours)
    """A packet that is no LogEntry; the text says what is wrong with it."""

    counted_as: Final = "unreadable"


def _protobuf(module: str) -> Any:
    """Import a module of the protobuf runtime; Refusal where there is none."""
    try:
        return import_module(f"google.protobuf.{module}")
    except ImportError as error:
        raise Refusal(
            "tail --socket reads protobuf messages, and the Python package protobuf is not here: "
            "pip install 'envoy-pyfilter[tail]'"
        ) from error


def _add_map_entry(message: Any, field: str) -> str:
    """Declare the message that stands for a ``map<string, string>``, and give its name."""
    name = f"{field.title()}Entry"
    inner = message.nested_type.add(name=name)
    inner.options.map_entry = True
    for number, one in enumerate(("key", "value"), start=1):
        inner.field.add(name=one, number=number, label=1, type=9)
    return f"{message.name}.{name}"


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number)
    is_many = kind == "map" or kind.startswith("repeated ")
    field.label = field.LABEL_REPEATED if is_many else field.LABEL_OPTIONAL
    if kind.startswith("oneof "):
        field.oneof_index = 0
    what = _add_map_entry(message, name) if kind == "map" else kind.rpartition(" ")[2]
    if what in _SCALARS:
        field.type = getattr(field, f"TYPE_{what.upper()}")
        return
    field.type = field.TYPE_ENUM if what in ENUMS else field.TYPE_MESSAGE
    field.type_name = f".{PACKAGE}.{what}"


def file_descriptor() -> Any:
    """Make the FileDescriptorProto of ``cilium.proto`` from the tables."""
    file = _protobuf("descriptor_pb2").FileDescriptorProto(
        name="cilium.proto", package=PACKAGE, syntax="proto3"
    )
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
        if any(kind.startswith("oneof ") for _, kind in fields.values()):
            message.oneof_decl.add(name=_ONEOF)
    return file


def message_class() -> Any:
    """Make the class of ``cilium.LogEntry``; Refusal without the protobuf runtime."""
    pool = _protobuf("descriptor_pool").DescriptorPool()
    pool.AddSerializedFile(file_descriptor().SerializeToString())
    found = pool.FindMessageTypeByName(f"{PACKAGE}.LogEntry")
    return _protobuf("message_factory").GetMessageClass(found)


class Decoder:
    """Turns packets into entries."""

    def __init__(self) -> None:
        """Refusal without the protobuf runtime."""
        self._message = message_class()
        self._error: type[Exception] = _protobuf("message").DecodeError

    def __call__(self, packet: bytes) -> Entry:
        """
        Decode one packet; Unreadable when it is no LogEntry.

        Fields that the packet lacks are absent. What only Cilium knows stands under ``cilium``.
        """
        try:
            message = self._message.FromString(packet)
        except self._error as error:
            raise Unreadable(str(error)) from error
        if not 0 <= message.entry_type < len(_KINDS):
            raise Unreadable(f"entry_type {message.entry_type} is none of {', '.join(_KINDS)}")
        return _entry(message)


def _entry(message: Any) -> Entry:
    kind = _KINDS[message.entry_type]
    http = message.http if message.HasField("http") else None
    entry: Entry = {
        "kind": kind,
        "time_unix_nano": message.timestamp,
        **(_request_line(http) if http else {}),
    }
    if http and kind == "response":
        entry["response_code"] = http.status
    entry["downstream_remote_address"] = message.source_address
    entry["downstream_local_address"] = message.destination_address
    if http:
        entry["response_headers" if kind == "response" else "request_headers"] = _map(http.headers)
        entry["rejected"] = [[one.key, one.value] for one in http.rejected_headers]
        entry["missing"] = [[one.key, one.value] for one in http.missing_headers]
    entry.update(_other(message))
    entry = {key: value for key, value in entry.items() if value not in ("", None, [])}
    return {**entry, "cilium": {name: getattr(message, name) for name in _OWN}}


def _request_line(http: Any) -> Entry:
    known = 0 <= http.http_protocol < len(_PROTOCOLS)
    ids = (one.value for one in http.headers if one.key == "x-request-id")
    return {
        "request_id": next(ids, ""),
        "protocol": _PROTOCOLS[http.http_protocol] if known else "",
        "method": http.method,
        "scheme": http.scheme,
        "authority": http.host,
        "path": http.path,
    }


def _map(headers: Iterable[Any]) -> dict[str, str | list[str]]:
    """Give headers as our entries do: an array for a name that came more than once."""
    found: dict[str, list[str]] = {}
    for one in headers:
        found.setdefault(one.key, []).append(one.value)
    return {key: values if len(values) > 1 else values[0] for key, values in found.items()}


def _other(message: Any) -> Entry:
    """Give what entries of other protocols hold; our sink writes none."""
    if message.HasField("kafka"):
        names = [name for name in MESSAGES["KafkaLogEntry"] if name != "topics"]
        numbers = {name: getattr(message.kafka, name) for name in names}
        return {"kafka": {**numbers, "topics": list(message.kafka.topics)}}
    if message.HasField("generic_l7"):
        inner = message.generic_l7
        return {"l7": {"proto": inner.proto, "fields": dict(inner.fields)}}
    return {}
