# SPDX-License-Identifier: Apache-2.0
"""How the module gets into Envoy and out of it again."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from . import bootstrap as b
from .bootstrap import HERE
from .conftest import SiteMaker
from .envoy import Envoy, module_folder, validate
from .site import Site
from .upstream import Upstream
from .waiting import until


def test_nothing_but_the_search_path(site: SiteMaker) -> None:
    """Envoy's environment holds the search path only, and the package finds its neighbours."""
    here = site(
        {
            "on_request_headers": """
                import os, sys, msgspec, envoy_pyfilter
                saw(sorted(os.environ), os.path.dirname(envoy_pyfilter.__file__))
                saw(sys.prefix, os.path.dirname(os.path.dirname(msgspec.__file__)))
            """
        }
    )
    here.fetch()
    environment, _ = here.seen(2)[0], None
    assert "ENVOY_DYNAMIC_MODULES_SEARCH_PATH" in environment[0]
    assert not {"PYTHONPATH", "PYTHONHOME", "PATH", "VIRTUAL_ENV"} & set(environment[0])
    assert str(module_folder()) == environment[1]
    assert (sys.prefix, str(Path(msgspec.__file__).parents[1])) == here.seen(2)[1]


def test_host_is_told_at_debug_level(envoy: Envoy, site: SiteMaker, release: str) -> None:
    """What the module found out about its host is a debug line."""
    site(access={}).fetch()
    minor = release.rpartition(".")[0]
    assert re.search(rf"debug.*{re.escape(minor)}", envoy.log())


def test_python_path(new_site: Callable[[], Site], tmp_path: Path) -> None:
    """A filter is imported from the folders that the config names."""
    (tmp_path / "e2e_elsewhere.py").write_text(
        "from envoy_pyfilter import Filter, Reply\n"
        "class Teapot(Filter):\n"
        "    def on_request_headers(self, stream, end_of_stream):\n"
        "        return Reply(418, self.config.instance)\n"
    )
    here = new_site()
    config = {"instance": "kettle", "python_path": [str(tmp_path)]}
    here.open([b.py_filter("e2e_elsewhere:Teapot", config)])
    got = here.fetch()
    assert (418, b"kettle") == (got.status, got.body)


def test_config_may_be_missing(own_envoy: Callable[..., Envoy], upstream: Upstream) -> None:
    """Without any config the access filter writes everything to standard output."""
    envoy = own_envoy().start()
    here = Site(envoy, upstream, envoy.folder, "bare").open([b.py_filter("access")])
    assert 200 == here.fetch().status
    until(lambda: envoy.stdout_path.read_text().count("\n") == 2, envoy.stdout_path.read_text)
    assert 2 == envoy.stdout_path.read_text().count('"instance":"access"')
    envoy.stop()


def listeners(path: Path, tmp_path: Path) -> b.Dict:
    """Give a whole bootstrap that uses everything that could start something."""
    sinks = [
        {"type": "file", "path": str(path)},
        {"type": "python", "sink": "filters:FileSink", "config": {"path": str(tmp_path / "py")}},
    ]
    config = {
        "python_path": [str(HERE)],
        "sinks": sinks,
        "hooks": {},
        "seen": str(tmp_path / "seen"),
    }
    ours = b.py_filter(
        "filters:ScriptedAccess__on_request_headers",
        {**config, "hooks": {"on_request_headers": "saw(1)"}},
    )
    whole = b.bootstrap(tmp_path / "none.json", [])
    del whole["dynamic_resources"]
    one = b.listener("one", filters=[ours], routes=[b.direct()])
    del one["@type"]
    whole["static_resources"]["listeners"] = [one]
    return whole


def test_validation_starts_nothing(release: str, tmp_path: Path) -> None:
    """Validation accepts a good config, makes no file and comes to an end."""
    probe = tmp_path / "probe"
    probe.mkdir()
    whole = listeners(probe / "log.json", probe)
    config = whole["static_resources"]["listeners"][0]
    assert config
    result = validate(release, tmp_path, whole)
    assert 0 == result.returncode, result.stderr
    assert [] == sorted(probe.iterdir())
    assert "OK" in result.stdout + result.stderr


