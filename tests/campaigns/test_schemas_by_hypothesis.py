"""Drawn schemas and drawn instances, our verdict beside `jsonschema`'s: run by `make campaigns`.

What a constraint accepts must validate. What validates must be accepted, as it stands or as the
constraint renders it, unless the constraint notes that it is narrower. A schema that is refused
says why; how many are, and how many instances are lost to a narrower language, is printed.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from gesso.engine import Constraint, ConstraintError, json_schema
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema
from jsonschema import Draft202012Validator

CASES = 10_000
A_SCHEMA = 10
"""Instances judged for each schema."""

KEYS = st.sampled_from(["a", "b", "name", "é", 'q"t', "x-1"])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
NUMBERS = st.integers(-30, 30) | st.floats(-30, 30, allow_nan=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | TEXTS, inner, max_size=4),
    max_leaves=6,
)
PATTERNS = st.sampled_from(
    ["^[a-z]{2,4}$", "[0-9]", r"^\d{3}-\d{2}$", "^(a|bc)*$", r"^\S+$", "é", r"^x-", "^$", r"\bok\b"]
)
FORMATS = st.sampled_from(["date", "email", "ipv4", "ipv6", "uuid"])
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]


def _some(**keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any choice of some keywords."""
    return st.fixed_dictionaries({}, optional=keywords)


