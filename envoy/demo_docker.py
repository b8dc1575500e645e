# SPDX-License-Identifier: Apache-2.0
"""
make demo-docker: Envoy, an upstream and an agent in containers (compose.yaml).

It prints what to try, then what the agent shows, until Ctrl-C; then all of it is removed.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

FILE = Path(__file__).with_name("compose.yaml")
HEALTH = "/opt/envoy-pyfilter/module/_health.py"
DOCKER = shutil.which("docker")
PATIENCE = 60.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MISSING = """\
missing: Docker Compose: neither `docker compose` nor docker-compose is there (Debian: apt-get \
install docker-compose; Ubuntu: docker-compose-v2; Docker's own packages: docker-compose-plugin)"""


def compose_command():
    """Find Compose: the plugin of the docker command, or the older program."""
    if not DOCKER:
        sys.exit("missing: the docker command (Debian, Ubuntu: apt-get install docker.io)")
    if not quiet(DOCKER, "compose", "version").returncode:
        return [DOCKER, "compose"]
    older = shutil.which("docker-compose")
    return [older] if older else sys.exit(MISSING)


def quiet(*command):
    """Run a command that a Ctrl-C at the terminal does not reach."""
    return subprocess.run(  # noqa: S603 (our own command)
        command, capture_output=True, text=True, check=False, start_new_session=True
    )


class Demo:
    def __init__(self, name):
        """*name* of the project: its containers, network and volume have it."""
        self.compose = [*compose_command(), "-p", name, "-f", str(FILE)]

    def do(self, *words):
        """Run a command of Compose; its output is given, and is shown when it fails."""
        done = quiet(*self.compose, *words)
        if done.returncode:
            sys.exit(f"{' '.join([*self.compose, *words])} failed:\n{done.stderr or done.stdout}")
        return done.stdout

    def address(self):
        """Wait until Envoy is ready, and give its address on this machine."""
        end = time.monotonic() + PATIENCE
        while quiet(*self.compose, "exec", "-T", "envoy", "python3", "-I", HEALTH).returncode:
            if time.monotonic() > end:
                sys.exit(f"Envoy is not ready after {PATIENCE:.0f} s:\n{self.do('logs', 'envoy')}")
            time.sleep(0.1)
        return self.do("port", "envoy", "10000").strip()

    def show(self):
        """Show what the agent shows, until a signal comes."""
        agent = self.do("ps", "-q", "agent").strip()
        command = [DOCKER, "logs", "--follow", agent]
        logs = subprocess.Popen(command, start_new_session=True)  # noqa: S603 (our own command)
        try:
            return logs.wait()
        finally:
            logs.terminate()
            logs.wait()

    def remove(self):
        """Remove all; nothing may interrupt that."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        print("removing the containers, the network and the volume", file=sys.stderr)
        self.do("down", "--volumes", "--timeout", "5")


def main():
    options = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    options.add_argument("--name", default=f"envoy-pyfilter-demo-{os.getpid()}")
    demo = Demo(options.parse_args().name)
    for number in SIGNALS:  # SIGINT, too: a shell's job in the background begins without it
        signal.signal(number, signal.default_int_handler)
    os.environ.setdefault("ENVOY_PORT", "0")
    try:
        demo.do("up", "--detach")
        address = demo.address()
        print(f"Envoy listens on http://{address}. Ctrl-C ends it, and removes all. Try:")
        print(f'  curl -i http://{address}/v1/chat -d \'{{"prompt": "hello"}}\'', flush=True)
        demo.show()
    except KeyboardInterrupt:
        pass
    finally:
        demo.remove()


if __name__ == "__main__":
    sys.exit(main())
