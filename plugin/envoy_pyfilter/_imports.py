# SPDX-License-Identifier: Apache-2.0
"""``module:Class`` in a config to the class itself, from the folders that the config names."""

# os.path says False where pathlib raises (no permission, a name too long).
# ruff: noqa: PTH100, PTH112

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from ._problems import nearest, problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

log = logging.getLogger("envoy_pyfilter")

ABOVE: Final = "its traceback stands above"


@contextlib.contextmanager
def search_folders(folders: Sequence[str], path: str = "python_path") -> Iterator[None]:
    """
    Put *folders* in front of ``sys.path``, in their order, for good; a folder is never there twice.

    They are taken out again when the block raises. Raises ``ConfigError`` for what is no folder.
    """
    for index, folder in enumerate(folders):
        if not folder or "\0" in folder or not os.path.isdir(folder):
            raise problem(f"{path}[{index}]", "no such folder", got=folder)
    # Not resolve(): a link may be moved to another folder while Envoy runs.
    wanted = dict.fromkeys(os.path.abspath(folder) for folder in folders)
    new = [folder for folder in wanted if folder not in sys.path]
    sys.path[:0] = new
    importlib.invalidate_caches()  # a module may be younger than what Python knows of its folder
    try:
        yield
    except BaseException:
        for folder in new:
            with contextlib.suppress(ValueError):
                sys.path.remove(folder)
        raise


def load_class(reference: str, path: str = "") -> type[Any]:
    """
    Import the class that *reference* (``module:Class``, ``module:Outer.Inner``) names.

    Raises ``ConfigError`` for *path*; the traceback of what an import raised goes to the log.
    """
    module_name, colon, attribute = reference.partition(":")
    names = attribute.split(".")
    if not colon or not all(map(str.isidentifier, [*module_name.split("."), *names])):
        raise problem(path, "not a name of the form module:Class", got=reference)
    found: Any = _module(module_name, path)
    for name in names:
        found = _attribute(found, name, reference, path)
    if not isinstance(found, type):
        raise problem(path, f"{reference} is not a class, got {type(found).__name__}")
    return found


def _module(name: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except BaseException as error:  # SystemExit included: user code never ends Envoy
        log.exception("cannot import %s", name)
        hint = ""
        if isinstance(error, ModuleNotFoundError) and _is_part(error.name, name):
            hint = " (is its folder in python_path?)"
        raise problem(path, f"cannot import {name}: {raised(error)}{hint}; {ABOVE}") from None


def _is_part(missing: str | None, name: str) -> bool:
    return missing is not None and f"{name}.".startswith(f"{missing}.")


def _attribute(owner: Any, name: str, reference: str, path: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        classes = [key for key, value in vars(owner).items() if isinstance(value, type)]
        near = nearest(name, classes)
        hint = f"; did you mean {near}?" if near else ""
        what = f"{getattr(owner, '__name__', owner)} has no {name}{hint}"
        raise problem(path, what) from None
    except BaseException as error:
        log.exception("cannot look up %s", reference)
        raise problem(path, f"cannot look up {reference}: {raised(error)}; {ABOVE}") from None


def raised(error: BaseException) -> str:
    """One line that says what was raised."""
    try:
        text = " ".join(str(error).split())
    except BaseException:  # noqa: BLE001 (an exception that cannot even say what it is)
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
