# SPDX-License-Identifier: Apache-2.0
"""``tail`` as a person uses it: typed into a terminal (tmux), its screen read back."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .command import COMMAND, until
from .packets import DENIED, RESPONSE, Sender, packet

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

# A typed line ends with `echo do''ne`, so that only what the shell prints is a line "done".
TOKENS = {"x-ai-input-tokens": "11", "x-ai-output-tokens": "6", "x-ai-total-tokens": "17"}
HEADER = "TIME         VERDICT   METHOD  HOST"


class Terminal:
    """A shell in a terminal of its own."""

    def __init__(self, folder: Path, columns: int, lines: int) -> None:
        """Start it; *folder*: for the socket of its server."""
        self._tmux = ["tmux", "-f", "/dev/null", "-S", str(folder / "tmux")]
        size = ["-x", str(columns), "-y", str(lines)]
        shell = ["env", "-i", "PATH=/usr/bin:/bin", "TERM=screen", "LANG=C.UTF-8", "PS1=$ ", "sh"]
        self._ask("new-session", "-d", *size, *shell)
        until(lambda: self.screen() == ["$"], self.told)

    def _ask(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], capture_output=True, encoding="utf-8", check=True
        )
        return done.stdout

    def keys(self, *keys: str) -> None:
        """Press keys, such as C-c or Enter."""
        self._ask("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type a line."""
        self._ask("send-keys", "-l", text)
        self.keys("Enter")

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window."""
        self._ask("resize-window", "-x", str(columns), "-y", str(lines))

    def screen(self, *, colours: bool = False) -> list[str]:
        """Read the screen, without the empty lines at its end."""
        text = self._ask("capture-pane", "-p", *(["-e"] if colours else []))
        return [line.rstrip() for line in text.rstrip().split("\n")]

    def told(self) -> str:
        """Say all of it."""
        return "\n".join(self.screen())

    def wait_for(self, pattern: str) -> list[str]:
        """Wait until a line matches, and give the screen."""
        until(lambda: any(re.search(pattern, line) for line in self.screen()), self.told)
        return self.screen()

    def close(self) -> None:
        """End the shell and the server."""
        self._ask("kill-server")


@pytest.fixture
def terminal(folder: Path) -> Iterator[Terminal]:
    """Give a terminal."""
    one = Terminal(folder, 120, 24)
    yield one
    print(one.told())
    one.close()


def line(*words: str | Path) -> str:
    """Give the command as one types it."""
    return shlex.join([*COMMAND, "tail", *map(str, words)])


def test_a_session(terminal: Terminal, folder: Path) -> None:
    """Start it, see entries come, make the window narrow, end it with Ctrl-C."""
    path = folder / "s"
    terminal.type(f"clear; {line('--socket', path)}; echo code $?")
    terminal.wait_for(f"^Listening on {path}. Ctrl-C ends it.$")
    with Sender(path) as sender:
        sender.send(
            packet(method="POST", path="/v1/chat", host="llm.example.com"),
            packet(
                RESPONSE,
                after=12_345,
                status=200,
                method="POST",
                path="/v1/chat",
                host="llm.example.com",
                headers=TOKENS,
            ),
            packet(DENIED, path="/\x1b[2J\x07" + "long" * 50, name="b"),
            packet(RESPONSE, after=1000, status=403, name="b", path="/b"),
        )
        _, head, request, with_tokens, response, denied, refused = terminal.wait_for(" 403 ")

        assert "TIME VERDICT METHOD HOST PATH STATUS LATENCY" == " ".join(head.split())
        assert with_tokens.startswith(HEADER)
        assert with_tokens.endswith(" TOKENS")
        assert ["FORWARDED", "POST", "llm.example.com", "/v1/chat"] == request.split()[1:]
        words = "response POST llm.example.com /v1/chat 200 12.3 ms in 11 out 6 total 17"
        assert words.split() == response.split()[1:]
        assert re.search(r" DENIED +GET +example.com +/\\x1b\[2J\\x07long.*…$", denied)
        assert ["response", "GET", "example.com", "/b", "403", "1.0", "ms"] == refused.split()[1:]
        for name, cell in {
            "PATH": "/v1",
            "STATUS": "200",
            "LATENCY": "12.3",
            "TOKENS": "in",
        }.items():
            assert with_tokens.index(name) == response.index(cell)

        terminal.resize(60, 24)
        sender.send(packet(path="/narrow" + "x" * 80))
        screen = terminal.wait_for(" /narrow")
        head, narrow = screen[-2:]
        assert ["TIME", "VERDICT", "METHOD", "PATH", "STATUS", "LATENCY"] == head.split()
        assert head.index("PATH") == narrow.index("/narrow")
        assert narrow.endswith("…")

    terminal.keys("C-c")
    terminal.wait_for("^code 0$")
    assert "envoy-pyfilter: 5 received, 5 shown, 0 truncated, 0 unreadable" in "".join(
        terminal.screen()
    ).replace("^C", "")
    assert not path.exists()


def test_colours(terminal: Terminal, folder: Path) -> None:
    """Verdicts have colours, and ``NO_COLOR`` takes them."""
    file = folder / "entries"
    file.write_text('{"kind": "denied", "path": "/a"}\n')
    terminal.type(f"clear; {line(file, '--from-start', '--count', '1')}; echo do''ne")
    terminal.wait_for("^done$")
    assert any("\x1b[31mDENIED" in one for one in terminal.screen(colours=True))

    terminal.type(f"clear; NO_COLOR=1 {line(file, '--from-start', '--count', '1')}; echo ov''er")
    terminal.wait_for("^over$")
    assert any("DENIED" in one for one in terminal.screen())
    assert not any("\x1b" in one for one in terminal.screen(colours=True))


def test_headers(terminal: Terminal, folder: Path) -> None:
    """``--headers`` shows an entry's headers below its row, ``--json`` its JSON."""
    file = folder / "entries"
    file.write_text(
        '{"kind":"request","path":"/a","request_headers":{"x-demo":"\\u001b[31mred"}}\n'
    )
    terminal.type(f"clear; {line(file, '--from-start', '--count', '1', '--headers')}; echo do''ne")
    screen = terminal.wait_for("^done$")
    assert r"  x-demo: \x1b[31mred" in screen

    terminal.type(f"clear; {line(file, '--from-start', '--count', '1', '--json')}; echo ov''er")
    screen = terminal.wait_for("^over$")
    assert file.read_text().strip() in screen


def test_a_pipe_in_the_shell(terminal: Terminal, folder: Path) -> None:
    """``tail | head -1`` ends with the line that head wanted, without a complaint."""
    path = folder / "s"
    terminal.type(f"clear; {line('--socket', path)} | head -1 | cut -c 1-17; echo do''ne")
    terminal.wait_for("^Listening on ")
    with Sender(path) as sender:
        sender.send(packet())
        screen = terminal.wait_for("^done$")

    assert [f"Listening on {path}. Ctrl-C ends it.", '{"kind":"request"', "done"] == screen[:3]
    assert not path.exists()
