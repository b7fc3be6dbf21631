"""What values a schema allows, by type: schemas as a boolean algebra.

A *term* names a set of JSON values: a schema of the document, a constant, or a combination of
terms. Its *shape* says, type by type, which values are in it, as a union of simple items: intervals
of numbers, string languages, array and object patterns whose members are terms again. So `allOf`
is an intersection, `oneOf` and `if` are intersections with complements, and a recursive schema
stays finite, because the shapes of members are only worked out when someone asks.

A shape is exact or narrower, never wider, except for what is listed in `Algebra.checked`: that
must be checked on the finished value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, islice
from typing import Any

from .dfa import Dfa
from .document import Document, refused
from .formats import FORMATS
from .numbers import Inexact, Numbers, exact, point
from .pattern import parse_pattern
from .regular import ANY, Both, Characters, Either, Expression, Literal, Not, Repeat, determinise

Term = int
EVERYTHING: Term = 0
NOTHING: Term = 1
_MOST_ITEMS = 400
"""No type has more items in its union than this."""
_MOST_EXPLODED = 12
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


@dataclass(frozen=True)
class Strings:
    """Some strings: those listed, or all between two lengths, in every language of `inside` and
    in none of `outside`."""

    values: frozenset[str] | None = None
    least: int = 0
    most: int | None = None
    inside: frozenset[Expression] = frozenset()
    outside: frozenset[Expression] = frozenset()
    excluded: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether it is certain that no string is in it."""
        if self.values is not None:
            return not self.values
        return self.most is not None and self.least > self.most

    @property
    def is_free(self) -> bool:
        """Whether every string is in it."""
        return self == Strings()

    def __contains__(self, text: str) -> bool:
        if self.values is not None and text not in self.values:
            return False
        if len(text) < self.least or (self.most is not None and len(text) > self.most):
            return False
        if text in self.excluded:
            return False
        return all(matches(one, text) for one in self.inside) and not any(
            matches(one, text) for one in self.outside
        )

    def intersect(self, other: Strings) -> Strings:
        """The strings in both."""
        most = self.most if other.most is None else other.most
        if self.most is not None and other.most is not None:
            most = min(self.most, other.most)
        joint = Strings(
            None,
            max(self.least, other.least),
            most,
            self.inside | other.inside,
            self.outside | other.outside,
            self.excluded | other.excluded,
        )
        if self.values is None and other.values is None:
            return joint
        values = self.values if other.values is None else other.values
        if self.values is not None and other.values is not None:
            values = self.values & other.values
        return Strings(frozenset(text for text in values or () if text in joint))

    def complement(self) -> list[Strings]:
        """Every other string."""
        if self.values is not None:
            return [Strings(excluded=self.values)]
        parts = [Strings(outside=frozenset([one])) for one in sorted(self.inside, key=repr)]
        parts += [Strings(inside=frozenset([one])) for one in sorted(self.outside, key=repr)]
        if self.least:
            parts.append(Strings(most=self.least - 1))
        if self.most is not None:
            parts.append(Strings(least=self.most + 1))
        if self.excluded:
            parts.append(Strings(self.excluded))
        return parts

    def expression(self) -> Expression:
        """Its language over characters."""
        if self.values is not None:
            return Either(tuple(Literal(text) for text in sorted(self.values)))
        parts = sorted(self.inside, key=repr)
        parts += [Not(one) for one in sorted(self.outside, key=repr)]
        if self.excluded:
            parts.append(Not(Either(tuple(Literal(text) for text in sorted(self.excluded)))))
        if self.least or self.most is not None or not parts:
            parts.append(Repeat(Characters(ANY), self.least, self.most))
        found = parts[0]
        for part in parts[1:]:
            found = Both(found, part)
        return found


@dataclass(frozen=True)
class Arrays:
    """Some arrays: items of `prefix` one by one, then of `rest`; `counted` items must be of a
    term at least and at most so many times."""

    prefix: tuple[Term, ...] = ()
    rest: Term = EVERYTHING
    least: int = 0
    most: int | None = None
    counted: tuple[tuple[Term, int, int | None], ...] = ()
    unique: bool = False

    def item(self, index: int) -> Term:
        """What the item at an index must be."""
        return self.prefix[index] if index < len(self.prefix) else self.rest


