# SPDX-License-Identifier: Apache-2.0
"""What the shared object shows to the loader: the hooks, cffi's entry, and weak newer callbacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .builds import Build, build_stub, tool
from .header import HOOK_PREFIX, OLDEST, read_header, read_table

HEADER = read_header()
FUNCTIONS = read_table()["functions"]
CALLBACK = "envoy_dynamic_module_callback_"
CFFI_ENTRY = "PyInit__abi"

# Without one of these, Envoy does not load a module (found by removing one at a time).
MANDATORY = (
    "program_init",
    "http_filter_config_new",
    "http_filter_config_destroy",
    "http_filter_new",
    "http_filter_destroy",
    "http_filter_request_headers",
    "http_filter_request_body",
    "http_filter_request_trailers",
    "http_filter_response_headers",
    "http_filter_response_body",
    "http_filter_response_trailers",
    "http_filter_stream_complete",
    "http_filter_http_callout_done",
    "http_filter_scheduled",
    "http_filter_http_stream_headers",
    "http_filter_http_stream_data",
    "http_filter_http_stream_trailers",
    "http_filter_http_stream_complete",
    "http_filter_http_stream_reset",
    "http_filter_downstream_above_write_buffer_high_watermark",
    "http_filter_downstream_below_write_buffer_low_watermark",
)


def dynamic_symbols(path: Path) -> dict[str, str]:
    """Return the letter that nm gives each dynamic symbol: T defined, U wanted, w wanted weakly."""
    lines = subprocess.run(
        [tool("nm"), "--dynamic", path], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    letters = dict(line.split()[-2:][::-1] for line in lines)
    return {name.split("@")[0]: letter for name, letter in letters.items()}


@pytest.fixture(scope="module")
def symbols(plain_build: Build) -> dict[str, str]:
    """Read the symbols of the shared object as a wheel has it."""
    return dynamic_symbols(plain_build.module)


def test_it_exports_the_hooks_and_nothing_else(symbols: dict[str, str]) -> None:
    """Every hook of the header, the entry of cffi's module, not one name more."""
    exported = {name for name, letter in symbols.items() if letter not in "Uwv"}
    assert HEADER.hooks() | {CFFI_ENTRY} == exported


def test_no_mandatory_hook_is_missing(symbols: dict[str, str]) -> None:
    """What every supported Envoy insists on is there, as code."""
    assert {HOOK_PREFIX + name: "T" for name in MANDATORY} == {
        HOOK_PREFIX + name: symbols.get(HOOK_PREFIX + name) for name in MANDATORY
    }


def test_callbacks_that_some_host_lacks_are_weak(symbols: dict[str, str]) -> None:
    """A callback newer than 1.38 is wanted weakly, an older one strongly; none is unknown."""
    wanted = {name: letter for name, letter in symbols.items() if name.startswith(CALLBACK)}
    newer = {name for name in wanted if OLDEST not in FUNCTIONS[name]["envoy"]}
    assert {name: "w" if name in newer else "U" for name in wanted} == wanted


def test_binding_is_lazy_and_the_code_stays(plain_build: Build) -> None:
    """NODELETE: dlclose leaves it mapped. No BIND_NOW: an older host's gaps do no harm."""
    dynamic = subprocess.run(
        [tool("readelf"), "--dynamic", "--wide", plain_build.module],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    flags = " ".join(line for line in dynamic.splitlines() if "FLAGS" in line)
    assert "NODELETE" in flags
    assert "NOW" not in flags
    assert "BIND_NOW" not in dynamic


@pytest.mark.parametrize("release", ["1.38", "1.39", "1.40"])
def test_the_stub_host_has_what_that_envoy_has(plain_build: Build, release: str) -> None:
    """The stub host exports the callbacks of the header that this release has, no newer ones."""
    has = {
        name
        for name, letter in dynamic_symbols(build_stub(plain_build.sanitize, release)).items()
        if name.startswith(CALLBACK)
        and letter in "TW"  # a weak declaration makes a weak definition
    }
    real = {
        name
        for name, row in FUNCTIONS.items()
        if row["kind"] == "callback" and any(v.startswith(release) for v in row["envoy"])
    }
    assert HEADER.functions.keys() & real <= has
    assert set() == has - real
