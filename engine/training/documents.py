"""Seeded synthetic documents, each with a tool that asks for some of what it holds.

A document is a receipt or a form; a fifth of its wordings, layouts' separators and syllables is
held out of training by construction. What the record asks for is composed: names, descriptions
and types of fields, fields that the document lacks, nested objects and lists of lines. Every text
of a record stands in its document, letter by letter, when line breaks are read as spaces.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .entries import Draft, Entry, Table, qualified_entries, role_entry
from .forms import form
from .lexicon import Split
from .receipts import receipt
from .words import Words

NUMBERS = {"amount": "number", "count": "integer", "percent": "number", "integer": "integer"}
_YES = {"yes", "Yes", "true", "Y"}
_TOOL_VERBS = (
    "save",
    "file",
    "store",
    "log",
    "add",
    "record",
    "create",
    "submit",
    "keep",
    "insert",
)
_TOOL_NOUNS = ("record", "document", "entry", "row", "data", "form", "result", "report")
_INSTRUCTIONS = (
    "Read each new file and save its record.",
    "Read the document and save its record.",
    "Save the record of every document.",
    "You file documents. Read the file, then save the record.",
    "Copy the values from the document.",
    "Fill in the record from the document.",
    "Save what the document says.",
    "Read the file, then save its record.",
    "Extract the fields from the text.",
    "Save the {title} with {tool}.",
    "Take the values from the {title} and call {tool}.",
    "You keep the books. Every {title} becomes a record.",
    "Fill in every field; copy each value as it is written.",
    "Find the values that {tool} needs.",
    "You are a careful clerk. Copy what the {title} says, letter by letter.",
)


@dataclass(frozen=True)
class Example:
    """A document, the tool that saves its record, and the record.

    `schema` is the record's JSON Schema; `values` its values, numbers as `Decimal` (which keep
    the digits that the document shows); `asked` are the entries behind the plain fields.
    """

    title: str
    instruction: str
    document: str
    tool: str
    tool_description: str
    schema: dict[str, Any]
    values: dict[str, Any]
    asked: tuple[tuple[str, Entry], ...]
    source: str

    @property
    def record(self) -> dict[str, Any]:
        """The values as JSON reads them."""
        return plain(self.values)


def plain(value: Any) -> Any:
    """A value with its decimals as ints and floats."""
    if isinstance(value, Decimal):
        return (
            int(value) if value == value.to_integral() and "." not in str(value) else float(value)
        )
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def draft(words: Words, kind: str | None = None) -> Draft:
    """One document: `"receipt"`, `"form"`, or either."""
    kind = kind or words.rng.choices(["receipt", "form"], [0.5, 0.5])[0]
    return receipt(words) if kind == "receipt" else form(words)


def example(rng: random.Random, split: Split, kind: str | None = None) -> Example:
    """Draw one document with its record."""
    words = Words(rng, split)
    page = draft(words, kind)
    properties: dict[str, Any] = {}
    values: dict[str, Any] = {}
    required: list[str] = []
    asked: list[tuple[str, Entry]] = []
    described = split == "heldout" or rng.random() < 0.6
    style = rng.choice([str, str, str, _camel])
    for entry in _chosen(rng, page):
        name = style(rng.choice(entry.names))
        if name in properties:
            continue
        properties[name], values[name] = _field(rng, entry, described)
        required.append(name)
        asked.append((name, entry))
    if rng.random() < 0.2:
        _absent(words, page, properties, values, required, style)
    if page.table and rng.random() < 0.3:
        name = rng.choice(page.table.names)
        properties[name], values[name] = _rows(rng, page.table, described)
        required.append(name)
    if len(asked) > 3 and rng.random() < 0.06:
        properties, values, required = _nested(rng, properties, values, required)
    schema = {"type": "object", "properties": properties, "required": required}
    tool = f"{rng.choice(_TOOL_VERBS)}_{rng.choice([*_TOOL_NOUNS, page.title.replace(' ', '_')])}"
    tool = rng.choice(["save_record", tool, tool])
    verb, _, noun = tool.partition("_")
    noun = noun.replace("_", " ")
    description = rng.choice(["{} the {}", "{} the {}.", "{} one {}", "{} a {}"])
    instruction = rng.choice(_INSTRUCTIONS).format(title=page.title, tool=tool)
    return Example(
        title=page.title,
        instruction=instruction,
        document=page.text,
        tool=tool,
        tool_description=description.format(verb.capitalize(), noun),
        schema=schema,
        values=values,
        asked=tuple(asked),
        source=path(words, page.title),
    )


def _chosen(rng: random.Random, page: Draft) -> Sequence[Entry]:
    """The entries that the record asks for, in the schema's order."""
    entries = [*page.entries]
    if page.title == "receipt" and rng.random() < 0.6:
        wanted = {"company", "date", "total", "address"}
        entries = [entry for entry in entries if set(entry.names) & wanted]
        rng.shuffle(entries)
        return entries
    return rng.sample(entries, min(len(entries), rng.randint(1, rng.choice([4, 6, 9]))))