@dataclass(frozen=True)
class Others:
    """Members whose names are not declared: those with a name of `names` have values of `value`.
    `implied` marks the ones that a schema allows only by not speaking of them."""

    names: Strings = Strings()
    value: Term = EVERYTHING
    implied: bool = False


@dataclass(frozen=True)
class Objects:
    """Some objects: declared members in order, other members by disjoint kinds of names (a name of
    no kind is forbidden), how many there are, and kinds of which one must be there at least."""

    declared: tuple[tuple[str, Term], ...] = ()
    required: frozenset[str] = frozenset()
    others: tuple[Others, ...] = (Others(implied=True),)
    least: int = 0
    most: int | None = None
    some: tuple[Others, ...] = ()

    def member(self, name: str) -> Term:
        """What the value of a member must be."""
        for declared, term in self.declared:
            if declared == name:
                return term
        for other in self.others:
            if name in other.names:
                return other.value
        return NOTHING


@dataclass(frozen=True)
class Shape:
    """The values of a term, type by type; each list is a union."""

    null: bool = False
    booleans: frozenset[bool] = frozenset()
    numbers: tuple[Numbers, ...] = ()
    strings: tuple[Strings, ...] = ()
    arrays: tuple[Arrays, ...] = ()
    objects: tuple[Objects, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it at all."""
        return self == Shape()


ALL = Shape(True, frozenset([False, True]), (Numbers(),), (Strings(),), (Arrays(),), (Objects(),))


def matches(language: Expression, text: str) -> bool:
    """Whether a text is in a language over characters."""
    dfa = automaton_of(language)
    state = dfa.run(text.encode("utf-8", "surrogatepass"))
    return state >= 0 and bool(dfa.final[state])


@lru_cache(maxsize=1024)
def automaton_of(language: Expression) -> Dfa:
    """The automaton of a language over characters; the last thousand are kept."""
    return determinise(language)


class Algebra:
    """The terms of one document and their shapes.

    With `wide`, what a complement cannot say is allowed, and noted in `checked`; without, it is
    left out. `checked` holds the keywords (as JSON pointers) that a finished value must still be
    checked against.
    """

    def __init__(self, document: Document, *, wide: bool = False) -> None:
        self._document = document
        self._wide = wide
        self._terms: list[tuple[Any, ...]] = [("all",), ("none",)]
        self._numbers: dict[tuple[Any, ...], Term] = {}
        self._kept: list[Any] = []
        self._shapes: dict[Term, Shape] = {EVERYTHING: ALL, NOTHING: Shape()}
        self._open: set[Term] = set()
        self._cuts = 0
        self._narrow: set[Term] = set()
        self._narrowed = 0
        """Counts what was left out: a term whose shape made it grow is narrower than it should."""
        self.checked: dict[str, None] = {}
        self.root = self.schema(document.root)

    # terms

    def schema(self, schema: Any) -> Term:
        """The term of a schema."""
        if schema is True or schema == {}:
            return EVERYTHING
        if schema is False:
            return NOTHING
        if isinstance(schema, Mapping) and schema.keys() == {"not"}:
            return self.other(self.schema(schema["not"]))  # so that a double negation is none
        self._kept.append(schema)
        return self._term(("schema", id(schema)), schema)

    def constant(self, value: Any) -> Term:
        """The term of one value."""
        return self._term(("constant", repr(value)), value)

    def both(self, terms: Iterable[Term]) -> Term:
        """What is in every term."""
        kept = frozenset(terms) - {EVERYTHING}
        if NOTHING in kept:
            return NOTHING
        if len(kept) < 2:
            return next(iter(kept), EVERYTHING)
        return self._term(("both", kept))

    def either(self, terms: Iterable[Term]) -> Term:
        """What is in one of the terms, in their order."""
        kept = tuple(dict.fromkeys(term for term in terms if term != NOTHING))
        if EVERYTHING in kept:
            return EVERYTHING
        if len(kept) < 2:
            return kept[0] if kept else NOTHING
        return self._term(("either", kept))

    def other(self, term: Term) -> Term:
        """What is not in a term."""
        if term in (EVERYTHING, NOTHING):
            return NOTHING if term == EVERYTHING else EVERYTHING
        kind, *parts = self._terms[term]
        return parts[0] if kind == "not" else self._term(("not", term))

    def _term(self, key: tuple[Any, ...], *payload: Any) -> Term:
        if key not in self._numbers:
            self._numbers[key] = len(self._terms)
            self._terms.append((key[0], *payload) if payload else key)
        return self._numbers[key]

    # shapes

    def shape(self, term: Term) -> Shape:
        """The values of a term.

        Raises:
            ConstraintError: a keyword is malformed, or a reference refers to itself.
        """
        if term in self._shapes:
            self._narrowed += term in self._narrow
            return self._shapes[term]
        kind, *parts = self._terms[term]
        if term in self._open:
            if kind == "schema" and parts[0].keys() <= {"$ref", "$defs", "definitions"}:
                pointer = self._document.pointer(parts[0])
                raise refused(pointer, "$ref", "refers to itself: no value is ever reached")
            self._cuts += 1  # the least set that solves the equation: nothing is added here
            self._narrowed += 1
            return Shape()
        cuts, narrowed = self._cuts, self._narrowed
        self._open.add(term)
        try:
            if kind == "schema":
                found = self._of_schema(parts[0])
            elif kind == "constant":
                found = self._of_constant(parts[0])
            elif kind == "both":
                found = ALL
                for part in sorted(parts[0]):
                    found = self.intersect(found, self.shape(part))
            elif kind == "either":
                found = self._union(self.shape(part) for part in parts[0])
            else:
                found = self._other_shape(parts[0])
        finally:
            self._open.discard(term)
        if self._narrowed != narrowed:
            self._narrow.add(term)
        if self._cuts == cuts or not self._open:
            self._shapes[term] = found
        return found

    def _other_shape(self, term: Term) -> Shape:
        narrowed = self._narrowed
        try:
            found = self.shape(term)
            if self._narrowed != narrowed:  # what is narrower has a complement that is wider
                self._narrowed = narrowed
                raise Inexact("not")
            return self.complement(found)
        except Inexact as inexact:
            if not self._wide:
                self._narrowed += 1
                return Shape()
            self._check(term, inexact.keyword)
            return ALL

    def _check(self, term: Term, keyword: str) -> None:
        kind, *parts = self._terms[term]
        pointer = self._document.pointer(parts[0]) if kind == "schema" else ""
        self.checked[f"{pointer}/{keyword}"] = None

    def is_empty(self, term: Term, depth: int = 3) -> bool:
        """Whether it is certain, looking `depth` members deep, that a term has no value."""
        if term in (EVERYTHING, NOTHING):
            return term == NOTHING
        if term in self._open or depth < 0:
            return False
        shape = self.shape(term)
        if shape.null or shape.booleans or shape.numbers:
            return False
        for strings in shape.strings:
            if strings.values is None and (strings.inside or strings.outside):
                if not automaton_of(strings.expression()).is_empty:
                    return False
            else:
                return False
        for arrays in shape.arrays:
            needed = (arrays.item(index) for index in range(min(arrays.least, _MOST_EXPLODED)))
            if not any(self.is_empty(item, depth - 1) for item in needed):
                return False
        for objects in shape.objects:
            needed = (objects.member(name) for name in sorted(objects.required))
            if not any(self.is_empty(member, depth - 1) for member in needed):
                return False
        return True

    # operations

    def intersect(self, first: Shape, second: Shape) -> Shape:
        """What is in both shapes."""
        if first is ALL or second is ALL:
            return second if first is ALL else first
        return Shape(
            first.null and second.null,
            first.booleans & second.booleans,
            self._bounded(_pairs(first.numbers, second.numbers, Numbers.intersect)),
            self._bounded(_pairs(first.strings, second.strings, Strings.intersect)),
            self._bounded(
                joint
                for one in first.arrays
                for other in second.arrays
                if (joint := self._both_arrays(one, other)) is not None
            ),
            self._bounded(
                joint
                for one in first.objects
                for other in second.objects
                if (joint := self._both_objects(one, other)) is not None
            ),
        )

    def _bounded(self, items: Iterator[Any]) -> tuple[Any, ...]:
        """A union of at most so many items; what is left out makes it narrower."""
        found = _distinct(islice(items, _MOST_ITEMS))
        self._narrowed += next(items, None) is not None
        return found

    def _union(self, shapes: Iterable[Shape]) -> Shape:
        parts = list(shapes)
        return Shape(
            any(part.null for part in parts),
            frozenset().union(*(part.booleans for part in parts)),
            _distinct(one for part in parts for one in part.numbers),
            _joined(_distinct(one for part in parts for one in part.strings)),
            _distinct(one for part in parts for one in part.arrays),
            _distinct(one for part in parts for one in part.objects),
        )

    def complement(self, shape: Shape) -> Shape:
        """What is not in a shape.

        Raises:
            Inexact: it cannot be said with the items there are.
        """
        found = replace(
            ALL, null=not shape.null, booleans=frozenset([False, True]) - shape.booleans
        )
        for numbers in shape.numbers:
            found = self.intersect(found, replace(ALL, numbers=numbers.complement()))
        for strings in shape.strings:
            found = self.intersect(found, replace(ALL, strings=tuple(strings.complement())))
        for arrays in shape.arrays:
            found = self.intersect(found, replace(ALL, arrays=tuple(self._other_arrays(arrays))))
        for objects in shape.objects:
            rest = tuple(self._other_objects(objects))
            found = self.intersect(found, replace(ALL, objects=rest))
        return found

    def _both_arrays(self, first: Arrays, second: Arrays) -> Arrays | None:
        length = max(len(first.prefix), len(second.prefix))
        most = first.most if second.most is None else second.most
        if first.most is not None and second.most is not None:
            most = min(first.most, second.most)
        joint = Arrays(
            tuple(self.both([first.item(n), second.item(n)]) for n in range(length)),
            self.both([first.rest, second.rest]),
            max(first.least, second.least),
            most,
            _distinct([*first.counted, *second.counted]),
            first.unique or second.unique,
        )
        return None if most is not None and joint.least > most else joint

    def _other_arrays(self, arrays: Arrays) -> list[Arrays]:
        if arrays.unique:
            raise Inexact("uniqueItems")
        found: list[Arrays] = []
        if arrays.least:
            found.append(Arrays(most=arrays.least - 1))
        if arrays.most is not None:
            found.append(Arrays(least=arrays.most + 1))
        for index, item in enumerate(arrays.prefix):
            free = (EVERYTHING,) * index
            found.append(Arrays((*free, self.other(item)), least=index + 1))
        if arrays.rest != EVERYTHING:
            off = self.other(arrays.rest)
            if arrays.rest == NOTHING:
                found.append(Arrays(least=len(arrays.prefix) + 1))
            elif arrays.prefix:
                raise Inexact("prefixItems")
            else:
                found.append(Arrays(counted=((off, 1, None),)))
        for term, least, most in arrays.counted:
            found.append(Arrays(counted=((term, 0, least - 1),)))
            if most is not None:
                found.append(Arrays(counted=((term, most + 1, None),)))
        return [one for one in found if one.counted == () or one.counted[0][2] != -1]

    def _both_objects(self, first: Objects, second: Objects) -> Objects | None:
        names = dict.fromkeys([name for name, _ in (*first.declared, *second.declared)])
        declared = tuple(
            (name, self.both([first.member(name), second.member(name)])) for name in names
        )
        required = first.required | second.required
        most = first.most if second.most is None else second.most
        if first.most is not None and second.most is not None:
            most = min(first.most, second.most)
        least = max(first.least, second.least)
        if most is not None and max(least, len(required)) > most:
            return None
        if any(term == NOTHING for name, term in declared if name in required):
            return None
        others = []
        for one in first.others:
            for other in second.others:
                kinds = one.names.intersect(other.names)
                value = self.both([one.value, other.value])
                if not kinds.is_empty and value != NOTHING:
                    others.append(Others(kinds, value, one.implied and other.implied))
        some = _distinct([*first.some, *second.some])
        return Objects(declared, required, tuple(others), least, most, some)

    def _other_objects(self, objects: Objects) -> list[Objects]:
        found: list[Objects] = []
        for name in sorted(objects.required):
            found.append(Objects(declared=((name, NOTHING),)))
        for name, term in objects.declared:
            if term != EVERYTHING:
                declared = ((name, self.other(term)),)
                found.append(Objects(declared, frozenset([name])))
        if objects.least > len(objects.required):
            found.append(Objects(most=objects.least - 1))
        if objects.most is not None:
            found.append(Objects(least=objects.most + 1))
        declared_names = frozenset(name for name, _ in objects.declared)
        kinds = Strings(excluded=declared_names)
        for other in objects.others:
            off = self.other(other.value)
            if off != NOTHING:
                names = other.names.intersect(kinds)
                found.append(Objects(some=(Others(names, off),)))
        found += [Objects(some=(Others(names),)) for names in _named_by_none(objects.others, kinds)]
        for some in objects.some:
            names = some.names
            off = self.other(some.value)
            rest = tuple(Others(one, EVERYTHING, True) for one in names.complement())
            if off != NOTHING:
                rest = (*rest, Others(names, off))
            found.append(Objects(others=rest))
        return found

    # schemas

    def _of_schema(self, schema: Mapping[str, Any]) -> Shape:
        document = self._document
        pointer = document.pointer(schema)
        try:
            found = self._typed(schema, pointer)
            terms = []
            if "$ref" in schema:
                terms.append(self.schema(document.resolve(schema)))
            if "const" in schema:
                terms.append(self.constant(schema["const"]))
            if "enum" in schema:
                terms.append(self._listed(schema["enum"], pointer))
            for keyword in ("allOf", "anyOf", "oneOf"):
                if keyword in schema:
                    parts = [self.schema(one) for _, one in document.children(schema, keyword)]
                    if keyword == "oneOf":
                        parts = self._exactly_one(parts)
                    terms.append(self.both(parts) if keyword == "allOf" else self.either(parts))
            if "not" in schema:
                terms.append(self.other(self.schema(document.child(schema, "not"))))
            if "if" in schema:
                terms.append(self._conditional(schema))
            terms += self._dependent(schema, pointer)
            for term in terms:
                found = self.intersect(found, self.shape(term))
        except Inexact as inexact:
            raise refused(
                pointer, inexact.keyword, "leads to more cases than can be held"
            ) from None
        return self._closed(found, schema)

    def _closed(self, shape: Shape, schema: Mapping[str, Any]) -> Shape:
        """`unevaluatedProperties` and `unevaluatedItems`: what no keyword spoke of."""
        self._narrowed += "unevaluatedProperties" in schema or "unevaluatedItems" in schema
        if "unevaluatedProperties" in schema:
            rest = self.schema(self._document.child(schema, "unevaluatedProperties"))
            objects = tuple(
                replace(
                    one,
                    others=tuple(
                        replace(other, value=rest, implied=False) if other.implied else other
                        for other in one.others
                        if rest != NOTHING or not other.implied
                    ),
                )
                for one in shape.objects
            )
            shape = replace(shape, objects=objects)
        if "unevaluatedItems" in schema:
            rest = self.schema(self._document.child(schema, "unevaluatedItems"))
            arrays = tuple(
                replace(one, rest=rest) if one.rest == EVERYTHING else one for one in shape.arrays
            )
            shape = replace(shape, arrays=arrays)
        return shape

    def _conditional(self, schema: Mapping[str, Any]) -> Term:
        condition = self.schema(self._document.child(schema, "if"))
        then, otherwise = (
            self.schema(self._document.child(schema, keyword)) if keyword in schema else EVERYTHING
            for keyword in ("then", "else")
        )
        return self.either(
            [self.both([condition, then]), self.both([self.other(condition), otherwise])]
        )

    def _dependent(self, schema: Mapping[str, Any], pointer: str) -> list[Term]:
        terms = []
        for name, needed in schema.get("dependentRequired", {}).items():
            if not _is_names(needed):
                raise refused(pointer, "dependentRequired", "must map names to lists of names")
            terms.append(
                self.either(
                    [
                        self.schema({"properties": {name: False}}),
                        self.schema({"required": [name, *needed]}),
                    ]
                )
            )
        if "dependentSchemas" in schema:
            for name, child in self._document.children(schema, "dependentSchemas"):
                there = self.both([self.schema({"required": [name]}), self.schema(child)])
                terms.append(self.either([self.schema({"properties": {name: False}}), there]))
        return terms

    def _exactly_one(self, parts: Sequence[Term]) -> list[Term]:
        """Each alternative without what is also in another, so that exactly one holds."""
        options = []
        for index, part in enumerate(parts):
            clashing = [
                other
                for place, other in enumerate(parts)
                if place != index and not self.is_empty(self.both([part, other]))
            ]
            options.append(self.both([part, *(self.other(one) for one in clashing)]))
        return options

    def _listed(self, values: Any, pointer: str) -> Term:
        if not isinstance(values, list) or not values:
            raise refused(pointer, "enum", "an empty enum allows no value")
        return self.either(self.constant(value) for value in values)

    def _of_constant(self, value: Any) -> Shape:
        if value is None:
            return Shape(null=True)
        if isinstance(value, bool):
            return Shape(booleans=frozenset([value]))
        if isinstance(value, (int, float)):
            return Shape(numbers=(point(exact(value)),))
        if isinstance(value, str):
            return Shape(strings=(Strings(frozenset([value])),))
        if isinstance(value, list):
            items = tuple(self.constant(item) for item in value)
            return Shape(arrays=(Arrays(items, NOTHING, len(items), len(items)),))
        declared = tuple((name, self.constant(item)) for name, item in value.items())
        return Shape(objects=(Objects(declared, frozenset(value), ()),))

    def _typed(self, schema: Mapping[str, Any], pointer: str) -> Shape:
        """The keywords that speak of one type each."""
        kinds = schema.get("type", _TYPES)
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if not isinstance(kinds, (list, tuple)) or not kinds:
            raise refused(pointer, "type", "must be a type or a list of types")
        for kind in kinds:
            if kind not in _TYPES:
                raise refused(pointer, "type", f"there is no type {kind!r}")
        whole = "integer" in kinds and "number" not in kinds
        return Shape(
            "null" in kinds,
            frozenset([False, True]) if "boolean" in kinds else frozenset(),
            self._numbers_of(schema, pointer, whole=whole)
            if "integer" in kinds or "number" in kinds
            else (),
            self._strings_of(schema, pointer) if "string" in kinds else (),
            self._arrays_of(schema, pointer) if "array" in kinds else (),
            self._objects_of(schema, pointer) if "object" in kinds else (),
        )

    def _numbers_of(
        self, schema: Mapping[str, Any], pointer: str, *, whole: bool
    ) -> tuple[Numbers, ...]:
        found = Numbers(kind="whole" if whole else "all")
        bounds = {
            "minimum": lambda bound: Numbers(low=bound),
            "maximum": lambda bound: Numbers(high=bound),
            "exclusiveMinimum": lambda bound: Numbers(low=bound, low_open=True),
            "exclusiveMaximum": lambda bound: Numbers(high=bound, high_open=True),
            "multipleOf": lambda step: Numbers(step=step),
        }
        for keyword, limit in bounds.items():
            if keyword in schema:
                bound = schema[keyword]
                if not _is_number(bound) or (keyword == "multipleOf" and bound <= 0):
                    raise refused(pointer, keyword, f"must be a number, not {bound!r}")
                if keyword == "multipleOf" and isinstance(bound, float) and bound % 1:
                    # a validator divides doubles: 19.99 is no multiple of 0.01 to it
                    self.checked[f"{pointer}/multipleOf"] = None
                found = found.intersect(limit(exact(bound)))
        return () if found.is_empty else (found,)

    def _strings_of(self, schema: Mapping[str, Any], pointer: str) -> tuple[Strings, ...]:
        least = _count(schema, "minLength", pointer, 0)
        most = _count(schema, "maxLength", pointer, None)
        inside: set[Expression] = set()
        if "pattern" in schema:
            if not isinstance(schema["pattern"], str):
                raise refused(pointer, "pattern", "must be a text")
            place = f"{pointer}/pattern"
            inside.add(parse_pattern(schema["pattern"], search=True, pointer=place))
        name = schema.get("format")
        if isinstance(name, str) and name in FORMATS:
            inside.add(FORMATS[name])
            self._narrowed += 1  # no format is wider than its standard, some are narrower
        found = Strings(None, least or 0, most, frozenset(inside))
        return () if found.is_empty else (found,)

    def _arrays_of(self, schema: Mapping[str, Any], pointer: str) -> tuple[Arrays, ...]:
        prefix: list[Term] = []
        if "prefixItems" in schema:
            prefix = [self.schema(one) for _, one in self._document.children(schema, "prefixItems")]
        rest = EVERYTHING
        if "items" in schema:
            rest = self.schema(self._document.child(schema, "items"))
        counted: tuple[tuple[Term, int, int | None], ...] = ()
        if "contains" in schema:
            least = _count(schema, "minContains", pointer, 1)
            most = _count(schema, "maxContains", pointer, None)
            term = self.schema(self._document.child(schema, "contains"))
            counted = ((term, least or 0, most),) if least or most is not None else ()
        unique = schema.get("uniqueItems") is True
        least = _count(schema, "minItems", pointer, 0) or 0
        most = _count(schema, "maxItems", pointer, None)
        found = Arrays(tuple(prefix), rest, least, most, counted, unique)
        return () if most is not None and least > most else (found,)

    def _objects_of(self, schema: Mapping[str, Any], pointer: str) -> tuple[Objects, ...]:
        document = self._document
        required = schema.get("required", [])
        if not _is_names(required):
            raise refused(pointer, "required", "must be a list of names")
        properties: dict[str, Term] = {}
        if "properties" in schema:
            for name, child in document.children(schema, "properties"):
                properties[name] = self.schema(child)
        patterns: list[tuple[Expression, Term]] = []
        if "patternProperties" in schema:
            for pattern, child in document.children(schema, "patternProperties"):
                place = f"{pointer}/patternProperties"
                language = parse_pattern(pattern, search=True, pointer=place)
                patterns.append((language, self.schema(child)))
        self._narrowed += _overlap([language for language, _ in patterns])
        implied = "additionalProperties" not in schema
        rest = EVERYTHING
        if not implied:
            rest = self.schema(document.child(schema, "additionalProperties"))
        others = _kinds(patterns, Others(Strings(), rest, implied))
        names: tuple[Strings, ...] = (Strings(),)
        if "propertyNames" in schema:
            names = self.shape(self.schema(document.child(schema, "propertyNames"))).strings
            others = [
                replace(other, names=joint, implied=False)
                for other in others
                for kind in names
                if not (joint := other.names.intersect(kind)).is_empty
            ]
        free = Objects(others=tuple(others))
        for name in required:
            properties.setdefault(name, free.member(name))
        declared = []
        for name, term in properties.items():
            also = [value for language, value in patterns if matches(language, name)]
            allowed = any(name in kind for kind in names)
            declared.append((name, self.both([term, *also]) if allowed else NOTHING))
        least = _count(schema, "minProperties", pointer, 0) or 0
        most = _count(schema, "maxProperties", pointer, None)
        found = Objects(
            tuple(declared),
            frozenset(required),
            tuple(other for other in others if other.value != NOTHING),
            least,
            most,
        )
        if most is not None and max(least, len(required)) > most:
            return ()
        if any(term == NOTHING for name, term in declared if name in required):
            return ()
        return (found,)


def _kinds(patterns: Sequence[tuple[Expression, Term]], rest: Others) -> list[Others]:
    """Disjoint kinds of names: those of one pattern alone, and those of none. Names of several
    patterns are left out, which is narrower."""
    languages = [language for language, _ in patterns]
    kinds = []
    for language, value in patterns:
        outside = frozenset(
            one for one in languages if one != language and _overlap([one, language])
        )
        names = Strings(inside=frozenset([language]), outside=outside)
        kinds.append(Others(names, value))
    if languages:
        rest = replace(rest, names=Strings(outside=frozenset(languages)))
    return [*kinds, rest]


def _overlap(languages: Sequence[Expression]) -> bool:
    """Whether a name may be in two of some languages."""
    pairs = combinations(languages, 2)
    return any(not automaton_of(Both(one, other)).is_empty for one, other in pairs)


def _named_by_none(others: Sequence[Others], within: Strings) -> list[Strings]:
    """The names that are of no kind."""
    left = [within]
    for other in others:
        left = [
            joint
            for one in left
            for part in other.names.complement()
            if not (joint := one.intersect(part)).is_empty
        ]
        if len(left) > _MOST_ITEMS:
            raise Inexact("patternProperties")
    return left


def _pairs(first: Sequence[Any], second: Sequence[Any], intersect: Any) -> Iterator[Any]:
    joints = (intersect(one, other) for one in first for other in second)
    return (joint for joint in joints if not joint.is_empty)


def _distinct(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(items))


def _joined(strings: Sequence[Strings]) -> tuple[Strings, ...]:
    """Listed strings together in one item, without those that another item has."""
    if any(one.is_free for one in strings):
        return (Strings(),)
    others = tuple(one for one in strings if one.values is None)
    listed = frozenset().union(*(one.values for one in strings if one.values is not None))
    left = frozenset(text for text in listed if not any(text in other for other in others))
    return (Strings(left), *others) if left else others


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _count(
    schema: Mapping[str, Any], keyword: str, pointer: str, default: int | None
) -> int | None:
    value = schema.get(keyword, default)
    if value is default:
        return default
    if not _is_number(value) or value < 0 or value != math.floor(value):
        raise refused(pointer, keyword, f"must be a whole number from 0 on, not {value!r}")
    return int(value)
