# SPDX-License-Identifier: Apache-2.0
"""What is taken out of Envoy's log when it refuses something."""

from __future__ import annotations

from envoy_pyfilter._envoy_log import complaints, not_bound

STAMP = "[2026-01-02 03:04:05.678][12]"


def test_complaints() -> None:
    """Errors count, warnings do not; a repeated one is told once, a traceback by its first line."""
    log = (
        f"{STAMP}[warning][main] [source/server/server.cc:1] look out\n"
        f"{STAMP}[error][dynamic_modules] [:] cannot import x\n    Traceback\n    KeyError\n"
        f"{STAMP}[critical][main] [source/server/server.cc:2] no start\n"
        f"{STAMP}[critical][main] [source/server/server.cc:3] no start\n"
    )

    assert ["cannot import x", "no start"] == complaints(log)


def test_dump() -> None:
    """The configuration that Envoy prints before its reason is left out."""
    log = (
        f"{STAMP}[critical][main] [a.cc:1] file 'f': goo.gle/debugstr  \na {{\n  b: 1\n}}\n: why\n"
    )

    assert ["file 'f': why"] == complaints(log)


UNBOUND = (
    f"{STAMP}[critical][main] [a.cc:1] error `cannot bind '127.0.0.1:80': Permission denied` "
    "initializing config 'goo.gle/debugproto   \n  /f.yaml'\ncannot bind '127.0.0.1:80': no\n"
)


def test_mark() -> None:
    """What Envoy puts before a text that is not to be parsed is left out."""
    text = "error `cannot bind '127.0.0.1:80': Permission denied` initializing config '/f.yaml'"

    assert [text] == complaints(UNBOUND)


def test_not_bound() -> None:
    """The address on which Envoy could not listen is told, unless something else is wrong."""
    assert ("127.0.0.1:80", "Permission denied") == not_bound(UNBOUND)
    assert not_bound(f"{UNBOUND}{STAMP}[critical][main] [a.cc:1] no start\n") is None
    assert not_bound("") is None


def test_nothing() -> None:
    """A log without errors, and text that is no log."""
    assert [] == complaints("")
    assert [] == complaints("hello\n[error] you\n")
