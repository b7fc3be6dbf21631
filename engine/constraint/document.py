"""A JSON Schema document in one spelling: draft 2020-12 with local references only.

Older drafts say the same things in other words (`definitions`, arrays of `items`,
`additionalItems`, `dependencies`, boolean `exclusiveMinimum`, `id`). `modernise` rewrites them, so
that everything behind it, our compiler and the `jsonschema` library alike, reads one dialect. Every
reference becomes a JSON pointer into the document; one that leaves it is refused when it is met.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from ..errors import ConstraintError

ONE = {
    *("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"),
    *("unevaluatedItems", "unevaluatedProperties", "additionalItems"),
}
"""Keywords whose value is a schema."""
LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
"""Keywords whose value is a list of schemas."""
MAPS = {
    *("$defs", "definitions", "dependentSchemas", "patternProperties", "properties"),
    "dependencies",
}
"""Keywords whose value maps names to schemas."""
_VERBATIM = {"enum", "const", "default", "examples", "required", "type"}
_DRAFT = re.compile(r"json-schema\.org/draft-0?(\d+)/")
_SIBLINGS_COUNT_SINCE = 2019


def refused(pointer: str, keyword: str | None, reason: str) -> ConstraintError:
    """A complaint about one place of a schema."""
    place = f"{pointer}/{escape(keyword)}" if keyword else pointer
    return ConstraintError(f"{place or 'schema'}: {reason}", pointer=place, keyword=keyword)


def escape(part: str) -> str:
    """A member's name as it stands in a JSON pointer (RFC 6901)."""
    return part.replace("~", "~0").replace("/", "~1")


