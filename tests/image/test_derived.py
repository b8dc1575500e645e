# SPDX-License-Identifier: Apache-2.0
"""``docs/docker.md``: the image of one's own, as the page shows it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import textwrap
from http.client import HTTPConnection
from pathlib import Path

from .build import ROOT, TAG, build
from .engine import HTTP, Box, Engine, until

PAGE = (ROOT / "docs" / "docker.md").read_text()
BOOTSTRAP = (ROOT / "envoy" / "image.yaml").read_text()


def block(language: str) -> str:
    """Give the page's one block in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def token(claims: dict[str, str], key: str) -> str:
    """Make a token as RFC 7515 says, with what the standard library has."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = json.dumps({"alg": "HS256", "typ": "JWT"}).encode()
    text = f"{part(head)}.{part(json.dumps(claims).encode())}"
    return f"{text}.{part(hmac.digest(key.encode(), text.encode(), hashlib.sha256))}"


def status(box: Box, path: str, bearer: str) -> tuple[int, bytes]:
    """Ask with a token; give the status and the body."""
    connection = HTTPConnection("127.0.0.1", box.port(HTTP), timeout=10)
    connection.request("GET", path, headers={"authorization": f"Bearer {bearer}"})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_derived(engine: Engine, image: str, tmp_path: Path) -> None:
    """What pip installed judges tokens in Envoy, and the access filter logs both requests."""
    entry = block("yaml")
    router = re.search(r"^ +- name: envoy\.filters\.http\.router$", BOOTSTRAP, re.MULTILINE)
    assert router is not None
    indent = " " * (len(router[0]) - len(router[0].lstrip()))
    place = router.start()
    bootstrap = BOOTSTRAP[:place] + textwrap.indent(entry, indent) + BOOTSTRAP[place:]
    (tmp_path / "envoy.yaml").write_text(bootstrap)
    (tmp_path / "bearer.py").write_text(block("python"))
    (tmp_path / "Dockerfile").write_text(
        block("dockerfile").replace("FROM envoy-pyfilter\n", f"FROM {image}\n")
    )
    box = engine.envoy(build(engine.client, f"{TAG}:derived", tmp_path))
    key = re.findall(r'key: "(.*)"', entry)[0]

    assert (200, b"hello from the demo upstream\n") == status(
        box, "/in", token({"sub": "ann"}, key)
    )
    assert (401, b'Token is missing the "sub" claim\n') == status(box, "/no-sub", token({}, key))
    assert (401, b"Signature verification failed\n") == status(box, "/out", token({}, "x" * 32))
    until(lambda: len(box.entries("/in")) == 2 == len(box.entries("/out")), box.stdout)
    told = [one["response_code"] for one in box.entries() if one["kind"] == "response"]
    assert {200, 401} <= {*told}
