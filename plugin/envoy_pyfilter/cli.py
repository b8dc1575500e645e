# SPDX-License-Identifier: Apache-2.0
"""
The command ``envoy-pyfilter``: ``run``, ``config``, ``check`` and ``doctor``.

This file reads the arguments; what each part does stands in a private module of its name.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from envoy_pyfilter import _bootstrap, _check, _doctor, _envoy, _select
from envoy_pyfilter._bootstrap import PyFilter, Wanted
from envoy_pyfilter._console import Refusal, say
from envoy_pyfilter._demo_upstream import demo_upstream
from envoy_pyfilter._document import Document, file_sinks
from envoy_pyfilter._run import Job, run

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130  # what a shell gives a command that Ctrl-C ended
_TRY_BODY = """/v1/chat -H 'content-type: application/json' -d '{"prompt": "hello"}'"""


def _upstream(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text}: expected HOST:PORT")
    return host.strip("[]"), int(port)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise argparse.ArgumentTypeError(f"{text}: expected a port, 0 to 65535")
    return int(text)


def _filter_name(text: str) -> str:
    module, colon, name = text.partition(":")
    if colon and not (module and name):
        raise argparse.ArgumentTypeError(f"{text}: expected module:Class or a registered name")
    return text


def _add_filter_options(parser: argparse.ArgumentParser, port: int, admin_port: int) -> None:
    """Add what `run` and `config` share; a port 0 is a free one."""
    parser.add_argument(
        "--filter",
        metavar="MODULE:CLASS",
        type=_filter_name,
        help="your filter, imported with the current folder on its path; the access filter stands "
        "before it unless it is one itself (default: access alone)",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a key of the filter's config, dotted, value in YAML: --set log.request=false",
    )
    parser.add_argument(
        "--upstream",
        metavar="HOST:PORT",
        type=_upstream,
        help="where requests go (default of run: a demo upstream of our own)",
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="add a filter that changes the response after our response hook has run",
    )
    for name, default in (("--port", port), ("--admin-port", admin_port)):
        whose = "the admin page" if name == "--admin-port" else "the listener"
        text = f"of {whose} (default: {default or 'a free one'})"
        parser.add_argument(name, metavar="PORT", type=_port, default=default, help=text)


_ENVOY_HELP = "path of an Envoy, or a release such as {}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="envoy-pyfilter", description="HTTP filters in Python inside a stock Envoy."
    )
    version = metadata.version("envoy-pyfilter")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    envoy_help = _ENVOY_HELP.format(_envoy.releases()[0])

    one = commands.add_parser("run", help="start Envoy with a filter and print its entries")
    one.set_defaults(command=_run)
    one.add_argument("--config", metavar="FILE", type=Path, help="a bootstrap of your own")
    _add_filter_options(one, port=0, admin_port=0)
    one.add_argument("--envoy", metavar="PATH|VERSION", help=f"{envoy_help}, downloaded if missing")
    one.add_argument("--log-level", metavar="LEVEL", help="of Envoy's log (default: warnings)")

    one = commands.add_parser("config", help="print a filter's config, or a bootstrap around it")
    one.set_defaults(command=_config)
    _add_filter_options(one, port=10000, admin_port=9901)
    one.add_argument("--bootstrap", action="store_true", help="print a whole bootstrap")

    one = commands.add_parser("check", help="find what is wrong with a bootstrap's use of us")
    one.set_defaults(command=_check_file)
    one.add_argument("file", metavar="FILE", type=Path)
    one.add_argument("--envoy", metavar="PATH|VERSION", help=f"{envoy_help}, downloaded if missing")
    one.add_argument("--no-envoy", action="store_true", help="do not ask envoy --mode validate")

    one = commands.add_parser("doctor", help="find what is missing on this machine")
    one.set_defaults(command=_diagnose)
    one.add_argument("--envoy", metavar="PATH|VERSION", help=envoy_help)
    return parser


def _wanted(
    options: argparse.Namespace, filters: list[PyFilter], upstream: tuple[str, int]
) -> Wanted:
    return Wanted(
        filters=filters,
        upstream=upstream,
        port=options.port,
        admin_port=options.admin_port,
        demo=options.demo,
    )


def _given_job(options: argparse.Namespace) -> Job:
    """Make the job of a bootstrap of the user's own."""
    for name in ("filter", "set", "upstream", "demo", "port", "admin_port"):
        if getattr(options, name):
            option = "--" + name.replace("_", "-")
            raise Refusal(f"{option} has no place beside --config, which says all")
    value = _read(options.config).value
    files = [path for path in map(Path, file_sinks(value)) if path.parts[:2] != ("/", "dev")]
    return Job(
        envoy=_envoy.find(options.envoy),
        config=options.config,
        add_admin="admin" not in value,
        log_level=options.log_level,
        files=[path for path in files if path.is_file() or not path.exists()],
    )


def _read(file: Path) -> Document:
    try:
        document = Document(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Refusal(f"{file}: {error}") from error
    if not isinstance(document.value, dict):
        raise Refusal(f"{file}: a bootstrap is a mapping")
    return document


def _run(options: argparse.Namespace) -> int:
    if options.config is not None:
        return run(_given_job(options))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="envoy-pyfilter-"))
        filters = _select.filters(options.filter, options.set, defaults=False)
        envoy = _envoy.find(options.envoy)
        upstream = options.upstream or ("127.0.0.1", stack.enter_context(demo_upstream()))
        file = Path(folder, "envoy.yaml")
        file.write_text(
            _bootstrap.as_yaml(_bootstrap.bootstrap(_wanted(options, filters, upstream)))
        )
        return run(
            Job(
                envoy=envoy,
                config=file,
                log_level=options.log_level,
                try_path="/" if options.upstream else _TRY_BODY,
            )
        )


def _config(options: argparse.Namespace) -> int:
    filters = _select.filters(options.filter, options.set, defaults=True)
    wanted = _wanted(options, filters, options.upstream or ("127.0.0.1", 8080))
    if options.bootstrap:
        value: object = _bootstrap.bootstrap(wanted)
    else:
        value = [_bootstrap.py_filter(one) for one in wanted.filters]
    sys.stdout.write(_bootstrap.as_yaml(value))
    return 0


def _check_file(options: argparse.Namespace) -> int:
    try:
        text = options.file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{options.file}: {error}") from error
    findings = _check.static(text)
    if not options.no_envoy:
        envoy = _envoy.find(options.envoy) if options.envoy else _envoy.present()
        if envoy is None:
            say("No Envoy here, so it was not asked (--envoy 1.40 downloads one).")
        else:
            _envoy.require_supported(envoy)
            findings += _check.with_envoy(envoy, options.file)
    for finding in findings:
        print(finding.shown(options.file))
    errors = sum(finding.level == "error" for finding in findings)
    if not findings:
        print(f"{options.file}: nothing to complain about")
    return int(errors > 0)


def _diagnose(options: argparse.Namespace) -> int:
    lines, code = _doctor.report(_doctor.look(options.envoy))
    print("\n".join(lines))
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; *arguments* default to those of the process. The exit code is returned."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except Refusal as refusal:
        say(f"envoy-pyfilter: {refusal}")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
