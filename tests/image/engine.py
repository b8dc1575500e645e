# SPDX-License-Identifier: Apache-2.0
"""The engine, and what a test makes on it: containers, networks, volumes."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import PurePosixPath
from typing import Any, TypeVar

import docker
from docker.errors import DockerException
from docker.models.containers import Container
from docker.models.networks import Network
from docker.models.volumes import Volume
from docker.types import LogConfig

LABEL = "envoy-pyfilter.test-session"
# Whatever the engine does by default: entries that it throws away would look like ours, lost.
WHOLE_LOG = LogConfig(type="json-file", config={"max-size": "4g", "max-file": "1"})
NO_ENGINE = 77  # the exit code by which Automake's tests say that they are skipped
HTTP = 10000  # where the image's own bootstrap listens
PATIENCE = 60.0
Entry = dict[str, Any]
T = TypeVar("T")


def until(
    condition: Callable[[], T | None], told: Callable[[], object], *, within: float = PATIENCE
) -> T:
    """Call *condition* until it gives something true, and give that; *told* says what was there."""
    end = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {within} s: {told()}"
        time.sleep(0.02)
    return value


class NoEngine(Exception):  # noqa: N818 (no error of a test)
    """There is no engine to test on; the text says so in one line."""


def connect() -> docker.DockerClient:
    """Connect to the engine: it answers soon, though what it is asked for later may take long."""
    try:
        docker.from_env(timeout=int(PATIENCE)).close()
        return docker.from_env(timeout=600)
    except DockerException as error:
        raise NoEngine(f"no container engine answers: {error}") from None


def archive(files: Mapping[str, str | bytes]) -> bytes:
    """Give a tar of *files*, which everyone may read; names are paths from the root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        folders: set[PurePosixPath] = set()
        for name, content in files.items():
            path = PurePosixPath(name.lstrip("/"))
            for folder in reversed(path.parents[:-1]):
                if folder not in folders:
                    folders.add(folder)
                    info = tarfile.TarInfo(str(folder))
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(info)
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(str(path))
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Box:
    """A container of a test."""

    def __init__(self, container: Container) -> None:
        """*container* is created already."""
        self.container = container

    @property
    def name(self) -> str:
        """By which others of its network find it."""
        return str(self.container.name)

    def start(self) -> Box:
        """Start it."""
        self.container.start()
        return self

    def state(self) -> dict[str, Any]:
        """Ask the engine: ``Status``, ``ExitCode``, ``OOMKilled``, ``Health`` and more."""
        self.container.reload()
        state: dict[str, Any] = self.container.attrs["State"]
        return state

    def running(self) -> bool:
        """Tell whether it runs; asserts that it did not end by itself."""
        state = self.state()
        assert state["Status"] != "exited", f"exit code {state['ExitCode']}: {self.log()}"
        return bool(state["Status"] == "running")

    def ended(self) -> int:
        """Wait until it ends, and give its exit code."""
        return int(self.container.wait(timeout=PATIENCE)["StatusCode"])

    def stop(self, seconds: int = 10) -> int:
        """Do ``docker stop``, and give its exit code."""
        self.container.stop(timeout=seconds)
        return self.ended()

    def port(self, inner: int = HTTP) -> int:
        """Give the loopback port that leads to its port *inner*."""

        def published() -> str | None:
            self.container.reload()
            places = self.container.ports.get(f"{inner}/tcp")
            return places[0]["HostPort"] if places else None

        return int(until(published, self.log))

    def ready(self, inner: int = HTTP) -> Box:
        """Wait until something answers HTTP on its port *inner*."""
        until(lambda: self.running() and self._answers(inner), self.log)
        return self

    def _answers(self, inner: int) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port(inner), timeout=5)
        try:
            connection.request("GET", "/ready")
            connection.getresponse().read()
        except (OSError, HTTPException):  # the engine's proxy accepts before the container does
            return False
        finally:
            connection.close()
        return True

    def stdout(self) -> str:
        """Give what it wrote to its stdout, from the engine's log."""
        return bytes(self.container.logs(stdout=True, stderr=False)).decode()

    def log(self) -> str:
        """Give what it wrote to its stderr: Envoy's own log."""
        return bytes(self.container.logs(stdout=False, stderr=True)).decode()

    def entries(self, path: str | None = None) -> list[Entry]:
        """Give the entries on its stdout; only those of *path*."""
        lines = [json.loads(line) for line in self.stdout().splitlines()]
        return [one for one in lines if path in (None, one.get("path"))]

    def put(self, files: Mapping[str, str | bytes]) -> Box:
        """Write files into it; its root must not be read-only."""
        assert self.container.put_archive("/", archive(files))
        return self

    def run(self, *command: str) -> str:
        """Run a command in it, and give what it printed."""
        code, output = self.container.exec_run(list(command))
        assert isinstance(output, bytes)
        text = output.decode()
        assert code == 0, f"{command}: exit code {code}: {text}"
        return text

    def admin(self, path: str, method: str = "GET", port: int = 9901) -> str:
        """Ask Envoy's admin interface, which listens on the container's own loopback."""
        program = (
            "import sys, urllib.request as u; _, m, p = sys.argv; "
            "print(u.urlopen(u.Request(p, method=m), timeout=10).read().decode(), end='')"
        )
        return self.run("python3", "-Ic", program, method, f"http://127.0.0.1:{port}{path}")


