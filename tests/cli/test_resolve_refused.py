# SPDX-License-Identifier: Apache-2.0
"""``resolve``: each mistake with its words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .command import PATIENCE, command
from .operator_document import DOCUMENT, resolve

TWICE = "{aliases: [{alias: a, filter: x, kind: lua},\n {alias: a, filter: y, kind: lua}]}"
ALIAS_FILES = {
    "an alias twice": (
        TWICE,
        (
            "g:2: error: aliases[1].alias: a is the alias of aliases[0], too; one entry may list "
            "several filters"
        ),
    ),
    "an alias with a colon": (
        "aliases:\n  - {alias: 'a:b', filter: x, kind: lua}",
        "g:2: error: aliases[0]: alias 'a:b' has a colon, which ends it",
    ),
    "no kind": (
        "aliases: [{alias: a, filter: x}]",
        (
            "g:1: error: aliases[0].kind: missing; expected ext_proc, ext_authz, dynamic_module, "
            "lua or wasm"
        ),
    ),
    "no such kind": (
        "aliases: [{alias: a, filter: x, kind: rust}]",
        (
            'g:1: error: aliases[0].kind: unknown value, got "rust"; expected ext_proc, ext_authz, '
            "dynamic_module, lua, wasm or null"
        ),
    ),
    "an unknown key": (
        "aliases: [{alis: a, filter: x}]",
        "g:1: error: aliases[0].alis: unknown key; did you mean alias?",
    ),
    "a key twice": (
        "aliases:\n  - alias: a\n    alias: b",
        "g:3: error: aliases[0].alias: line 2 has this key, too",
    ),
    "a list": (
        "[]",
        "g: no alias file; expected {aliases: [{alias: NAME, filter: FILTER}, ...]}",
    ),
    "an empty file": (
        "",
        "g: no alias file; expected {aliases: [{alias: NAME, filter: FILTER}, ...]}",
    ),
    "no YAML": ("a: [", "g:1: error: no YAML: expected the node content, but found '<stream end>'"),
}


@pytest.mark.parametrize("case", ALIAS_FILES)
def test_bad_alias_file(case: str, tmp_path: Path) -> None:
    """A mistake in the alias file, in one sentence with its line."""
    text, message = ALIAS_FILES[case]
    (tmp_path / "g").write_text(text)
    done = resolve(tmp_path, DOCUMENT, "--aliases", "g")

    assert (1, "", f"envoy-pyfilter: {message}\n") == (done.returncode, done.stdout, done.stderr)


NONE = "f: no configuration of Envoy; expected a bootstrap, a listener, routes or a dump of them"
DOCUMENTS = {
    "no configuration": ("a: 1", NONE),
    "a list of other things": ("- a\n- b", NONE),
    "an empty file": ("", NONE),
    "a text": ("hello", NONE),
    "a key twice": (
        "admin: {}\nstatic_resources:\n  clusters: []\n  clusters: []\n",
        "f:4: error: static_resources.clusters: line 3 has this key, too",
    ),
    "a key twice in JSON": (
        '{"admin": {},\n "admin": {}}',
        "f:2: error: admin: line 1 has this key, too",
    ),
    "no YAML": ("a: [\nb", "f:2: error: no YAML: expected ',' or ']', but got '<stream end>'"),
    "too deep": ("[" * 5000, "f: nested too deeply"),
    "one text for two meanings": (
        (
            "x: &f '%EG_EXT_FILTER_STATE(script:PLAIN)%'\n"
            + DOCUMENT.replace("FORMAT", "*f")
            + "access_log:\n  - typed_config:\n"
            + '      "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.'
            + "StdoutAccessLog\n      log_format: {text_format: *f}\n"
        ),
        (
            "f:1: access_log[0].typed_config.log_format.text_format: this text is used in several "
            "places, in which it means different filters; write it out in each"
        ),
    ),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_bad_document(case: str, tmp_path: Path) -> None:
    """A mistake in the configuration, in one sentence with its line."""
    text, message = DOCUMENTS[case]
    done = resolve(tmp_path, text)

    assert (1, "", f"envoy-pyfilter: {message}\n") == (done.returncode, done.stdout, done.stderr)


ARGUMENTS = {
    "profile": (["--profile", "eg-v2"], "eg-v2: unknown profile; known: strict, eg-v1, eg-v3"),
    "marker": (["--unknown", "a\nb"], r"'a\nb': expected text without control characters"),
    "no marker": (["--unknown", ""], "'': expected text without control characters"),
    "release": (["--for-envoy", "new"], "new: expected a release of Envoy, such as 1.40"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_bad_argument(case: str, tmp_path: Path) -> None:
    """An argument that cannot be used is named."""
    arguments, message = ARGUMENTS[case]
    done = resolve(tmp_path, DOCUMENT, *arguments)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.endswith(f"argument {arguments[0]}: {message}\n")


def test_no_room(tmp_path: Path) -> None:
    """A stdout that takes nothing is told of in one sentence."""
    (tmp_path / "f").write_text(DOCUMENT)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "envoy_pyfilter", "resolve", "f"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    said = done.stderr.splitlines()[-1]
    assert (1, "envoy-pyfilter: stdout takes no more: No space left on device") == (
        done.returncode,
        said,
    )
    assert "Traceback" not in done.stderr


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there."""
    done = command("resolve", "nothing", cwd=tmp_path)

    assert "envoy-pyfilter: nothing: No such file or directory\n" == done.stderr
