# SPDX-License-Identifier: Apache-2.0
"""Python's ``logging`` to Envoy's log (``envoy_dynamic_module_callback_log``)."""

from __future__ import annotations

import logging

from envoy_pyfilter._abi import lib
from envoy_pyfilter._callbacks.buffers import lent

# Python's levels from the top; a level in between counts as the next lower one.
_LEVELS = (
    (logging.CRITICAL, lib.envoy_dynamic_module_type_log_level_Critical),
    (logging.ERROR, lib.envoy_dynamic_module_type_log_level_Error),
    (logging.WARNING, lib.envoy_dynamic_module_type_log_level_Warn),
    (logging.INFO, lib.envoy_dynamic_module_type_log_level_Info),
    (logging.DEBUG, lib.envoy_dynamic_module_type_log_level_Debug),
)


def envoy_level(level: int) -> int:
    """Envoy's level for Python's *level*: debug, info, warning, error, critical; below: trace."""
    for lowest, envoy in _LEVELS:
        if level >= lowest:
            return int(envoy)
    return int(lib.envoy_dynamic_module_type_log_level_Trace)


class EnvoyLogHandler(logging.Handler):
    """
    Writes each record to Envoy's log, at Envoy's level, if that level is on there.

    Lines after the first are indented, so that no text from outside can pass for a log line.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; what Envoy would not print is not formatted."""
        level = envoy_level(record.levelno)
        if not lib.envoy_dynamic_module_callback_log_enabled(level):
            return
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 (a bad log call must not stop traffic)
            text = f"{record.name}: a log call of this logger failed: {record.msg!r}"
        lines = text.replace("\r", "\\r").replace("\0", "\\0").split("\n")
        data = "\n    ".join(lines).encode("utf-8", "backslashreplace")
        lib.envoy_dynamic_module_callback_log(level, lent(data))


def install() -> None:
    """Make Envoy's log the place where Python's root logger writes."""
    handler = EnvoyLogHandler()
    handler.setFormatter(logging.Formatter("[%(name)s] %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(1)  # Envoy decides what is printed, and can change it while it runs
