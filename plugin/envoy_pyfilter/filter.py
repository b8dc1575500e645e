# SPDX-License-Identifier: Apache-2.0
"""The class that users write: one instance for each filter config."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import logging
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar

import msgspec

from ._statistics import StatisticsConfig  # noqa: TC001 (msgspec looks it up)
from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._reads import HookReads
    from .metrics import Metric
    from .stream import Stream
    from .verdict import LocalReply, Verdict


log: Final = logging.getLogger("envoy_pyfilter")
_F = TypeVar("_F", bound="Filter")  # typing.Self is not in Python 3.10


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What every filter's config may hold; a filter's own ``Config`` extends it.

    *instance* names the filter's stats and metadata (empty: the registered name, or the class's).
    *on_error* says what happens to a stream whose hook raised. *python_path* lists folders that
    are searched for modules first. *statistics* asks for what native ext_proc tells of its calls,
    told of the hooks (docs/statistics.md).
    """

    instance: str = ""
    on_error: Literal["deny", "allow"] = "deny"
    python_path: list[str] = []
    statistics: StatisticsConfig | None = None


class Filter:
    """
    A filter: override the hooks that you need, leave the others alone.

    One instance serves all streams of a filter config, on all workers, so what belongs to a stream
    lives in ``Stream.data``. Hooks run on Envoy's worker: they must not block. A hook that is not
    overridden costs nothing: Envoy's worker never enters Python for it.

    Order of calls: request headers, request body (any number of times), request trailers, the
    same of the response, stream complete. A local reply may come in between, and a stream may be
    complete without any of the others.

    Hooks return a verdict: ``PASS`` or ``None``, ``PAUSE``, ``BUFFER``, or a ``Reply``.
    """

    Config: ClassVar[type[Any]] = Config
    """The type of the filter's config: ``Config`` or a subclass of it."""

    RouteConfig: ClassVar[type[Any] | None] = None
    """The type of its per-route config; ``None`` when there is none."""

    config: Any
    """The decoded config."""

    _metric_ids: dict[Metric, int]
    _instance: str = ""
    _on_error: str = "deny"
    _learns: bool = True  # whether what its hooks read comes with their crossings; for tests
    _reads: Sequence[HookReads | None] = (None,) * 10  # by the hook's place in HOOKS

    def __new__(cls: type[_F], config: Any = None, *_: Any, **__: Any) -> _F:  # noqa: PYI019 (see _F)
        """Keep *config* even when a subclass does not call ``__init__`` of its base."""
        self = super().__new__(cls)
        self.config = config
        self._metric_ids = {}
        self._on_error = getattr(config, "on_error", "deny")
        return self

    def __init__(self, config: Any) -> None:
        """Keep *config*; called on Envoy's main thread while the config loads. May raise."""
        self.config = config

    def on_request_headers(self, stream: Stream, end_of_stream: bool) -> Verdict | None:
        """See the request's headers (ABI: ``on_http_filter_request_headers``)."""

    def on_request_body(self, stream: Stream, end_of_stream: bool) -> Verdict | None:
        """See a chunk of the request's body (ABI: ``on_http_filter_request_body``)."""

    def on_request_trailers(self, stream: Stream) -> Verdict | None:
        """See the request's trailers (ABI: ``on_http_filter_request_trailers``)."""

    def on_response_headers(self, stream: Stream, end_of_stream: bool) -> Verdict | None:
        """See the response's headers (ABI: ``on_http_filter_response_headers``)."""

    def on_response_body(self, stream: Stream, end_of_stream: bool) -> Verdict | None:
        """See a chunk of the response's body (ABI: ``on_http_filter_response_body``)."""

    def on_response_trailers(self, stream: Stream) -> Verdict | None:
        """See the response's trailers (ABI: ``on_http_filter_response_trailers``)."""

    def on_local_reply(self, stream: Stream, reply: LocalReply) -> None:
        """
        See an answer that Envoy or a filter, this one too, makes in the upstream's place.

        It cannot be changed here (ABI: ``on_http_filter_local_reply``).
        """

    def on_stream_complete(self, stream: Stream) -> None:
        """
        Look back on the stream, which is over (ABI: ``on_http_filter_stream_complete``).

        Access logs run after this hook, so what it writes into filter state and metadata is logged.
        """

    def on_downstream_above_high_watermark(self, stream: Stream) -> None:
        """
        Learn that the client reads too slowly.

        ABI: ``on_http_filter_downstream_above_write_buffer_high_watermark``.
        """

    def on_downstream_below_low_watermark(self, stream: Stream) -> None:
        """
        Learn that the client has caught up.

        ABI: ``on_http_filter_downstream_below_write_buffer_low_watermark``.
        """

    def on_config_destroy(self) -> None:
        """
        Clean up: no stream of this config is left. It may run on any thread.

        ABI: ``on_http_filter_config_destroy``.
        """

    def _config_destroyed(self) -> None:
        """Run ``on_config_destroy``; what it raises is logged."""
        try:
            self.on_config_destroy()
        except BaseException:
            with contextlib.suppress(BaseException):
                log.exception("on_config_destroy of %s raised", type(self).__qualname__)


HOOKS: Final = (
    "on_request_headers",
    "on_request_body",
    "on_request_trailers",
    "on_response_headers",
    "on_response_body",
    "on_response_trailers",
    "on_local_reply",
    "on_stream_complete",
    "on_downstream_above_high_watermark",
    "on_downstream_below_low_watermark",
)
"""The hooks of a stream; a hook's place is its bit in the mask (WANT_* of services.h)."""


def hooks_wanted(cls: type[Filter]) -> int:
    """
    Return the hooks that *cls* overrides, as a bit mask.

    Raises ``ConfigError`` for a hook that cannot be called: no function, ``async``, or with other
    parameters.
    """
    mask = 0
    for bit, name in enumerate(HOOKS):
        hook = getattr(cls, name)
        if hook is not getattr(Filter, name):
            _check_callable(cls, name, hook)
            mask |= 1 << bit
    return mask


def misspelt_hooks(cls: type[Filter]) -> list[tuple[str, str]]:
    """Return methods that nobody calls but whose names nearly are hooks', each with that hook."""
    known = [*HOOKS, "on_config_destroy"]
    found = []
    for name in dir(cls):
        if name.startswith("on_") and name not in known and callable(getattr(cls, name)):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
            found += [(name, hook) for hook in near]
    return found


def _check_callable(cls: type[Filter], name: str, hook: object) -> None:
    where = f"{cls.__qualname__}.{name}"
    if not callable(hook):
        raise ConfigError(f"{where}: expected a method, got {type(hook).__name__}")
    if inspect.iscoroutinefunction(hook) or inspect.isgeneratorfunction(hook):
        raise ConfigError(f"{where}: a hook is a plain method, not async and without yield")
    expected = inspect.signature(getattr(Filter, name))
    try:
        own = inspect.signature(hook)
    except ValueError:  # a builtin that does not tell
        return
    try:
        own.bind(*expected.parameters)
    except TypeError as error:
        raise ConfigError(f"{where}: expected the parameters {expected}, got {own}") from error