def test_validation_has_no_thread(release: str, tmp_path: Path) -> None:
    """While it validates, the process has no thread and no socket that our config would need."""
    (tmp_path / "e2e_spy.py").write_text(
        "import os\n"
        "from envoy_pyfilter import AccessFilter\n"
        "class Spy(AccessFilter):\n"
        "    def __init__(self, config):\n"
        "        super().__init__(config)\n"
        "    def on_config_destroy(self):\n"
        "        names = [open(f'/proc/self/task/{t}/comm').read().strip() "
        "for t in os.listdir('/proc/self/task')]\n"
        "        files = [os.readlink(f'/proc/self/fd/{f}') for f in os.listdir('/proc/self/fd') "
        "if os.path.exists(f'/proc/self/fd/{f}')]\n"
        f"        open({str(tmp_path / 'spied')!r}, 'w').write(repr((names, files)))\n"
    )
    whole = b.bootstrap(tmp_path / "none.json", [])
    del whole["dynamic_resources"]
    sinks = [
        {"type": "file", "path": str(tmp_path / "log.json")},
        {"type": "python", "sink": "filters:FileSink", "config": {"path": str(tmp_path / "py")}},
    ]
    ours = b.py_filter("e2e_spy:Spy", {"python_path": [str(tmp_path), str(HERE)], "sinks": sinks})
    one = b.listener("one", filters=[ours], routes=[b.direct()])
    del one["@type"]
    whole["static_resources"]["listeners"] = [one]
    result = validate(release, tmp_path, whole)
    assert 0 == result.returncode, result.stderr
    names, files = ast.literal_eval((tmp_path / "spied").read_text())
    assert not [name for name in names if "pyfilter" in name or "python" in name.lower()]
    assert not [file for file in files if file.endswith(("log.json", "/py"))]
    assert not (tmp_path / "log.json").exists()


def test_removed_and_added_again(new_site: Callable[[], Site], envoy: Envoy) -> None:
    """The listener goes and comes back in the same process, three times, and works each time."""
    here = new_site()
    for count in (2, 4, 6):
        here.open([here.filter({"on_request_headers": "saw(1)"}, access={})])
        assert 200 == here.fetch().status
        here.entries(count)
        here.close()
        until(lambda: not [t for t in envoy.listeners if t == here.name], "removal")


def test_two_configs_in_one_process(new_site: Callable[[], Site]) -> None:
    """Two listeners with configs of their own don't mix."""
    first, second = new_site(), new_site()
    first.open([first.filter(access={"log": {"fields": ["kind", "path"]}})])
    second.open([second.filter(access={"log": {"request": False}})])
    first.fetch(path=b"/first")
    second.fetch(path=b"/second")
    assert [{"kind", "path"}] * 2 == [entry.keys() for entry in first.entries(2)]
    assert ["/second"] == [entry["path"] for entry in second.entries(1)]


def test_two_filters_in_one_chain(new_site: Callable[[], Site], protocol: str) -> None:
    """Two of ours in one chain both see the stream, the second what the first changed."""
    here = new_site()
    first = here.filter({"on_request_headers": "stream.request_headers.add('x-way', b'first')"})
    second = here.filter({"on_request_headers": "saw(stream.request_headers.get_all('x-way'))"})
    here.open([first, second])
    assert 200 == here.fetch(protocol).status
    assert [[b"first"]] == here.seen(1)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_clean_end(own_envoy: Callable[..., Envoy], upstream: Upstream, concurrency: int) -> None:
    """SIGTERM right after the start, and after some traffic, ends with code 0."""
    idle = own_envoy(concurrency=concurrency)
    here = Site(idle, upstream, idle.folder.parent, "idle")
    idle.listeners["idle"] = here.listener([here.filter({"on_request_headers": ""}, access={})])
    idle.start().stop()
    idle.start()
    here.port = idle.ports()["idle"]
    assert 200 == here.fetch().status
    idle.stop()
    here.entries(2)
