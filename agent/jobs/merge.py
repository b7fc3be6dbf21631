"""What the windows of one long document say, as one value.

Objects are merged member by member. `confident` takes the value that is surest, `first` the first
that is not null, `longest` the longest, `append` puts lists behind each other without the items
that two windows showed. A schema says which with `x-merge`; without it lists are appended, and of
everything else the surest is taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Policy = Literal["confident", "first", "longest", "append"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True)
class Part:
    """What one window gave: its value, and the confidence of its scalars by JSON pointer."""

    value: Any
    confidence: Mapping[str, float]


def merge(
    parts: Sequence[Part], schema: Any, policy: Policy | None = None
) -> tuple[Any, dict[str, float]]:
    """The value of all parts, in the order of their windows, and the confidence of its scalars.
    `policy` is what a schema without `x-merge` means."""
    merged: dict[str, float] = {}
    chosen = [(part.value, part.confidence, "") for part in parts]
    value = _merged(chosen, schema, policy, "", merged)
    return value, merged


_One = tuple[Any, Mapping[str, float], str]
"""A value, its part's confidences, and the pointer at which it stands there."""


def _merged(
    parts: Sequence[_One],
    schema: Any,
    default: Policy | None,
    pointer: str,
    confidence: dict[str, float],
) -> Any:
    schema = schema if isinstance(schema, Mapping) else {}
    own: Policy | None = schema.get("x-merge")
    said = [part for part in parts if part[0] is not None]
    if said and own is None and all(isinstance(value, Mapping) for value, _, _ in said):
        return _members(said, schema, default, pointer, confidence)
    policy = own or default
    lists = bool(said) and all(isinstance(value, list) for value, _, _ in said)
    if lists and policy in (None, "append"):
        return _appended(said, pointer, confidence)
    value, surest, place = _best(said or parts, policy)
    _carry(surest, place, pointer, confidence)
    return value


def _members(
    parts: Sequence[_One],
    schema: Mapping[str, Any],
    default: Policy | None,
    pointer: str,
    confidence: dict[str, float],
) -> dict[str, Any]:
    names = dict.fromkeys(name for value, _, _ in parts for name in value)
    declared = [name for name in schema.get("properties", {}) if name in names]
    merged = {}
    for name in dict.fromkeys([*declared, *names]):
        step = _step(name)
        having = [
            (value[name], own, f"{place}/{step}") for value, own, place in parts if name in value
        ]
        inner = schema.get("properties", {}).get(name, {})
        merged[name] = _merged(having, inner, default, f"{pointer}/{step}", confidence)
    return merged


def _appended(parts: Sequence[_One], pointer: str, confidence: dict[str, float]) -> list[Any]:
    """Lists behind each other; the longest end of what is there that the next list begins with is
    what both windows showed."""
    merged: list[Any] = []
    for items, own, place in parts:
        again = next(
            size
            for size in range(min(len(merged), len(items)), -1, -1)
            if [_key(item) for item in merged[len(merged) - size :]]
            == [_key(item) for item in items[:size]]
        )
        for number in range(again, len(items)):
            _carry(own, f"{place}/{number}", f"{pointer}/{len(merged)}", confidence)
            merged.append(items[number])
    return merged


def _best(parts: Sequence[_One], policy: Policy | None) -> _One:
    """The first of the best; `parts` are in the order of their windows."""
    if policy == "first":
        return parts[0]
    if policy in ("longest", "append"):
        return max(parts, key=lambda part: len(_key(part[0])))
    return max(parts, key=lambda part: _sure(part[1], part[2]))


def _sure(confidence: Mapping[str, float], place: str) -> float:
    """The mean over the scalars at and below a place."""
    own = [sure for pointer, sure in confidence.items() if _below(pointer, place)]
    return sum(own) / len(own) if own else 0.0


def _carry(
    own: Mapping[str, float], place: str, pointer: str, confidence: dict[str, float]
) -> None:
    for found, sure in own.items():
        if _below(found, place):
            confidence[pointer + found[len(place) :]] = sure


def _below(pointer: str, place: str) -> bool:
    return pointer == place or pointer.startswith(f"{place}/")


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
