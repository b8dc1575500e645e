# SPDX-License-Identifier: Apache-2.0
"""
Added instructions per request: the whole Envoy process under callgrind, minus the bare proxy.

    .venv/bin/python bench/instructions.py [SCENARIO ...]

Needs valgrind and h2load (Debian: valgrind, nghttp2-client). One connection, HTTP/1.1, a direct
response; 300 requests to warm up, then 2,000 that count. Instructions of user space only: system
calls and caches are not in it, but it repeats to a fraction of a percent on a busy machine.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

WARM_UP, COUNTED = 300, 2000
MODULE = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
STRUCT = "type.googleapis.com/google.protobuf.Struct"
TEN = {
    "request_headers": {"include": ["user-agent", "accept", "x-request-id"]},
    "response_headers": {"include": ["content-length", "content-type", "server"]},
    "fields": ["method", "path", "authority", "response_code", "request_headers",
               "response_headers"],
    "request": False,
}  # fmt: skip
JSON_FORMAT = {
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%",
    "authority": "%REQ(:AUTHORITY)%",
    "response_code": "%RESPONSE_CODE%",
    "user_agent": "%REQ(USER-AGENT)%",
    "accept": "%REQ(ACCEPT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "content_length": "%RESP(CONTENT-LENGTH)%",
    "content_type": "%RESP(CONTENT-TYPE)%",
    "server": "%RESP(SERVER)%",
}
HOOK = """
from envoy_pyfilter import Filter

class AtTheEnd(Filter):
    def on_stream_complete(self, stream):
        pass
"""


def module_filter(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return our filter as Envoy's config has it."""
    return {
        "name": "ours",
        "typed_config": {
            "@type": MODULE,
            "dynamic_module_config": {"name": "envoy_pyfilter", "do_not_close": True},
            "filter_name": name,
            "filter_config": {"@type": STRUCT, "value": config},
        },
    }


def scenarios(folder: Path) -> dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Return each scenario's HTTP filters and access logs."""
    (folder / "bench_hook.py").write_text(HOOK, encoding="utf-8")
    file_sink = [{"type": "file", "path": str(folder / "ours.log")}]
    native_log = {
        "name": "native",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(folder / "native.log"),
            "log_format": {"json_format": JSON_FORMAT},
        },
    }
    state = {"bench": "%REQ(user-agent)%"}
    hook = {"python_path": [str(folder)]}
    return {
        "bare": ([], []),
        "native-json": ([], [native_log]),
        "access-json": ([module_filter("access", {"log": TEN, "sinks": file_sink})], []),
        "access-json-state": (
            [module_filter("access", {"log": TEN, "sinks": file_sink, "state": state})],
            [],
        ),
        "python-hook": ([module_filter("bench_hook:AtTheEnd", hook)], []),
    }


def bootstrap(filters: list[dict[str, Any]], logs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a whole Envoy config that answers by itself."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    manager = (
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager"
    )
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "hello"}},
    }
    connection = {
        "@type": manager,
        "stat_prefix": "bench",
        "access_log": logs,
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]},
        "http_filters": [*filters, {"name": "router", "typed_config": {"@type": router}}],
    }
    network = {"name": "http", "typed_config": connection}
    listener = {"name": "l", "address": address, "filter_chains": [{"filters": [network]}]}
    return {"admin": {"address": address}, "static_resources": {"listeners": [listener]}}


def wait_for(condition: Any, what: str, seconds: float = 120) -> Any:
    """Return what *condition* returns once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except (OSError, ValueError, KeyError, IndexError):
            pass
        time.sleep(0.1)
    raise SystemExit(f"gave up after {seconds} s: {what}")


def fetch(address: str) -> str:
    """Return an admin page."""
    with urllib.request.urlopen(f"http://{address}", timeout=10) as page:
        return str(page.read().decode())


def load(url: str, requests: int) -> None:
    """Send requests on one connection."""
    command = ["h2load", "--h1", "-n", str(requests), "-c", "1", "-t", "1", url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    if f"{requests} succeeded" not in done.stdout:
        raise SystemExit(f"h2load: not all requests succeeded:\n{done.stdout}")


def count(envoy: Path, package: Path, config: dict[str, Any], folder: Path) -> int:
    """Return the instructions of one request."""
    (folder / "envoy.json").write_text(json.dumps(config), encoding="utf-8")
    for old in folder.glob("callgrind.out*"):
        old.unlink()
    out = folder / "callgrind.out"
    admin = folder / "admin.txt"
    admin.unlink(missing_ok=True)
    command = [
        "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}",
        str(envoy), "-c", str(folder / "envoy.json"), "--concurrency", "1",
        "--disable-hot-restart", "--admin-address-path", str(admin), "-l", "warn",
    ]  # fmt: skip
    environment = {**os.environ, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(package)}
    with (folder / "envoy.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            address = wait_for(lambda: admin.read_text().strip(), f"Envoy; see {folder}/envoy.log")
            listeners = json.loads(wait_for(lambda: fetch(f"{address}/listeners?format=json"), ""))
            port = listeners["listener_statuses"][0]["local_address"]["socket_address"]
            url = f"http://127.0.0.1:{port['port_value']}/"
            load(url, WARM_UP)
            control = ["callgrind_control", str(process.pid)]
            subprocess.run([*control[:1], "-i", "on", control[1]], check=True, capture_output=True)
            load(url, COUNTED)
            subprocess.run([*control[:1], "-d", control[1]], check=True, capture_output=True)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
    totals = [
        int(number)
        for dump in folder.glob("callgrind.out*")
        for number in re.findall(r"^totals: (\d+)", dump.read_text(errors="replace"), re.MULTILINE)
    ]
    return max(totals) // COUNTED


def main() -> None:
    """Count the scenarios that are named, or all, and print a table."""
    for tool in ("valgrind", "callgrind_control", "h2load"):
        if shutil.which(tool) is None:
            raise SystemExit(f"missing: {tool} (Debian: apt-get install valgrind nghttp2-client)")
    spec = importlib.util.find_spec("envoy_pyfilter")
    if spec is None or spec.origin is None:
        raise SystemExit("missing: envoy_pyfilter is not installed here; see make install")
    from envoy_pyfilter import _envoy  # noqa: PLC0415 (only after the check)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        envoy = _envoy.find(os.environ.get("ENVOY"))
        chosen = scenarios(folder)
        wanted = sys.argv[1:] or list(chosen)
        package = Path(spec.origin).parent
        bare = count(envoy, package, bootstrap(*chosen["bare"]), folder)
        print(f"{'scenario':20} {'per request':>12} {'added':>8}")
        for scenario in wanted:
            total = bare
            if scenario != "bare":
                total = count(envoy, package, bootstrap(*chosen[scenario]), folder)
            print(f"{scenario:20} {total:12} {total - bare:8}", flush=True)


if __name__ == "__main__":
    main()
