# SPDX-License-Identifier: Apache-2.0
"""
The command ``envoy-pyfilter``: ``run``, ``tail``, ``config``, ``resolve``, ``check``, ``doctor``.

This file reads the arguments; what each part does stands in a private module of its name.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from envoy_pyfilter import _bootstrap, _check, _doctor, _envoy, _select, _tail_options
from envoy_pyfilter._bootstrap import PyFilter, Wanted
from envoy_pyfilter._console import Refusal, say
from envoy_pyfilter._demo_upstream import demo_upstream
from envoy_pyfilter._document import Document, file_sinks, text_of
from envoy_pyfilter._operator import command as _operator
from envoy_pyfilter._operator.chains import snake
from envoy_pyfilter._run import Job, run
from envoy_pyfilter._tail import tail

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


def _add_filter_options(
    parser: argparse.ArgumentParser, port: int | None = None, admin_port: int | None = None
) -> None:
    """Add what `run` and `config` share; without a port, as with 0, it is a free one."""
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
        "--set-access",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="the same for the access filter that stands before yours",
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
    parser.add_argument(
        "--access-log",
        metavar="FORMAT",
        help="add Envoy's own access log, to stderr, with this format",
    )
    _operator.add_aliases(parser)
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
    _add_filter_options(one)
    one.add_argument("--envoy", metavar="PATH|VERSION", help=f"{envoy_help}, downloaded if missing")
    one.add_argument("--log-level", metavar="LEVEL", help="of Envoy's log (default: warnings)")

    one = commands.add_parser(
        "tail",
        help="show entries live: from a socket as Cilium's agent has it, and from files",
        description=_tail_options.DESCRIPTION,
        epilog=_tail_options.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.set_defaults(command=lambda options: tail(_tail_options.asked(options)))
    _tail_options.add(one)

    one = commands.add_parser("config", help="print a filter's config, or a bootstrap around it")
    one.set_defaults(command=_config)
    _add_filter_options(one, port=10000, admin_port=9901)
    one.add_argument("--bootstrap", action="store_true", help="print a whole bootstrap")
    one.add_argument(
        "--logger",
        action="store_true",
        help="the access logger in place of a filter; --set its keys",
    )

    one = commands.add_parser(
        "resolve",
        help="make %%EG_EXT_FILTER_STATE(...)%% in formats into what Envoy has",
        description=_operator.DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.set_defaults(command=_operator.resolve)
    _operator.add(one)

    one = commands.add_parser("check", help="find what is wrong with a bootstrap's use of us")
    one.set_defaults(command=_check_file)
    one.add_argument("file", metavar="FILE", type=Path)
    one.add_argument("--envoy", metavar="PATH|VERSION", help=f"{envoy_help}, downloaded if missing")
    _operator.add_aliases(one)
    one.add_argument("--no-envoy", action="store_true", help="do not ask envoy --mode validate")

    one = commands.add_parser("doctor", help="find what is missing on this machine")
    one.set_defaults(command=_diagnose)
    one.add_argument("--envoy", metavar="PATH|VERSION", help=envoy_help)
    return parser


def _selected(options: argparse.Namespace, *, defaults: bool) -> list[PyFilter]:
    return _select.filters(options.filter, options.set, options.set_access, defaults=defaults)


def _selected_logger(options: argparse.Namespace) -> PyFilter:
    for name in ("filter", "set_access"):
        if getattr(options, name):
            option = "--" + name.replace("_", "-")
            raise Refusal(f"{option} has no place beside --logger: a logger is no filter")
    return _select.logger(options.set)


def _wanted(
    options: argparse.Namespace, filters: list[PyFilter], upstream: tuple[str, int]
) -> Wanted:
    return Wanted(
        filters=filters,
        upstream=upstream,
        port=options.port or 0,
        admin_port=options.admin_port or 0,
        demo=options.demo,
        access_log=options.access_log,
    )


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_BOOTSTRAP = {"static_resources", "dynamic_resources", "admin", "node"}
_OF_MADE = ("filter", "set", "set_access", "upstream", "demo", "access_log", "port", "admin_port")


def _given_job(options: argparse.Namespace, folder: Path) -> Job:
    """Make the job of a bootstrap of the user's own; what is changed of it goes to *folder*."""
    for name in _OF_MADE:
        value = getattr(options, name)
        if value is not None and value is not False and value != []:
            option = "--" + name.replace("_", "-")
            raise Refusal(f"{option} has no place beside --config, which says all")
    value = _read(options.config).value
    files = [path for path in map(Path, file_sinks(value)) if path.parts[:2] != ("/", "dev")]
    config = _operator.resolved_file(options.config, options.aliases, folder)
    return Job(
        envoy=_envoy.find(options.envoy),
        config=config,
        add_admin="admin" not in value,
        log_level=options.log_level,
        files=[path for path in files if path.is_file() or not path.exists()],
    )


