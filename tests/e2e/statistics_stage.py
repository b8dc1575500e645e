# SPDX-License-Identifier: Apache-2.0
"""
An Envoy with a listener for each scene, protocol and side, all of them there from its start.

One side is Envoy's own ext_proc, the other one our filter. A listener is played on once, so its
counters are the scene's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from . import bootstrap as b
from . import ext_proc, statistics_acts
from .envoy import Envoy
from .ext_proc import Processor
from .site import Site, class_name
from .statistics_lines import NAMES
from .statistics_play import METERS, Player, Told
from .statistics_scenes import SCENES, Scene
from .upstream import Upstream

KEY = "learned"
_PROBE = "probe"
Side = Callable[[str, Scene], b.Dict]


def native(name: str, scene: Scene) -> b.Dict:
    """Envoy's filter; *name* is its listener's."""
    return ext_proc.native(
        KEY,
        name,
        scene.acts,
        buffered=scene.buffered,
        failure_mode_allow=scene.allow,
        stat_prefix=scene.stat_prefix,
        **scene.native,
    )


def ours(name: str, scene: Scene) -> b.Dict:
    """Our filter, whose counters have the names of native's."""
    hooks = statistics_acts.hooks(scene.acts, buffered=scene.buffered)
    statistics = {"key": KEY, "metadata_namespace": KEY, "fields": list(NAMES)}
    if scene.stat_prefix:
        statistics["stat_prefix"] = scene.stat_prefix
    config = {
        "instance": name,
        "python_path": [str(b.HERE)],
        "hooks": hooks,
        "on_error": "allow" if scene.allow else "deny",
        "statistics": statistics,
    }
    made = b.py_filter(destination(scene), config)
    made["typed_config"]["dynamic_module_config"]["metrics_namespace"] = f"http.{name}.ext_proc"
    return made


def destination(scene: Scene) -> str:
    """Name the class that our filter asks."""
    return class_name("Scripted", statistics_acts.hooks(scene.acts, buffered=scene.buffered))


def routes(side: str, *, disabled: bool) -> list[b.Dict]:
    """Give the routes of a listener; each side has its own way to be disabled there."""
    ways = {
        "native": {KEY: ext_proc.disabled()},
        "ours": {
            "envoy.filters.http.dynamic_modules": {
                "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
                "disabled": True,
            }
        },
    }
    redirects = {"redirect_response_codes": [307]}
    action = {"cluster": "upstream", "timeout": "30s", "internal_redirect_policy": redirects}
    return [
        b.direct("/direct"),
        b.route("/refused", route={"cluster": "refused"}),
        b.route(route=action, typed_per_filter_config=ways[side] if disabled else {}),
    ]


SIDES: Mapping[str, Side] = {"native": native, "ours": ours}
_FORMATS: Mapping[str, dict[str, str]] = {
    "native": {
        "typed": f"%FILTER_STATE({KEY}:TYPED)%",
        **{f"field.{name}": f"%FILTER_STATE({KEY}:FIELD:{name})%" for name in NAMES},
    },
    "ours": {
        "typed": f"%DYNAMIC_METADATA({KEY})%",
        **{f"field.{name}": f"%FILTER_STATE({KEY}.{name}:PLAIN)%" for name in NAMES},
    },
}


class Stage:
    """Where the scenes of a release are played."""

    def __init__(
        self, release: str, folder: Path, upstream: Upstream, processor: Processor
    ) -> None:
        """*processor* listens already."""
        self.release = release
        self._upstream = upstream
        self._processor = processor
        clusters = [
            b.cluster("upstream", upstream.port),
            b.cluster("refused", pipe=folder / "nobody-listens"),
            ext_proc.cluster(processor.socket),
        ]
        self._envoy = Envoy(release, folder, clusters=clusters, stats=METERS)
        self._sites: dict[tuple[str, str, str], Site] = {}
        self._envoy.listeners[_PROBE] = b.listener(_PROBE, filters=[], routes=[b.direct()])
        for side in SIDES:
            for name, scene in SCENES.items():
                for protocol in scene.protocols:
                    self._add(side, name, protocol)

    @property
    def has_destination(self) -> bool:
        """Whether the native filter of this release tells where calls went."""
        return self.release not in {"1.38.3", "1.39.3"}

    def start(self) -> Stage:
        """Start Envoy."""
        self._envoy.start()
        ports = self._envoy.ports()
        self._probe = ports[_PROBE]
        for site in self._sites.values():
            site.port = ports[site.name]
        return self

    def stop(self) -> None:
        """End Envoy, and insist on a clean end."""
        self._envoy.stop()

    def kill(self) -> None:
        """End Envoy anyhow."""
        self._envoy.kill()

    def log(self) -> str:
        """Read Envoy's log so far."""
        return self._envoy.log()

    def play(self, side: str, name: str, protocol: str) -> Told:
        """Play a scene, which can be done once, and give what was told of it."""
        site = self._sites.pop((side, name, protocol))
        return Player(site, self._probe, protocol).play(SCENES[name])

    def _add(self, side: str, name: str, protocol: str) -> None:
        here = Site(self._envoy, self._upstream, self._envoy.folder, f"{side}{len(self._sites)}")
        scene = SCENES[name]
        self._processor.serve(here.name, scene.acts)
        log = {"plain": f"%FILTER_STATE({KEY}:PLAIN)%", **_FORMATS[side]}
        self._envoy.listeners[here.name] = here.listener(
            [SIDES[side](here.name, scene)],
            oracle=log,
            routes=routes(side, disabled=scene.disabled),
        )
        self._sites[side, name, protocol] = here
