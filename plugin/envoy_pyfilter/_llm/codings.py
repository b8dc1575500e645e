# SPDX-License-Identifier: Apache-2.0
"""
Content codings, taken off chunk by chunk.

What comes out is given in pieces, so that no chunk can fill the memory, and not more of it than a
multiple of what went in, so that none can keep a worker busy.
"""

from __future__ import annotations

import contextlib
import importlib
import zlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE: Final = 1 << 16
FREE: Final = 1 << 20  # bytes that may come out whatever went in
RATIO: Final = 100  # bytes that may come out for each that went in, beyond these
_ZSTD_WINDOW: Final = 23  # the largest that RFC 9659 allows for this coding, as a power of two
_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib: with gzip's header


class BrokenCoding(ValueError):  # noqa: N818 (says what it is)
    """The bytes are not what the coding says."""


class GrowsTooMuch(ValueError):  # noqa: N818 (the same)
    """More came out than is let out."""


class Coding:
    """
    One body's coding: ``decode`` gives what each chunk holds.

    *steps* makes the steps of one frame: a function that takes a chunk and gives a piece at a
    time. A body may have several frames, one behind the other.
    """

    __slots__ = ("_error", "_left", "_steps")

    def __init__(self, steps: Callable[[bytes], Iterator[bytes]], error: type[Exception]) -> None:
        """*error*: what the library raises."""
        self._steps = steps
        self._error = error
        self._left = FREE

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Give what *data* holds; ``BrokenCoding`` or ``GrowsTooMuch`` end it."""
        self._left += RATIO * len(data)
        try:
            for piece in self._steps(data):
                self._left -= len(piece)
                if self._left < 0:
                    raise GrowsTooMuch("it grows too much when it is decompressed")
                if piece:
                    yield piece
        except self._error as error:
            raise BrokenCoding(str(error)) from None


def _gzip() -> Coding:
    made = [zlib.decompressobj(_GZIP)]

    def steps(data: bytes) -> Iterator[bytes]:
        while data:
            piece = made[0].decompress(data, PIECE)
            yield piece
            data = made[0].unconsumed_tail
            while len(piece) == PIECE and not data and not made[0].eof:
                piece = made[0].decompress(b"", PIECE)
                yield piece
            if made[0].eof:
                data = made[0].unused_data
                made[0] = zlib.decompressobj(_GZIP)

    return Coding(steps, zlib.error)


def _brotli(library: Any) -> Coding:
    made = library.Decompressor()

    def steps(data: bytes) -> Iterator[bytes]:
        yield made.process(data, output_buffer_limit=PIECE)
        while not made.can_accept_more_data():
            yield made.process(b"", output_buffer_limit=PIECE)

    return Coding(steps, library.error)


def _zstd(library: Any) -> Coding:
    options = {library.DecompressionParameter.window_log_max: _ZSTD_WINDOW}
    made = [library.ZstdDecompressor(options=options)]

    def steps(data: bytes) -> Iterator[bytes]:
        while data:
            yield made[0].decompress(data, PIECE)
            while not (made[0].needs_input or made[0].eof):
                yield made[0].decompress(b"", PIECE)
            data = b""
            if made[0].eof:
                data = made[0].unused_data
                made[0] = library.ZstdDecompressor(options=options)

    return Coding(steps, library.ZstdError)


_LIBRARIES: Final = {
    "br": (("brotli",), _brotli),
    "zstd": (("compression.zstd", "backports.zstd"), _zstd),  # the first is Python's own, from 3.14
}
_MISSING: Final = "its library is not installed: pip install 'envoy-pyfilter[llm]'"


def available() -> dict[str, Callable[[], Coding] | str]:
    """
    Give each coding that is known: how it is made, or why it cannot be.

    Imports the libraries, so it is nothing for a worker.
    """
    found: dict[str, Callable[[], Coding] | str] = {"gzip": _gzip, "x-gzip": _gzip}
    for coding, (modules, make) in _LIBRARIES.items():
        library = _imported(modules)
        found[coding] = _MISSING if library is None else _bound(make, library)
    return found


def _bound(make: Callable[[Any], Coding], library: Any) -> Callable[[], Coding]:
    return lambda: make(library)


def _imported(modules: tuple[str, ...]) -> Any:
    for name in modules:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return None
