# SPDX-License-Identifier: Apache-2.0
"""``resolve``: what it writes, what it says; ``run``, ``config`` and ``check`` with operators."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy_pyfilter._operator.rewrite import Options, apply, changes, rewrite
from hypothesis import given
from hypothesis import strategies as st

from .bootstraps import fetch
from .command import COMMAND, ENVIRONMENT, RELEASES, ROOT, Running, command
from .operator_document import DOCUMENT, KEY, LINE, META, UNKNOWN, op, resolve

# How the file writes a format, what it becomes, and where a warning points to (line and column
# beside those of the key).
SCALARS = {
    "double quotes": (f'"é {op("script:user")}"', f'"é {META}"', None),
    "single quotes": (f"'it''s {op('script:user')}'", f'"it\'s {META}"', None),
    "plain": (f"user {op('script:user')} # why", f'"user {META}" # why', None),
    "escapes": (f'"\\t\\u00e9\\n{op("script:user")}"', f'"\\té\\n{META}"', None),
    "a block": (
        f"|\n                      user {op('script:user')}\n                      end",
        f'"user {META}\\nend\\n"',
        None,
    ),
    "a folded block": (
        f">-\n                      user\n                      {op('script:user')}",
        f'"user {META}"',
        None,
    ),
    "an anchor": (f'&a "{op("script:user")}"', f'&a "{META}"', None),
    "a tag": (f'!!str "{op("script:user")}"', f'!!str "{META}"', None),
    "a warning": (f'"a {op("x:y")}"', '"a -"', (0, 39)),
    "a warning after an escape": (f'"\\"\\u00e9 {op("x:y")}"', '"\\"é -"', (0, 46)),
    "a warning in a later line": (
        f"|-\n                      a\n                      b {op('x:y')}",
        '"a\\nb -"',
        (2, 25),
    ),
    "a percent sign that is escaped": (f'"\\x25 a {op("x:y")[:-1]}%"', '"%% a -"', (0, 36)),
}


@pytest.mark.parametrize("case", SCALARS)
def test_scalars(case: str, tmp_path: Path) -> None:
    """Only the scalar is written anew, however the file writes it."""
    given, expected, place = SCALARS[case]
    done = resolve(tmp_path, DOCUMENT.replace("FORMAT", given))

    assert DOCUMENT.replace("FORMAT", expected) == done.stdout
    value = yaml.safe_load(done.stdout)
    assert yaml.safe_load(f"a: {expected}")["a"] == _format(value)
    if place is not None:
        line, column = LINE + 1 + place[0], place[1]
        assert f"f:{line}:{column}: warning: {KEY}: {UNKNOWN}" in done.stderr.splitlines()


def _format(value: Any) -> str:
    manager = value["filter_chains"][0]["filters"][0]["typed_config"]
    source = manager["access_log"][0]["typed_config"]["log_format"]["text_format_source"]
    return str(source["inline_string"])


@pytest.mark.parametrize("indent", [None, 2])
def test_json(indent: int | None, tmp_path: Path) -> None:
    """JSON stays JSON, with its blanks; characters outside of the first plane come in pairs."""
    value = yaml.safe_load(DOCUMENT.replace("FORMAT", f'"\\U0001F600 {op("script:user")}"'))
    text = json.dumps(value, indent=indent)
    done = resolve(tmp_path, text)

    assert text.replace(op("script:user"), META) == done.stdout
    assert f"\U0001f600 {META}" == _format(json.loads(done.stdout))


def test_nothing_to_do(tmp_path: Path) -> None:
    """A configuration without an operator is given back byte for byte."""
    text = DOCUMENT.replace("FORMAT", '"100% sure"  \n\n# end')

    assert (0, text, "") == (
        (done := resolve(tmp_path, text)).returncode,
        done.stdout,
        done.stderr,
    )


TEXTS = st.lists(
    st.sampled_from(
        [
            *("a", " ", "\n", "%%", "'", '"', "\\", "é", "\t", ": ", "# ", "\x85", "- ", "\u2028"),
            *("\U0001f600", "word " * 20, "%PROTOCOL%", op("script:user"), op("x:y")),
        ]
    ),
    max_size=8,
).map("".join)


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=4),
    style=st.sampled_from([None, '"', "'", "|", ">"]),
    flow=st.booleans(),
    width=st.sampled_from([20, 100]),
)
def test_however_it_is_written(
    texts: list[str], *, style: str | None, flow: bool, width: int
) -> None:
    """What the new text says is what the old one said, with other formats."""
    value = yaml.safe_load(DOCUMENT)
    log = value["filter_chains"][0]["filters"][0]["typed_config"]["access_log"][0]
    log["typed_config"]["log_format"] = {"json_format": dict(enumerate(texts))}
    text = yaml.safe_dump(
        value, default_style=style, default_flow_style=flow, width=width, allow_unicode=True
    )
    value = yaml.safe_load(text)
    new, remarks = rewrite(Path("f"), text, Options())

    assert apply(value, changes(value, Options())) == yaml.safe_load(new)
    lines = text.split("\n")
    for one in remarks:
        assert "%" == lines[one.line - 1][one.column - 1]


def test_line_ends(tmp_path: Path) -> None:
    """Lines end as they did."""
    text = DOCUMENT.replace("FORMAT", f'"{op("script:user")}"').replace("\n", "\r\n")
    (tmp_path / "f").write_bytes(text.encode())
    done = command("resolve", "f", cwd=tmp_path)

    assert text.replace(op("script:user"), META) == done.stdout


def test_stdin() -> None:
    """Without a file the text comes from stdin."""
    text = DOCUMENT.replace("FORMAT", f'"{op("x:y")}"')
    done = subprocess.run(
        [*COMMAND, "resolve"],
        input=text,
        env=ENVIRONMENT,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert DOCUMENT.replace("FORMAT", '"-"') == done.stdout
    assert f"<stdin>:{LINE + 1}:37: warning: {KEY}: {UNKNOWN}\n" == done.stderr


def test_nobody_reads(tmp_path: Path) -> None:
    """A reader that goes away, as ``head`` does, ends the command without a traceback."""
    (tmp_path / "f").write_text(DOCUMENT)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "resolve", "f"],
        env=ENVIRONMENT,
        cwd=tmp_path,
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(write)

    assert (1, b"") == (done.returncode, done.stderr)


def test_options(tmp_path: Path) -> None:
    """The alias file, a marker, an older release."""
    aliases = tmp_path / "aliases"
    aliases.write_text(
        "aliases: [{alias: two, kind: lua, filter: [a, b], namespace: n, state: {x: k}}]"
    )
    text = DOCUMENT.replace("FORMAT", f'"{op("two:PLAIN")} {op("two:x")} {op("y:z")}"')
    done = resolve(
        tmp_path, text, "--aliases", aliases, "--unknown", "<{name}>", "--for-envoy", "1.36"
    )

    assert '"%FILTER_STATE(a:PLAIN)% %FILTER_STATE(k:PLAIN)% <y>"' in done.stdout
    assert [
        "'two' stands for 2 filters, and there is no COALESCE here; only the first is read",
        "nothing is known as 'y'; written as <y>",
    ] == [line.split(": ", 3)[3] for line in done.stderr.splitlines()]
    assert "%COALESCE(" in resolve(tmp_path, text, "--aliases", aliases).stdout


def test_profiles(tmp_path: Path) -> None:
    """The profiles of Envoy Gateway write other things."""
    raw = op("x:y:PLAIN:64")
    text = DOCUMENT.replace("FORMAT", f'"{raw}"').replace(
        "stream.v3.StdoutAccessLog", "file.v3.FileAccessLog"
    )

    assert '"-"' in resolve(tmp_path, text, "--profile", "eg-v1").stdout
    assert raw in resolve(tmp_path, text, "--profile", "eg-v3").stdout


def test_no_warnings(tmp_path: Path) -> None:
    """With ``--no-warnings`` a name that cannot be resolved is an error."""
    text = DOCUMENT.replace("FORMAT", f'"{op("x:y")}"')
    done = resolve(tmp_path, text, "--no-warnings")

    assert (1, "") == (done.returncode, done.stdout)
    assert f"f:{LINE + 1}:37: warning: {KEY}: {UNKNOWN}\n" == done.stderr


def test_config(tmp_path: Path) -> None:
    """``config`` prints a bootstrap whose formats are resolved."""
    done = command(
        "config",
        "--bootstrap",
        *("--set", "state={access.tokens: '%RESP(x-tokens)%'}"),
        *("--access-log", f"{op('access:tokens')} {op('x:y')}"),
        cwd=tmp_path,
    )
    (listener,) = yaml.safe_load(done.stdout)["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (log,) = manager["access_log"]

    assert (
        "%FILTER_STATE(access.tokens:PLAIN)% -\n"
        == (log["typed_config"]["log_format"]["text_format_source"]["inline_string"])
    )
    assert done.stderr.endswith(f"{UNKNOWN}\n")


def test_check(tmp_path: Path) -> None:
    """``check`` asks Envoy about what ``run`` would give it."""
    made = command("config", "--bootstrap", "--access-log", "%PROTOCOL%").stdout
    file = tmp_path / "f.yaml"
    file.write_text(made.replace("%PROTOCOL%", op("access:tokens")))
    done = command("check", "f.yaml", "--envoy", RELEASES[0], cwd=tmp_path)

    assert (0, "f.yaml: nothing to complain about\n", "") == (
        done.returncode,
        done.stdout,
        done.stderr,
    )


def test_run(start: Callable[..., Running], release: str) -> None:
    """``run`` shows what the filter learned, in Envoy's own access log, by the filter's name."""
    running = start(
        *("run", "--envoy", release),
        *("--set", "state={access.words: '%RESP(x-ai-input-tokens)%'}"),
        *("--access-log", f"told {op('access:words')} of {op('access:PLAIN')}"),
    )
    fetch(running.url(), "/", body="one two three")

    assert 0 == running.end()
    assert "told 3 of -" in running.err.splitlines()
