# SPDX-License-Identifier: Apache-2.0
"""Which entries ``tail`` shows, and what it knows of a response from its request's entry."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from envoy_pyfilter._console import WrongUse
from envoy_pyfilter._problems import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envoy_pyfilter._table import Entry

KINDS = ("request", "denied", "response")
REMEMBERED = 10_000  # requests whose response is awaited, as many as Hubble keeps
_STATUS = re.compile(r"([1-5])xx|([1-5]\d\d)(?:-([1-5]\d\d))?")


def _words(given: Iterable[str]) -> list[str]:
    return [word.strip() for one in given for word in one.split(",")]


def statuses(given: Iterable[str]) -> list[range]:
    """Read ``404``, ``5xx``, ``400-499``, and several with commas; WrongUse for anything else."""
    return [_status(word) for word in _words(given)]


def _status(word: str) -> range:
    found = _STATUS.fullmatch(word.lower())
    if found is None:
        raise WrongUse(f"--status {word}: expected 404, 5xx, 400-499, or several with commas")
    hundred, first, last = found.groups()
    if hundred:
        return range(int(hundred) * 100, int(hundred) * 100 + 100)
    if int(last or first) < int(first):
        raise WrongUse(f"--status {word}: the range ends before it begins")
    return range(int(first), int(last or first) + 1)


def kinds(given: Iterable[str]) -> list[str]:
    """Read kinds of entries; WrongUse for one that is none."""
    words = _words(given)
    for word in words:
        if word not in KINDS:
            raise WrongUse(f"--kind {word}: no such kind{suggestion(word, KINDS)}")
    return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for; an empty list asks for anything."""

    status: list[range]
    kind: list[str]
    method: list[str]
    host: list[str]
    path: list[str]

    def takes(self, entry: Entry) -> bool:
        """Tell whether an entry is what is asked for; what it does not have matches nothing."""
        code = entry.get("response_code")
        method, host = str(entry.get("method", "")), str(entry.get("authority", ""))
        path = str(entry.get("path", ""))
        return (
            (not self.kind or entry.get("kind") in self.kind)
            and (not self.status or any(code in one for one in self.status))
            and (not self.method or method.upper() in self.method)
            and _any_glob(self.host, {host.lower(), _without_port(host.lower())})
            and _any_glob(self.path, {path, path.partition("?")[0]})
        )


def wanted(
    *,
    status: Iterable[str],
    kind: Iterable[str],
    method: Iterable[str],
    host: Iterable[str],
    path: Iterable[str],
) -> Wanted:
    """Read the command's filters; WrongUse for what cannot be read."""
    return Wanted(
        status=statuses(status),
        kind=kinds(kind),
        method=[one.upper() for one in _words(method)],
        host=[one.lower() for one in host],
        path=list(path),
    )


def _any_glob(globs: list[str], texts: set[str]) -> bool:
    return not globs or any(fnmatchcase(text, glob) for glob in globs for text in texts)


def _without_port(host: str) -> str:
    return re.sub(r":\d+$", "", host)


class Pairs:
    """Finds the request's entry of a response, to tell how long it took."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        """*remembered*: how many requests are kept at most; the oldest are forgotten."""
        self._remembered = remembered
        self._started: OrderedDict[str, int] = OrderedDict()

    def add_times(self, entry: Entry) -> None:
        """
        Give a response its ``start_time_unix_nano`` and ``duration_us`` where it has none.

        They come from the request's entry with the same ``request_id``. A response that is older
        than its request gets none.
        """
        name, time = entry.get("request_id"), entry.get("time_unix_nano")
        if not isinstance(name, str) or not isinstance(time, int) or name == "[redacted]":
            return
        if entry.get("kind") != "response":
            self._started[name] = time
            self._started.move_to_end(name)
            if len(self._started) > self._remembered:
                self._started.popitem(last=False)
            return
        started = self._started.pop(name, time + 1)
        if started <= time and "duration_us" not in entry:
            entry["start_time_unix_nano"] = started
            entry["duration_us"] = (time - started) // 1000
