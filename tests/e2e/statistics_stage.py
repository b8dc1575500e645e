# SPDX-License-Identifier: Apache-2.0
"""
An Envoy with a listener for each scene, protocol and side, all of them there from its start.

A listener is played on once, so its counters are the scene's.
"""

from __future__ import annotations

from pathlib import Path

from . import bootstrap as b
from . import ext_proc
from .envoy import Envoy
from .ext_proc import Processor
from .site import Site
from .statistics_lines import NAMES
from .statistics_play import Player, Told
from .statistics_scenes import SCENES, Scene
from .upstream import Upstream

KEY = "learned"
_PROBE = "probe"
_ROUTES = [
    b.direct("/direct"),
    b.route("/refused", route={"cluster": "refused"}),
    b.route(),
]


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
        self._envoy = Envoy(release, folder, clusters=clusters)
        self._sites: dict[tuple[str, str], Site] = {}
        self._told: dict[tuple[str, str], Told] = {}
        self._envoy.listeners[_PROBE] = b.listener(_PROBE, filters=[], routes=[b.direct()])
        for name, scene in SCENES.items():
            for protocol in scene.protocols:
                self._add(name, protocol, scene)

    def _add(self, name: str, protocol: str, scene: Scene) -> None:
        number = len(self._sites)
        here = Site(self._envoy, self._upstream, self._envoy.folder, f"native{number}")
        self._processor.serve(here.name, scene.acts)
        told = {name: f"%FILTER_STATE({KEY}:FIELD:{name})%" for name in NAMES}
        log = {
            "plain": f"%FILTER_STATE({KEY}:PLAIN)%",
            "typed": f"%FILTER_STATE({KEY}:TYPED)%",
            **{f"field.{name}": format_ for name, format_ in told.items()},
        }
        ours = ext_proc.native(
            KEY,
            here.name,
            scene.acts,
            buffered=scene.buffered,
            failure_mode_allow=scene.allow,
            **scene.native,
        )
        self._envoy.listeners[here.name] = here.listener([ours], oracle=log, routes=_ROUTES)
        self._sites[name, protocol] = here

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

    def told(self, name: str, protocol: str) -> Told:
        """Play a scene, if it has not been played yet, and give what was told of it."""
        site = self._sites[name, protocol]
        if (name, protocol) not in self._told:
            player = Player(site, self._probe, protocol)
            self._told[name, protocol] = player.play(SCENES[name])
        return self._told[name, protocol]
