# SPDX-License-Identifier: Apache-2.0
"""
``%EG_EXT_FILTER_STATE(name:attribute)%`` in formats: what a filter learned, by a name of your own.

Envoy does not know the operator. ``resolve_format`` writes a format that Envoy knows, and
``envoy-pyfilter resolve`` does so with all formats of a configuration; docs/operator.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from ._operator import gateway, strict
from ._operator.aliases import Alias, Kind
from ._operator.result import Notice, Resolved
from ._problems import problem

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PROFILES", "Alias", "Kind", "Notice", "Profile", "Resolved", "resolve_format"]

Profile: TypeAlias = Literal["strict", "eg-v1", "eg-v3"]
PROFILES: Final[tuple[Profile, ...]] = get_args(Profile)


def resolve_format(
    text: str, aliases: Iterable[Alias], profile: Profile = "strict", *, unknown: str = "-"
) -> Resolved:
    """
    Resolve the operators of one format; a format without any is given back as it is.

    *aliases*: several of one name are several filters, of which the one that has a value counts
    (``eg-v1`` and ``eg-v3``: the first). *unknown*, in ``strict`` only: what stands for a name that
    *aliases* do not have; ``{name}`` in it is that name.

    ``ConfigError`` for an unknown profile. Takes time linear in the length of *text*.
    """
    if profile == "eg-v1":
        return Resolved(gateway.v1(text, aliases))
    if profile == "eg-v3":
        return Resolved(gateway.v3(text, aliases))
    if profile == "strict":
        return strict.resolve(text, tuple(aliases), strict.Settings(unknown=unknown))
    raise problem("profile", "unknown value", got=profile, expected="strict, eg-v1 or eg-v3")
