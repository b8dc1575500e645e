# SPDX-License-Identifier: Apache-2.0
"""
What a hook reads comes with its crossing: here the names are learned (``abi/reads.h``).

The first time that a hook of a config asks for a header or an attribute, the proxy is asked, and
the name joins the hook's list. From the next stream on its value is among those that the hook is
given, and nobody is asked. A list is bounded, so names that a filter takes from its traffic cannot
fill the memory; what did not join is asked for as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ._host import HeaderMap
from ._problems import problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._text import Text

Given: TypeAlias = "list[bytes] | dict[int, bytes]"
"""
What came with a hook, by place: a list where the stream has all of it.

In a dict there is ``~place`` instead of the place of each value that the stream does not have. What
another hook, or this one, learned since is in neither.
"""

ABSENT: Final = b"\r"  # stands for what a stream does not have
_REQUEST: Final = HeaderMap.REQUEST_HEADERS
_RESPONSE: Final = HeaderMap.RESPONSE_HEADERS
ABSENT_BYTE: Final = ABSENT[0]  # what is no int is looked for by way of an exception
_MOST: Final = 64  # spellings of a hook's names

VARIABLE: Final = "ENVOY_PYFILTER_READS"
"""In Envoy's environment: ``off`` lets hooks ask Envoy for each thing that they read."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether hooks are to be given what they read."""
    said = environment.get(VARIABLE) or "on"
    if said not in ("on", "off"):
        raise problem(
            VARIABLE, "an unknown value in the environment", got=said, expected="on or off"
        )
    return said == "on"


class HookReads:
    """
    What one hook of one config reads: the place of each value in what comes with the crossing.

    Headers are found as the filter spells them, so a name that was checked once is not looked at
    again. All workers share this, and add to it; what is in it never changes.
    """

    __slots__ = ("_add", "attributes", "request_headers", "response_headers")

    def __init__(self, add: Callable[[int, int, bytes], int]) -> None:
        """Begin empty; *add* takes a source, an attribute's number and a name: the place, or -1."""
        self._add = add
        self.request_headers: dict[Text, int] = {}
        self.response_headers: dict[Text, int] = {}
        self.attributes: dict[str, int] = {}

    def learn_header(self, header_map: HeaderMap, spelling: Text, name: bytes) -> None:
        """Take a header's name into the list, if there is room; trailers are always asked for."""
        if header_map == _REQUEST:
            places = self.request_headers
        elif header_map == _RESPONSE:
            places = self.response_headers
        else:
            return
        if type(spelling) in (str, bytes) and len(places) < _MOST:
            place = self._add(header_map, 0, name)
            if place >= 0:
                places[spelling] = place

    def learn_attribute(self, name: str, source: int, number: int) -> None:
        """Take an attribute into the list, if there is room."""
        place = self._add(source, number, b"")
        if place >= 0:
            self.attributes[name] = place


def without_absent(values: list[bytes]) -> dict[int, bytes]:
    """Give the values of a row of which the stream does not have all."""
    return {
        ~place if value == ABSENT else place: value  # never empty, as a row that is over is
        for place, value in enumerate(values)
    }


def is_absent(given: Given, place: int | None) -> bool:
    """Whether the row tells that the stream has no value there; *place*: None for what has none."""
    return place is not None and isinstance(given, dict) and ~place in given