class Engine:
    """Makes things on the engine; all have the session's label, and are removed by ``scope``."""

    def __init__(self, client: docker.DockerClient) -> None:
        """*client* is connected."""
        self.client = client
        self.session = uuid.uuid4().hex
        self._scopes: list[ExitStack] = []

    @property
    def label(self) -> str:
        """By which all that belongs to the session is found."""
        return f"{LABEL}={self.session}"

    @property
    def labels(self) -> dict[str, str]:
        """The same for what makes something."""
        return {LABEL: self.session}

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Remove, when the block ends, all that was made in it: the newest first."""
        with ExitStack() as stack:
            self._scopes.append(stack)
            try:
                yield
            finally:
                self._scopes.pop()

    def name(self, kind: str = "box") -> str:
        """Give a name that nothing else has."""
        return f"envoy-pyfilter-{kind}-{uuid.uuid4().hex[:12]}"

    def network(self) -> Network:
        """Make a network."""
        made = self.client.networks.create(self.name("network"), labels=self.labels)
        self._scopes[-1].callback(made.remove)
        return made

    def volume(self) -> Volume:
        """Make a volume."""
        made = self.client.volumes.create(self.name("volume"), labels=self.labels)
        self._scopes[-1].callback(made.remove)
        return made

    def create(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        files: Mapping[str, str | bytes] | None = None,
        ports: Sequence[int] | Mapping[int, int | str] = (),
        network: Network | None = None,
        **options: Any,
    ) -> Box:
        """
        Make a container, and do not start it.

        *files* are written into it; *ports* are published on free ports of loopback, or of the
        range that is the value; *options* are those of ``docker.containers.create``.
        """
        if network is not None:
            options["network"] = network.name
        outer = ports if isinstance(ports, Mapping) else dict.fromkeys(ports, 0)
        published: dict[str, Any] = {f"{port}/tcp": ("127.0.0.1", outer[port]) for port in outer}
        made = self.client.containers.create(
            image,
            list(command) if command is not None else None,
            name=options.pop("name", None) or self.name(),
            labels=self.labels,
            ports=published,
            log_config=WHOLE_LOG,
            **options,
        )
        box = Box(made)
        self._scopes[-1].callback(_remove, box)
        return box.put(files) if files else box

    def run(self, image: str, command: Sequence[str] | None = None, **options: Any) -> Box:
        """Make a container, and start it; the options are those of ``create``."""
        return self.create(image, command, **options).start()

    def envoy(self, image: str, command: Sequence[str] | None = None, **options: Any) -> Box:
        """Start an Envoy whose port HTTP is published, and wait until it answers there."""
        return self.run(image, command, **{"ports": [HTTP], **options}).ready()


def _remove(box: Box) -> None:
    """Remove a container; what it wrote is shown when the test failed."""
    try:
        for kind in ("stdout", "stderr"):
            logs = box.container.logs(stdout=kind == "stdout", stderr=kind == "stderr", tail=50)
            if logs:
                text = bytes(logs).decode(errors="replace")
                print(f"--- {kind} of {box.name}, its end:\n{text[-3000:]}")
    finally:
        box.container.remove(force=True, v=True)


if __name__ == "__main__":  # asks only whether there is one
    try:
        connect()
    except NoEngine as told:
        print(f"SKIPPED: {told}")
        sys.exit(NO_ENGINE)
