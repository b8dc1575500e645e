# SPDX-License-Identifier: Apache-2.0
"""What the image starts, without the image: which Envoy command comes of which arguments."""

from __future__ import annotations

import contextlib
import http.server
import json
import platform
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import yaml
from envoy_pyfilter import _container, _envoy, _health
from envoy_pyfilter._console import Refusal

from .command import ENVIRONMENT, RELEASES, ROOT, until
from .conftest import binary

DEMO = (ROOT / "envoy" / "image.yaml").read_text()
STDOUT_LOG = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
OTHER = {"x86_64": (b"\xb7\0", "aarch64")}.get(platform.machine(), (b"\x3e\0", "x86_64"))


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have the container's places in a folder, and an Envoy."""
    for name in ("filters", "own"):
        (tmp_path / name).mkdir()
    (tmp_path / "envoy.yaml").write_text(DEMO)
    monkeypatch.setattr(_container, "CONFIG", tmp_path / "envoy.yaml")
    monkeypatch.setattr(_container, "FILTERS", tmp_path / "filters")
    monkeypatch.setattr(_container, "_OWN", tmp_path / "own")
    monkeypatch.setattr(_health, "ADDRESS", tmp_path / "admin")
    with mock.patch.dict("os.environ", ENVIRONMENT):
        yield tmp_path


def command(*arguments: str) -> list[str]:
    """Give Envoy's arguments that come of the image's."""
    return _container.envoy_command(arguments)[1:]


def test_release() -> None:
    """``docker build`` without arguments takes the default release, in each stage."""
    text = (ROOT / "envoy" / "Dockerfile").read_text()

    assert [RELEASES[0]] * 2 == re.findall(r"^ARG ENVOY=(.*)$", text, re.MULTILINE)


def test_tags() -> None:
    """What ``docs/docker.md`` and ``make image`` build is what the module's folder is made of."""
    (tag,) = re.findall(r"-t (\S+) \.$", (ROOT / "docs" / "docker.md").read_text(), re.MULTILINE)
    (made,) = re.findall(r"^IMAGE +\?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    header = (ROOT / "envoy" / "kubernetes" / "Dockerfile").read_text()
    page = (ROOT / "docs" / "deploy.md").read_text()

    assert tag == made
    assert [tag] * 3 == re.findall(r"(?:--build-arg|^ARG) IMAGE=(\S+)", header, re.MULTILINE)
    assert [tag] * 2 == re.findall(r"docker build .*--build-arg IMAGE=(\S+)", page)


def test_defaults(places: Path) -> None:
    """Envoy gets the bootstrap, is quiet, and tells the health check where to ask."""
    begin = ["-c", str(places / "envoy.yaml"), "--disable-hot-restart"]
    quiet = ["-l", "warning", "--component-log-level", "main:error,dynamic_modules:info"]

    assert [*begin, *quiet, "--admin-address-path", str(places / "admin")] == command()


def test_arguments(places: Path) -> None:
    """Another bootstrap, another level of the log, and whatever Envoy takes."""
    other = places / "other.yaml"
    other.write_text(DEMO)
    found = command("-l", "debug", "--config-path", str(other), "--concurrency", "2")
    begin = ["-c", str(other), "--disable-hot-restart", "-l", "debug", "--concurrency", "2"]

    assert [*begin, "--admin-address-path", str(places / "admin")] == found


def test_no_admin(places: Path) -> None:
    """A bootstrap without an admin interface gets one, on loopback."""
    whole = yaml.safe_load(DEMO)
    del whole["admin"]
    (places / "envoy.yaml").write_text("# admin\n" + yaml.safe_dump(whole))
    found = command()
    given = yaml.safe_load(found[found.index("--config-yaml") + 1])

    address = given["admin"]["address"]["socket_address"]
    assert {"address": "127.0.0.1", "port_value": 0} == address


def test_operator(places: Path) -> None:
    """Formats with our operator become what Envoy takes."""
    log = {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": STDOUT_LOG,
            "log_format": {
                "text_format_source": {"inline_string": "%EG_EXT_FILTER_STATE(access:tokens)%\n"}
            },
        },
    }
    whole = yaml.safe_load(DEMO)
    chain = whole["static_resources"]["listeners"][0]["filter_chains"][0]
    chain["filters"][0]["typed_config"]["access_log"] = [log]
    (places / "envoy.yaml").write_text(yaml.safe_dump(whole))
    made = Path(command()[1])

    assert made.is_relative_to(places / "own")
    assert "EG_EXT_FILTER_STATE" not in made.read_text()


