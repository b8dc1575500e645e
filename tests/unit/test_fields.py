# SPDX-License-Identifier: Apache-2.0
"""The entry's fields are written down in Python, in C and in the docs: the same everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import msgspec
from envoy_pyfilter.fields import (
    ATTRIBUTES,
    ENTRY_FIELDS,
    FILTER_FIELDS,
    LOGGER_FIELDS,
    ONLY_FILTER,
    ONLY_LOGGER,
    OPERATORS,
    STATE_FIELDS,
)
from envoy_pyfilter.record import Record

ROOT = Path(__file__).parents[2]


class InC(NamedTuple):
    """A field as C declares it."""

    name: str
    type: str
    when: str
    since: str


def in_c() -> list[InC]:
    """Return the fields in ``abi/entry.h``, in order."""
    text = (ROOT / "abi" / "entry.h").read_text()
    found = re.findall(r"^  X\((\w+), FIELD_(\w+), FROM_(\w+), (\d+)\)", text, re.MULTILINE)
    return [InC(*field) for field in found]


def of_logger() -> list[str]:
    """Return the fields that C asks of an access logger alone, in order."""
    text = (ROOT / "abi" / "logger_fields.c").read_text()
    table = text.partition("LOGGER_FIELDS[] = {")[2].partition("\n};")[0]
    return re.findall(r"^    \{?[A-Z_]+\((\w+)", table, re.MULTILINE)


def test_record_has_the_fields() -> None:
    """A ``Record`` has the entry's fields, in their order."""
    assert ENTRY_FIELDS == Record.__struct_fields__


def test_c_has_the_fields() -> None:
    """C writes the same fields in the same order; it knows milliseconds for formats only."""
    assert list(FILTER_FIELDS) == [field.name for field in in_c() if field.name != "duration_ms"]
    assert list(ONLY_LOGGER) == of_logger()


def test_whose_the_fields_are() -> None:
    """Each host has the fields of both and its own, in the entry's order."""
    assert [name for name in ENTRY_FIELDS if name not in ONLY_LOGGER] == list(FILTER_FIELDS)
    assert [name for name in ENTRY_FIELDS if name not in ONLY_FILTER] == list(LOGGER_FIELDS)


def test_c_has_the_fields_of_state() -> None:
    """C takes every field in a state format that we let through."""
    single = {field.name for field in in_c() if field.type not in {"HEADERS", "NOTES"}}
    assert set() == {*STATE_FIELDS, *OPERATORS.values()} - single


def test_names_of_envoy_lead_to_fields() -> None:
    """What we say of Envoy's attribute names names real fields, and no field is hidden by one."""
    assert set() == set(ATTRIBUTES.values()) - set(ENTRY_FIELDS)
    assert set() == set(ATTRIBUTES) & set(ENTRY_FIELDS)


def test_docs_have_the_fields() -> None:
    """``docs/entry.md`` has each field in order, with its kinds and first release as C has them."""
    text = (ROOT / "docs" / "entry.md").read_text()
    row = r"^\| `(\w+)` \| (all|response) \| [^|]+ \| 1\.(\d+) \|"
    kinds = {"REQUEST": "all", "RESPONSE": "response"}
    expected = [
        (field.name, kinds[field.when], field.since)
        for field in in_c()
        if field.name != "duration_ms"
    ]
    assert expected == re.findall(row, text, re.MULTILINE)


def test_docs_have_the_fields_of_an_access_logger() -> None:
    """They have a table of their own, in order."""
    text = (ROOT / "docs" / "entry.md").read_text()
    section = text.partition("## Fields of an access logger")[2].partition("\n## ")[0]
    table = section.partition("| field |")[2]
    assert list(ONLY_LOGGER) == re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_an_entry_becomes_a_record() -> None:
    """A line of JSON becomes a record; what a newer release adds is let through."""
    line = b"""{"kind":"response","time_unix_nano":1700000000000000001,"response_code":200,
        "response_headers":{"server":"envoy","set-cookie":["a","b"]},"denied":true,
        "notes":{"n":[1]},"rejected":[["x","1"]],"from_the_future":1}"""
    expected = Record(
        kind="response",
        time_unix_nano=1700000000000000001,
        response_code=200,
        response_headers={"server": "envoy", "set-cookie": ("a", "b")},
        denied=True,
        notes={"n": [1]},
        rejected=(("x", "1"),),
    )
    assert expected == msgspec.json.decode(line, type=Record)


def test_a_record_without_anything() -> None:
    """A field that the entry lacks is None, empty or false."""
    record = msgspec.json.decode(b"{}", type=Record)
    assert (None, {}, (), False) == (
        record.method,
        record.request_headers,
        record.rejected,
        record.invalid_utf8,
    )