def _read(file: Path) -> Document:
    try:
        document = Document(text_of(file))
    except yaml.YAMLError as error:
        raise Refusal(_check.not_yaml(error).shown(file)) from error
    if not isinstance(document.value, dict):
        raise Refusal(f"{file}: a bootstrap is a mapping")
    if document.value and not _BOOTSTRAP.intersection(map(snake, map(str, document.value))):
        raise Refusal(f"{file}: no bootstrap of Envoy; expected static_resources, say")
    return document


def _run(options: argparse.Namespace) -> int:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="envoy-pyfilter-")))
        if options.config is not None:
            return run(_given_job(options, folder))
        filters = _selected(options, defaults=False)
        envoy = _envoy.find(options.envoy)
        upstream = options.upstream or ("127.0.0.1", stack.enter_context(demo_upstream()))
        made = _bootstrap.bootstrap(_wanted(options, filters, upstream))
        file = folder / "envoy.yaml"
        file.write_text(_bootstrap.as_yaml(_operator.resolved_value(made, options.aliases)))
        return run(
            Job(
                envoy=envoy,
                config=file,
                log_level=options.log_level,
                ports={options.port: "--port", options.admin_port: "--admin-port"},
                try_path="/" if options.upstream else _TRY_BODY,
            )
        )


def _config(options: argparse.Namespace) -> int:
    filters = [] if options.logger else _selected(options, defaults=True)
    wanted = _wanted(options, filters, options.upstream or ("127.0.0.1", 8080))
    if options.logger:
        wanted = replace(wanted, loggers=[_selected_logger(options)])
    if options.bootstrap:
        made = _bootstrap.bootstrap(wanted)
        value: object = _operator.resolved_value(made, options.aliases)
    else:
        value = [_bootstrap.py_filter(one) for one in filters]
        value += [_bootstrap.py_logger(one) for one in wanted.loggers]
    for one in (*filters, *wanted.loggers):
        if one.unset:
            print(f"# Not set, so not shown ({one.name}): {', '.join(one.unset)}.")
    sys.stdout.write(_bootstrap.as_yaml(value))
    return 0


def _check_file(options: argparse.Namespace) -> int:
    findings = _check.static(text_of(options.file))
    if not options.no_envoy:
        envoy = _envoy.find(options.envoy) if options.envoy else _envoy.present()
        if envoy is None:
            say("No Envoy here, so it was not asked (--envoy 1.40 downloads one).")
        else:
            _envoy.require_supported(envoy)
            with tempfile.TemporaryDirectory(prefix="envoy-pyfilter-") as folder:
                file = options.file
                if not _check.has_errors(findings):
                    file = _operator.resolved_file(file, options.aliases, Path(folder))
                findings = _check.said_once(findings, _check.with_envoy(envoy, file))
    for finding in findings:
        print(finding.shown(options.file))
    if not findings:
        print(f"{options.file}: nothing to complain about")
    return int(_check.has_errors(findings))


def _diagnose(options: argparse.Namespace) -> int:
    lines, code = _doctor.report(_doctor.look(options.envoy))
    print("\n".join(lines))
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; *arguments* default to those of the process. The exit code is returned."""
    options = _parser().parse_args(arguments)
    if not sys.stderr:  # Python has None for what was closed before it started
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 (until the end)
    if not sys.stdout:
        say("envoy-pyfilter: stdout is closed, where the results go (> /dev/null drops them)")
        return 1
    try:
        code = int(options.command(options))
        sys.stdout.flush()
        return code  # noqa: TRY300 (flushing is part of the work)
    except BrokenPipeError:  # who reads our results has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is not None or error.errno not in _NO_ROOM:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say(f"envoy-pyfilter: stdout takes no more: {error.strerror}")
        return 1
    except Refusal as refusal:
        say(f"envoy-pyfilter: {refusal}")
        return refusal.code
    except KeyboardInterrupt:
        return _INTERRUPTED