def _field(rng: random.Random, entry: Entry, described: bool) -> tuple[dict[str, Any], Any]:
    """One field's schema and its value."""
    schema: dict[str, Any] = {"type": "string"}
    value: Any = entry.token or entry.value
    if entry.kind in NUMBERS and rng.random() < 0.65:
        schema["type"] = NUMBERS[entry.kind]
        value = Decimal(entry.value.replace(",", "").rstrip("%"))
    elif entry.kind == "flag" and rng.random() < 0.7:
        schema["type"], value = "boolean", entry.value in _YES
    elif entry.choices and rng.random() < 0.7:
        schema["enum"] = list(entry.choices)
    if rng.random() < 0.1:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    if described:
        schema["description"] = rng.choice(entry.descriptions)
    return schema, value


def _absent(
    words: Words,
    page: Draft,
    properties: dict[str, Any],
    values: dict[str, Any],
    required: list[str],
    style: Any,
) -> None:
    """Ask for one or two things that the document does not say: null, or left out."""
    rng = words.rng
    present = {name for entry in page.entries for name in entry.names}
    for _ in range(rng.choice([1, 1, 2])):
        known = ["due", "email", "customer", "tracking", "carrier", "priority", "phone", "currency"]
        drawn = [role_entry(words, rng.choice(known)), *qualified_entries(words, 1)]
        entry = rng.choice(drawn)
        name = style(entry.names[0])
        if present & set(entry.names) or name in properties:
            continue
        schema, _ = _field(rng, entry, described=True)
        optional = rng.random() < 0.35
        if not optional and not isinstance(schema["type"], list):
            schema["type"] = [schema["type"], "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        properties[name] = schema
        if optional:
            continue
        values[name] = None
        required.append(name)


def _rows(rng: random.Random, table: Table, described: bool) -> tuple[dict[str, Any], Any]:
    """A list of the table's lines, or of one of its columns."""
    columns = table.rows[0]
    if rng.random() < 0.25:
        schema: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
        rows: list[Any] = [row[0].value for row in table.rows]
    else:
        kept = sorted(rng.sample(range(len(columns)), rng.randint(2, len(columns))))
        names = [rng.choice(columns[index].names) for index in kept]
        if len(set(names)) < len(names):
            names = [columns[index].names[0] for index in kept]
        fields = [_field(rng, columns[index], described)[0] for index in kept]
        for field in fields:
            field.pop("enum", None)
            field["type"] = field["type"][0] if isinstance(field["type"], list) else field["type"]
        schema = {
            "type": "array",
            "items": {
                "type": "object",
                "properties": dict(zip(names, fields, strict=True)),
                "required": names,
            },
        }
        rows = [
            {
                name: _as(field["type"], row[index].value)
                for name, field, index in zip(names, fields, kept, strict=True)
            }
            for row in table.rows
        ]
    return {**schema, "description": table.description} if described else schema, rows


def _as(kind: str, text: str) -> Any:
    return Decimal(text.replace(",", "")) if kind in ("number", "integer") else text


def _nested(
    rng: random.Random, properties: dict[str, Any], values: dict[str, Any], required: list[str]
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Put two or three of the fields into an object of their own."""
    inner = rng.sample([name for name in required if name in values], rng.randint(2, 3))
    group = rng.choice(["details", "header", "data", "summary", "info", "meta"])
    if group in properties:
        return properties, values, required
    schema = {"type": "object", "properties": {name: properties[name] for name in inner}}
    outer = {name: schema for name, schema in properties.items() if name not in inner}
    outer[group] = {**schema, "required": inner}
    kept = {name: value for name, value in values.items() if name not in inner}
    kept[group] = {name: values[name] for name in inner}
    return outer, kept, [*(name for name in required if name not in inner), group]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def path(words: Words, title: str) -> str:
    """Where such a document may lie."""
    rng = words.rng
    folder = rng.choice(["inbox", "inbox", "in", "receipts", "docs", "mail", "inbox/new"])
    folder = rng.choice([folder, folder, words.word(2).lower()])
    stem = rng.choice(
        [title.replace(" ", "_"), "scan", "receipt", words.word(2), words.word(2).lower()]
    )
    number = rng.choice([f"{rng.randrange(1000):03}", str(rng.randrange(100000)), "07"])
    between = rng.choice(["-", "_", ""])
    name = rng.choice([f"{stem}{between}{number}", f"{number}-{stem}", stem])
    return f"{folder}/{name}.{rng.choice(['txt', 'txt', 'txt', 'md'])}"
