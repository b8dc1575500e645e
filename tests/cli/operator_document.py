# SPDX-License-Identifier: Apache-2.0
"""A listener that logs with a format of the test's choice."""

from __future__ import annotations

from pathlib import Path

from .command import Done, command

TYPE = "type.googleapis.com/envoy.extensions"
MANAGER = f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"
DOCUMENT = f"""\
# A listener, with comments that stay.
name: in
filter_chains:
  - filters:
      - name: http
        typed_config:
          "@type": {MANAGER}
          http_filters:
            - {{name: script, typed_config: {{"@type": {TYPE}.filters.http.lua.v3.Lua}}}}
          access_log:
            - name: text
              typed_config:
                "@type": {TYPE}.access_loggers.stream.v3.StdoutAccessLog
                log_format:
                  text_format_source: # this too
                    inline_string: FORMAT
"""
KEY = (
    "filter_chains[0].filters[0].typed_config.access_log[0].typed_config.log_format"
    ".text_format_source.inline_string"
)
META = "%DYNAMIC_METADATA(envoy.filters.http.lua:user)%"
LINE = DOCUMENT.splitlines().index(next(one for one in DOCUMENT.splitlines() if "FORMAT" in one))
UNKNOWN = "nothing is known as 'x'; written as -"


def op(argument: str) -> str:
    """Write the operator."""
    return f"%EG_EXT_FILTER_STATE({argument})%"


def resolve(folder: Path, text: str, *arguments: str | Path) -> Done:
    """Resolve a text; messages name the file ``f``."""
    (folder / "f").write_text(text)
    return command("resolve", "f", *arguments, cwd=folder)


# How the file writes a format, what it becomes, and where a warning points to (line and column
