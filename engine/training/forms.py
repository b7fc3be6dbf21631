"""Business documents of labelled entries: forms, tables, log lines, mails, chats and notes.

Entries come from the known roles of a document and from qualifiers and heads that are composed;
they are laid out in one of many ways. Separators, sentences and titles have a held-out fifth.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from .entries import ROLES, Draft, Entry, Role, Table, cased, qualified_entries, role_entry, slip
from .lexicon import DOCUMENTS, share
from .words import Words

_KINDS = {
    "invoice": ("company", "number", "date", "total", "due", "customer", "subtotal", "tax"),
    "order": ("number", "customer", "item", "quantity", "date", "total", "email", "status"),
    "delivery note": ("tracking", "carrier", "customer", "date", "address", "city", "phone"),
    "ticket": ("number", "subject", "priority", "customer", "email", "date", "status", "phone"),
    "booking": ("customer", "date", "time", "number", "phone", "city", "total", "email"),
    "statement": ("company", "date", "total", "currency", "address", "number", "subtotal"),
}
_SEPARATORS = (
    *(": ", ": ", ":", " : ", "  ", " - ", " = ", " .... ", "\t", "   ", " -> ", "=", " | ", ":  "),
    *(" ", "......", ":\t", " – ", " :: ", "      ", "; "),
)
_COLUMNS = (" | ", ",", "\t", "  ", ";", "   ", " / ", ", ")
_SENTENCES = (
    *("The {label} is {value}.", "The {label} will be {value}.", "{label}: {value}."),
    *(
        "We have set the {label} to {value}.",
        "Please note the {label}: {value}.",
        "{label} {value},",
    ),
    *("{value} is the {label}.", "As {label} I have {value}.", "Use {value} as the {label}."),
    *("For the {label} we agreed on {value}.", "our {label} was {value};", "{label} = {value}."),
    *("The {label} changed to {value}.", "I wrote down {value} for the {label}."),
    *("They told me that the {label} is {value}.", "{label}? {value}.", "{label} now {value}."),
)
_REMARKS = (
    *("Thank you for your help.", "Let me know if anything is missing.", "Best regards", "Thanks,"),
    *(
        "I will call you tomorrow.",
        "See the attached file.",
        "Hope this helps.",
        "Hello,",
        "Hi all,",
    ),
    *("Dear team,", "Please confirm.", "Nothing else to report.", "We will come back to you soon."),
    *("Kind regards", "Any questions, just ask.", "As discussed on the phone.", "Good morning,"),
)
_FOOTERS = (
    "Page 1 of 2",
    "Thank you",
    "Internal use only",
    "E. & O.E.",
    "Signature: ________",
    "END",
)
_LEVELS = ("INFO", "WARN", "ERROR", "DEBUG", "info", "NOTICE")


def form(words: Words) -> Draft:
    """Draw one document of labelled entries."""
    rng = words.rng
    kind = rng.choice([*_KINDS, ""])
    if kind and rng.random() < 0.6:
        chosen = rng.sample(_KINDS[kind], rng.randint(3, len(_KINDS[kind])))
        entries = [role_entry(words, name) for name in chosen]
        entries += qualified_entries(words, rng.randint(1, 3)) if rng.random() < 0.4 else []
        title = kind
    else:
        entries = qualified_entries(words, rng.randint(3, rng.choice([6, 10, 16])))
        title = rng.choice(share(DOCUMENTS, words.split))
        if rng.random() < 0.3:
            entries += [role_entry(words, rng.choice(list(ROLES)))]
    rng.shuffle(entries)
    layouts: list[Callable[[Words, list[Entry]], list[str]]] = [
        *(_labelled, _labelled, _labelled, _paired, _stacked, _sentences, _sentences, _mail),
        *(_chat, _log, _markdown, _header_and_row, _json_like),
    ]
    lines = rng.choice(layouts)(words, entries)
    shown_title = rng.choice(["", title, title.upper(), title.title(), f"# {title.capitalize()}"])
    if shown_title:
        lines.insert(0, shown_title)
    table = None
    if rng.random() < 0.15:
        table, rows = _table(words)
        lines += rows
    if rng.random() < 0.2:
        lines.append(rng.choice(share(_FOOTERS, words.split)))
    if rng.random() < 0.1:
        lines.insert(rng.randrange(len(lines)), "")
    return Draft(title, tuple(lines), tuple(entries), table)


def _labels(words: Words, entries: list[Entry]) -> list[str]:
    labels = [entry.label for entry in entries]
    if words.rng.random() < 0.5:
        labels = cased(words.rng, labels)
    if words.rng.random() < 0.06:
        labels = [slip(words.rng, label) for label in labels]
    return labels


def _shown(words: Words, entry: Entry, money: str) -> str:
    return money + entry.value if entry.kind == "amount" else entry.value


def _currency(words: Words) -> str:
    return words.rng.choice(["", "", "", "$", "EUR ", "RM ", "€", "USD ", "£", "CHF "])


def _labelled(words: Words, entries: list[Entry]) -> list[str]:
    """One entry a line."""
    rng = words.rng
    separator, money = rng.choice(share(_SEPARATORS, words.split)), _currency(words)
    labels = _labels(words, entries)
    width = max(map(len, labels)) if rng.random() < 0.2 else 0
    mark = rng.choice(["", "", "", "", "- ", "* ", "> "])
    return [
        f"{mark}{label.ljust(width)}{separator}{_shown(words, entry, money)}"
        for label, entry in zip(labels, entries, strict=True)
    ]


def _paired(words: Words, entries: list[Entry]) -> list[str]:
    """Two entries a line."""
    lines = _labelled(words, entries)
    gap = words.rng.choice(["  ", "    ", " | ", "\t", " ; "])
    return [gap.join(lines[start : start + 2]) for start in range(0, len(lines), 2)]


def _stacked(words: Words, entries: list[Entry]) -> list[str]:
    """Each label above its value."""
    money, end = _currency(words), words.rng.choice(["", ":", ""])
    lines: list[str] = []
    for label, entry in zip(_labels(words, entries), entries, strict=True):
        lines += [f"{label}{end}", _shown(words, entry, money)]
    return lines


def _sentences(words: Words, entries: list[Entry]) -> list[str]:
    """A note in sentences."""
    rng, money = words.rng, _currency(words)
    patterns = share(_SENTENCES, words.split)
    found = []
    for entry in entries:
        label = entry.label.lower() if rng.random() < 0.8 else entry.label
        found.append(rng.choice(patterns).format(label=label, value=_shown(words, entry, money)))
        if rng.random() < 0.2:
            found.append(rng.choice(share(_REMARKS, words.split)))
    return [" ".join(found)] if rng.random() < 0.4 else found


def _mail(words: Words, entries: list[Entry]) -> list[str]:
    """A mail; its own head is no part of the record."""
    rng = words.rng
    head = [f"From: {words.person()} <{words.email()}>", f"To: {words.email()}"]
    head += [f"Sent: {words.date()} {words.time()}"] if rng.random() < 0.5 else []
    head.append(f"Subject: {words.phrase()}")
    body = _sentences(words, entries) if rng.random() < 0.6 else _labelled(words, entries)
    return [*head, "", *body, rng.choice(share(_REMARKS, words.split)), words.word(2)]


def _chat(words: Words, entries: list[Entry]) -> list[str]:
    """Two people who tell each other the values."""
    rng = words.rng
    people = [words.word(2), words.word(2)]
    stamp = rng.choice(["[{time}] {name}: ", "{name}: ", "{name} ({time}): ", "<{name}> "])
    lines = []
    for sentence in _sentences(words, entries):
        who = stamp.format(
            time=f"{rng.randint(8, 19):02}:{rng.randint(0, 59):02}", name=rng.choice(people)
        )
        lines.append(who + sentence)
    return lines


def _log(words: Words, entries: list[Entry]) -> list[str]:
    """Log lines with keys and values."""
    rng = words.rng
    lines = []
    for label, entry in zip([entry.label for entry in entries], entries, strict=True):
        key = label.lower().replace(" ", "_")
        value = json.dumps(entry.value, ensure_ascii=False) if " " in entry.value else entry.value
        lines.append(f"{key}={value}")
    stamp = f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:00:0"
    size = rng.choice([1, 2, len(lines)])
    return [
        f"{stamp}{number % 10}Z {rng.choice(_LEVELS)} {' '.join(lines[start : start + size])}"
        for number, start in enumerate(range(0, len(lines), size))
    ]


def _markdown(words: Words, entries: list[Entry]) -> list[str]:
    """A table of labels and values."""
    rows = [
        f"| {label} | {entry.value} |"
        for label, entry in zip(_labels(words, entries), entries, strict=True)
    ]
    return rows if words.rng.random() < 0.5 else ["| Field | Value |", "|---|---|", *rows]


def _header_and_row(words: Words, entries: list[Entry]) -> list[str]:
    """A heading line and a line of values, column for column."""
    rng = words.rng
    kept = entries[: rng.randint(3, 6)]
    del entries[len(kept) :]
    column = rng.choice(share(_COLUMNS, words.split))
    if any(column.strip() and column.strip() in entry.value for entry in kept):
        column = " | "
    return [column.join(_labels(words, kept)), column.join(entry.value for entry in kept)]


def _json_like(words: Words, entries: list[Entry]) -> list[str]:
    """Data as a program prints it."""
    rng = words.rng
    data = {
        entry.label.lower().replace(" ", rng.choice(["_", ""])): entry.value for entry in entries
    }
    if len(data) < len(entries):
        return _labelled(words, entries)
    return json.dumps(data, ensure_ascii=False, indent=rng.choice([None, 2])).split("\n")


def _table(words: Words) -> tuple[Table, list[str]]:
    """Lines of goods or of people, with their columns."""
    rng = words.rng
    roles = rng.choice(
        [
            ("item", "quantity", "total"),
            ("item", "number", "quantity"),
            ("customer", "phone"),
            ("customer", "email", "city"),
        ]
    )
    roles = roles[: rng.randint(2, len(roles))]
    known: list[Role] = [ROLES[name] for name in roles]
    labels = [rng.choice(role.labels) for role in known]
    column = rng.choice([" | ", "  ", "\t", ";"])
    rows = tuple(tuple(role_entry(words, name) for name in roles) for _ in range(rng.randint(1, 4)))
    lines = [column.join(labels)] if rng.random() < 0.8 else []
    lines += [column.join(entry.value for entry in row) for row in rows]
    names = ("items", "lines", "rows", "entries", "positions")
    return Table(names, "All lines of the table", rows), lines