class Document:
    """A schema document, modernised; `root` is its first schema.

    Raises:
        ConstraintError: a keyword's value is of the wrong kind.
    """

    def __init__(self, schema: Any) -> None:
        draft = _draft(schema)
        self._old_references = draft < _SIBLINGS_COUNT_SINCE
        self._id = "id" if draft <= 4 else "$id"
        self._resources: dict[str, str] = {"": ""}
        self._anchors: dict[str, str] = {}
        self._collect(schema, "", "")
        self._raw = schema
        self.root = self._schema(schema, "", "")
        self._pointers: dict[int, str] = {id(self.root): ""}

    def pointer(self, schema: Any) -> str:
        """Where a schema of this document stands, if it has been reached."""
        return self._pointers.get(id(schema), "")

    def children(self, schema: Mapping[str, Any], keyword: str) -> Iterator[tuple[Any, Any]]:
        """The sub-schemas of a keyword with their keys; each one's pointer is noted."""
        value = schema[keyword]
        place = f"{self.pointer(schema)}/{escape(keyword)}"
        items = enumerate(value) if isinstance(value, list) else value.items()
        for key, child in items:
            self._note(child, f"{place}/{escape(str(key))}")
            yield key, child

    def child(self, schema: Mapping[str, Any], keyword: str) -> Any:
        """The sub-schema of a keyword; its pointer is noted."""
        child = schema[keyword]
        self._note(child, f"{self.pointer(schema)}/{escape(keyword)}")
        return child

    def resolve(self, schema: Mapping[str, Any]) -> Any:
        """What a schema's `$ref` points to.

        Raises:
            ConstraintError: the reference leaves the document, or leads nowhere in it.
        """
        reference = schema["$ref"]
        pointer = self.pointer(schema)
        if not reference.startswith("#"):
            raise refused(pointer, "$ref", f"{reference} is not inside this schema")
        found = self.root
        for part in reference.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise refused(pointer, "$ref", f"{reference} is not in this schema") from None
        if not isinstance(found, (dict, bool)):
            raise refused(pointer, "$ref", f"{reference} is not a schema")
        self._note(found, reference[1:])
        return found

    def _note(self, schema: Any, pointer: str) -> None:
        if isinstance(schema, dict):
            self._pointers.setdefault(id(schema), pointer)

    def _collect(self, schema: Any, pointer: str, base: str) -> None:
        """Note the address of every schema that names itself."""
        if isinstance(schema, list):
            for index, item in enumerate(schema):
                self._collect(item, f"{pointer}/{index}", base)
        if not isinstance(schema, Mapping):
            return
        named = schema.get(self._id)
        if isinstance(named, str):
            address, fragment = urldefrag(urljoin(base, named))
            if fragment and not fragment.startswith("/"):
                self._anchors[f"{address}#{fragment}"] = pointer
            elif not fragment:
                base = address
                self._resources.setdefault(address, pointer)
        anchor = schema.get("$anchor")
        if isinstance(anchor, str):
            self._anchors[f"{base}#{anchor}"] = pointer
        for keyword, value in schema.items():
            if keyword in _VERBATIM or not isinstance(value, (dict, list)):
                continue
            place = f"{pointer}/{escape(keyword)}"
            if keyword in MAPS and isinstance(value, Mapping):
                for name, child in value.items():
                    self._collect(child, f"{place}/{escape(name)}", base)
            else:
                self._collect(value, place, base)

    def _schema(self, schema: Any, pointer: str, base: str) -> Any:
        if isinstance(schema, list):
            return [self._schema(one, f"{pointer}/{n}", base) for n, one in enumerate(schema)]
        if not isinstance(schema, Mapping):
            return schema
        named = schema.get(self._id)
        if isinstance(named, str) and not urldefrag(urljoin(base, named)).fragment:
            base = urldefrag(urljoin(base, named)).url
        modern: dict[str, Any] = {}
        reference = schema.get("$ref", schema.get("$dynamicRef"))
        alone = self._old_references and isinstance(schema.get("$ref"), str)
        for keyword, value in schema.items():
            place = f"{pointer}/{escape(keyword)}"
            if keyword in ("$id", "$anchor", "$ref", "$dynamicRef", "$dynamicAnchor", "$schema"):
                continue
            if keyword in MAPS:
                if not isinstance(value, Mapping):
                    raise refused(pointer, keyword, "must be an object")
                value = {
                    name: self._schema(child, f"{place}/{escape(name)}", base)
                    for name, child in value.items()
                }
                # a dependency may be names; `resolve` checks a definition that is referred to
                if keyword not in ("dependencies", "definitions", "$defs"):
                    _check_schemas(value.items(), place)
            elif keyword not in _VERBATIM and isinstance(value, (dict, list)):
                value = self._schema(value, place, base)
            listed = keyword == "items" and isinstance(value, list)  # as older drafts have it
            if keyword in ONE and not listed and not isinstance(value, (dict, bool)):
                raise refused(pointer, keyword, "must be a schema")
            if keyword in LISTS and not (isinstance(value, list) and value):
                raise refused(pointer, keyword, "must be a list of at least one schema")
            if isinstance(value, list) and keyword in (*LISTS, "items"):
                _check_schemas(enumerate(value), place)
            if not alone or keyword in ("definitions", "$defs"):
                modern[keyword] = value
        if isinstance(reference, str):
            modern["$ref"] = self._local(reference, base)
        elif reference is not None:
            raise refused(pointer, "$ref", "must be a text")
        return _respelled(modern)

    def _local(self, reference: str, base: str) -> str:
        """A reference as a pointer into this document, or as it is when it leads elsewhere."""
        address, fragment = urldefrag(urljoin(base, reference) if base else reference)
        if fragment and not fragment.startswith("/"):
            anchored = self._anchors.get(f"{address}#{fragment}")
            return reference if anchored is None else f"#{anchored}"
        resource = self._resources.get(address)
        if resource is None and reference.startswith("#"):
            resource = ""
        return reference if resource is None else f"#{resource}{fragment}"


def _check_schemas(children: Iterable[tuple[Any, Any]], place: str) -> None:
    for key, child in children:
        if not isinstance(child, (dict, bool)):
            raise refused(f"{place}/{escape(str(key))}", None, "must be a schema")


def _draft(schema: Any) -> int:
    """The draft that a document says it is of: 3 to 7, 2019 or 2020; 2020 when it does not say."""
    named = schema.get("$schema") if isinstance(schema, Mapping) else None
    if not isinstance(named, str):
        return 2020
    match = _DRAFT.search(named)
    if match:
        return int(match[1])
    return 2019 if "2019-09" in named else 2020


def _respelled(schema: dict[str, Any]) -> dict[str, Any]:
    """Keywords of older drafts in the words of 2020-12."""
    items = schema.get("items")
    if isinstance(items, list):
        del schema["items"]
        if items:
            schema["prefixItems"] = items
        if "additionalItems" in schema:
            schema["items"] = schema["additionalItems"]
    schema.pop("additionalItems", None)
    for name, value in schema.pop("dependencies", {}).items():
        kind = "dependentRequired" if isinstance(value, (list, str)) else "dependentSchemas"
        value = [value] if isinstance(value, str) else value
        schema.setdefault(kind, {})[name] = value
    for side in ("Minimum", "Maximum"):
        exclusive, plain = schema.get(f"exclusive{side}"), side.lower()
        if isinstance(exclusive, bool):
            del schema[f"exclusive{side}"]
            if exclusive and plain in schema:
                schema[f"exclusive{side}"] = schema.pop(plain)
    return schema