def test_no_filter_of_ours(places: Path) -> None:
    """A bootstrap that gets its listeners later is taken."""
    (places / "envoy.yaml").write_text("admin: {}\nnode: {id: a, cluster: b}\n")

    assert str(places / "envoy.yaml") in command()


def test_another_machine(tmp_path: Path) -> None:
    """An Envoy for another machine is named as that."""
    header = bytearray(binary(_envoy.releases()[0]).open("rb").read(64))
    header[18:20], machine = OTHER
    program = tmp_path / "envoy"
    program.write_bytes(header)
    program.chmod(0o755)

    with pytest.raises(Refusal, match=f"Exec format error; it is made for {machine}, this machine"):
        _envoy.version(program)


REFUSED = {
    "no option": (["--bogus"], "PARSE ERROR: Argument: --bogus Couldn't find match for argument"),
    "no level": (["-l", "nonsense"], "error: invalid log level specified 'nonsense'"),
    "no number": (["--concurrency", "x"], "Couldn't read argument value from string 'x'"),
}


@pytest.mark.parametrize(("arguments", "expected"), REFUSED.values(), ids=REFUSED)
def test_refused_arguments(arguments: list[str], expected: str) -> None:
    """Arguments that Envoy refuses: in Envoy's words, and the bootstrap is not blamed."""
    with pytest.raises(Refusal, match=r"^Envoy [\d.]+ refuses its arguments: ") as told:
        command(*arguments)
    assert str(told.value).endswith(expected)


@pytest.mark.parametrize("arguments", [["-c"], ["-c", ""], ["-l", "info", "--config-path"]])
def test_no_value(arguments: list[str]) -> None:
    """A bootstrap's path that is not given, or empty, is not the default's."""
    with pytest.raises(Refusal, match=r"^-(c|-config-path) needs the path of a bootstrap$"):
        command(*arguments)


@contextlib.contextmanager
def admin(status: int, text: bytes, places: Path) -> Iterator[None]:
    """Play Envoy's admin interface."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/ready" else 404)
            self.end_headers()
            self.wfile.write(text)

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        (places / "admin").write_text(f"0.0.0.0:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.mark.parametrize(("status", "text"), [(200, b"LIVE\n"), (503, b"DRAINING\n")])
def test_health(status: int, text: bytes, places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The health check says what Envoy says, and fails when Envoy is not ready."""
    with admin(status, text, places):
        assert int(status != 200) == _health.main()
    assert text.decode() == capsys.readouterr().out


def test_health_at_a_socket(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An Envoy whose admin interface is a UNIX socket is asked there."""
    config = {"admin": {"address": {"pipe": {"path": str(places / "admin.sock")}}}}
    arguments = ["--config-yaml", json.dumps(config), "--disable-hot-restart", "-l", "off"]
    arguments += ["--admin-address-path", str(places / "admin")]
    envoy = subprocess.Popen([binary(RELEASES[0]), *arguments])
    try:
        until(lambda: _health.main() == 0, lambda: capsys.readouterr().out)
    finally:
        envoy.kill()
        envoy.wait()
    assert capsys.readouterr().out.endswith("LIVE\n")


def test_no_health(capsys: pytest.CaptureFixture[str]) -> None:
    """Without an Envoy it fails, too."""
    assert 1 == _health.main()
    assert capsys.readouterr().out.startswith("Envoy's admin interface does not answer: ")