def _typed(kind: str, **keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return _some(**keywords).map(lambda chosen: {"type": kind} | chosen)


_SIZES = st.integers(0, 4)
_STRINGS = _typed("string", minLength=_SIZES, maxLength=_SIZES) | st.one_of(
    _typed("string", minLength=_SIZES).flatmap(
        lambda chosen: PATTERNS.map(lambda pattern: chosen | {"pattern": pattern})
    ),
    FORMATS.map(lambda name: {"type": "string", "format": name}),
)


def _numbers(kind: str, bounds: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return _typed(
        kind,
        minimum=bounds,
        maximum=bounds,
        exclusiveMinimum=bounds,
        exclusiveMaximum=bounds,
        multipleOf=st.sampled_from([1, 2, 5, 0.5]),
    )


_NUMBERS = _numbers("integer", st.integers(-30, 30)) | _numbers("number", NUMBERS)
_LEAVES = st.one_of(
    st.booleans(),
    st.sampled_from([{}, *({"type": kind} for kind in TYPES)]),
    st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True).map(
        lambda kinds: {"type": kinds}
    ),
    _STRINGS,
    _NUMBERS,
    st.lists(VALUES, min_size=1, max_size=4, unique_by=lambda value: json.dumps(value)).map(
        lambda values: {"enum": values}
    ),
    VALUES.map(lambda value: {"const": value}),
)


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    arrays = _typed(
        "array",
        items=inner,
        minItems=_SIZES,
        maxItems=_SIZES,
        uniqueItems=st.booleans(),
        contains=inner,
    )
    objects = _typed(
        "object",
        properties=st.dictionaries(KEYS, inner, max_size=4),
        required=st.lists(KEYS, max_size=3, unique=True),
        additionalProperties=inner,
        patternProperties=st.dictionaries(PATTERNS, inner, max_size=2),
        propertyNames=_STRINGS,
        minProperties=_SIZES,
        maxProperties=_SIZES,
    )
    several = st.lists(inner, min_size=1, max_size=3)
    combined = _some(allOf=several, anyOf=several, oneOf=several) | _some(
        **{"not": inner, "if": inner, "then": inner, "else": inner}
    )
    both = st.tuples(arrays | objects, combined).map(lambda pair: pair[0] | pair[1])
    return arrays | objects | objects | combined | both


@st.composite
def _schemas(draw: st.DrawFn) -> Any:
    schema = draw(st.recursive(_LEAVES, _larger, max_leaves=5))
    if isinstance(schema, dict) and draw(st.integers(0, 4)) == 0:
        shared = draw(_LEAVES)
        properties = {**schema.get("properties", {}), "shared": {"$ref": "#/$defs/shared"}}
        schema = {**schema, "properties": properties, "$defs": {"shared": shared}}
    return schema


def _instances(schema: Any, root: Any) -> st.SearchStrategy[Any]:
    """Values that are likely, not certain, to be valid.

    Strings and numbers are hypothesis-jsonschema's; objects and arrays are drawn here, member by
    member, because its own (0.23.1) fail under the newest hypothesis.
    """
    if not isinstance(schema, dict):
        return VALUES
    if "$ref" in schema:
        return _instances(root["$defs"]["shared"], root)
    parts = [
        _instances(branch, root)
        for keyword in ("allOf", "anyOf", "oneOf")
        for branch in schema.get(keyword, [])
    ]
    parts += [_instances(schema[name], root) for name in ("then", "else") if name in schema]
    if "enum" in schema or "const" in schema:
        parts.append(st.sampled_from([*schema.get("enum", []), schema.get("const")]))
    kind = schema.get("type")
    if kind in ("string", "integer", "number"):
        lengths = schema.get("minLength", 0) <= schema.get("maxLength", math.inf)
        scalars = from_schema(schema, codec="utf-8") if lengths else st.nothing()
        parts.append(VALUES if scalars.is_empty else scalars)
    if kind == "array":
        items = _instances(schema.get("items", True), root)
        least = schema.get("minItems", 0)
        parts.append(st.lists(items, min_size=least, max_size=max(least, 4)))
    if kind == "object" or "properties" in schema:
        parts.append(_objects(schema, root))
    return st.one_of(parts) if parts else VALUES


@st.composite
def _objects(draw: st.DrawFn, schema: Any, root: Any) -> dict[str, Any]:
    properties = schema.get("properties", {})
    value = {
        name: draw(_instances(properties.get(name, schema.get("additionalProperties")), root))
        for name in dict.fromkeys([*properties, *schema.get("required", [])])
        if name in schema.get("required", []) or draw(st.booleans())
    }
    for name in draw(st.lists(KEYS, max_size=schema.get("minProperties", 1))):
        if len(value) < schema.get("maxProperties", 6):
            value.setdefault(name, draw(_instances(schema.get("additionalProperties"), root)))
    if draw(st.integers(0, 4)) == 0:
        return dict(draw(st.permutations(list(value.items()))))
    return value


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # hypothesis-jsonschema's own resolver
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
def test_what_a_drawn_schema_accepts_validates_and_what_validates_is_accepted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts: Counter[str] = Counter()

    @settings(
        max_examples=CASES // A_SCHEMA,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
    )
    @given(_schemas(), st.data())
    def attack(schema: Any, data: st.DataObject) -> None:
        try:
            constraint = json_schema(schema)
        except ConstraintError:
            counts["schemas refused"] += 1
            reject()  # draws another, so that the number of judged cases stays
        counts["schemas compiled"] += 1
        validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        instances = _instances(schema, schema) | VALUES
        for _ in range(A_SCHEMA):
            _judge(constraint, validator, data.draw(instances), counts)
        rng = random.Random(repr(schema))
        for _ in range(A_SCHEMA):
            text = _written(constraint, rng)
            if text is not None:
                value = json.loads(text)  # of a name that is not declared and repeated, the last
                held = constraint.accepts(json.dumps(value)) or bool(constraint.checked)
                assert held, f"written and not valid: {text}"
                counts["written"] += 1

    attack()
    with capsys.disabled():
        print()
        for name, count in sorted(counts.items()):
            print(f"{name}: {count}")
        if counts["valid"]:
            print(
                f"lost to a narrower language: {100 * counts['narrower'] / counts['valid']:.1f} %"
            )


def _written(constraint: Constraint, rng: random.Random) -> str | None:
    """A random text of the automaton; `None` where the walk does not end soon."""
    dfa, state, symbols = constraint.dfa, constraint.dfa.start, bytearray()
    while len(symbols) < 300:
        ways = np.flatnonzero(dfa.table[state] >= 0).tolist()
        if dfa.final[state] and (not ways or rng.random() < 0.3):
            return symbols.decode()
        symbols.append(rng.choice(ways))
        state = int(dfa.table[state][symbols[-1]])
    return None


def _judge(
    constraint: Constraint, validator: Draft202012Validator, value: Any, counts: Counter[str]
) -> None:
    accepted = constraint.accepts(json.dumps(value, ensure_ascii=False))
    valid = validator.is_valid(value)
    assert valid or not accepted, f"accepted and not valid: {value!r}"
    counts["valid" if valid else "invalid"] += 1
    if not valid or accepted:
        return
    with suppress(ConstraintError):
        constraint.render(value)
        counts["valid, accepted as rendered"] += 1
        return
    assert "format" in json.dumps(constraint.describe()), f"valid and refused: {value!r}"
    counts["narrower"] += 1  # our formats are narrower than some of the library's checks
