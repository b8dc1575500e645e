# SPDX-License-Identifier: Apache-2.0
"""
make demo-llm: `envoy-pyfilter tail` shows which model answered and how many tokens that took.

Envoy runs with the filter llm_usage before the demo upstream, which streams as an LLM API does;
the filter's packets go to a socket like that of Cilium's agent, where tail listens. Each form of
the APIs is asked once, streamed and not; then Envoy stays for your own requests, until Ctrl-C.
With --once it ends when tail has shown those. The tokens by model and direction are a metric, too.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from envoy_pyfilter._demo_llm import requests

COMMAND = [sys.executable, "-m", "envoy_pyfilter"]
REQUESTS = list(requests())
METRIC = "llm_tokens_total"
METRICS = [
    {
        "name": METRIC,
        "type": "counter",
        "value": f"%NOTE({direction}_tokens)%",
        "labels": {"model": "%NOTE(model)%", "direction": direction},
    }
    for direction in ("input", "output")
]


def addresses_of(envoy):
    """Wait until `envoy-pyfilter run` prints them; what else it says goes to stderr."""
    admin = ""
    for line in envoy.stderr:
        found = re.search(r"curl -i (http://[\d.:]+)", line)
        if found:
            return found[1], admin
        line = line.replace(" Try:", "")  # noqa: PLW2901 (we say that below)
        known = re.search(r"admin: (http://[\d.:]+)", line)
        admin = known[1] if known else admin
        sys.stderr.write(line)
    sys.exit("envoy-pyfilter run has ended")


def pass_on(source):
    """Go on reading, so that it never waits for us."""
    for line in source:
        sys.stderr.write(line)


def ask(url, path, body):
    """Make one request and read its response to the end."""
    data = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url + path, data, headers)  # noqa: S310 (our own Envoy)
    with urllib.request.urlopen(request) as response:  # noqa: S310
        response.read()


def interrupted(number, _):
    """End it, on a line of its own: the terminal has written ^C."""
    if number == signal.SIGINT and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\n")
    raise KeyboardInterrupt


def main():
    options = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    options.add_argument("--once", action="store_true", help="end when the requests are shown")
    options.add_argument("--envoy", default=None, help="an Envoy's path, or a release")
    given = options.parse_args()
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, interrupted)
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        socket = Path(folder, "log.sock")
        count = ["--count", str(len(REQUESTS))] if given.once else []
        tail = [*COMMAND, "tail", "--socket", str(socket), "--kind", "response", *count]
        run = [*COMMAND, "run", "--filter", "llm_usage"]
        run += ["--set", f"sinks=[{{type: cilium, socket: {socket}}}]"]
        run += ["--set", f"metrics={json.dumps(METRICS)}"]
        run += ["--envoy", given.envoy] if given.envoy else []
        # In a session of its own: a Ctrl-C must not end it before Envoy, whose packets it takes.
        shown = subprocess.Popen(tail, start_new_session=True)  # noqa: S603 (our own command)
        envoy = subprocess.Popen(  # noqa: S603
            run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            while not socket.exists() and shown.poll() is None:
                time.sleep(0.01)
            url, admin = addresses_of(envoy)
            threading.Thread(target=pass_on, args=[envoy.stderr], daemon=True).start()
            for path, body in REQUESTS:
                ask(url, path, body)
            if not given.once:
                path, body = REQUESTS[0]
                print(f"Try: curl -N {url}{path} -d '{json.dumps(body)}'", file=sys.stderr)
                print(f"     curl -s {admin}/stats/prometheus | grep {METRIC}", file=sys.stderr)
                print(
                    "Each request has two entries; those of responses are shown.", file=sys.stderr
                )
            return shown.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            for child in (envoy, shown):
                child.send_signal(signal.SIGINT)
                child.wait()


if __name__ == "__main__":
    sys.exit(main())
