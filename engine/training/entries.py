"""What a document holds, before it is known which of it a record asks for.

An `Entry` is one value with the wordings that documents label it by, and the names and descriptions
by which schemas ask for it. A `Draft` is a document with its entries and, perhaps, its table.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from .lexicon import CURRENCIES, HEADS, LEVELS, QUALIFIERS, STATES, Head
from .words import Words


@dataclass(frozen=True)
class Entry:
    """One value of a document, letter by letter (lines joined by a space); `kind` is the method of
    `Words` that drew it, `choices` are the values it may have, if they are few. `token` is the
    value with what is glued to it, such as a currency's sign: what a text field holds."""

    kind: str
    label: str
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    value: str
    choices: tuple[str, ...] = ()
    token: str | None = None


@dataclass(frozen=True)
class Table:
    """The lines of a document: what they are called, and rows of entries alike in their columns."""

    names: tuple[str, ...]
    description: str
    rows: tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True)
class Draft:
    """A document, the entries that a record may ask for, and what the document is called."""

    title: str
    lines: tuple[str, ...]
    entries: tuple[Entry, ...]
    table: Table | None = None

    @property
    def text(self) -> str:
        """The document."""
        return "\n".join(self.lines)


@dataclass(frozen=True)
class Role:
    """An entry that business documents know by several names of its own."""

    kind: str
    labels: tuple[str, ...]
    names: tuple[str, ...]
    descriptions: tuple[str, ...]


ROLES: dict[str, Role] = {
    "company": Role(
        "company",
        ("Company", "From", "Vendor", "Seller", "Supplier", "Shop"),
        ("company", "vendor", "shop", "store", "merchant", "seller", "supplier", "issuer"),
        ("Name of the shop", "Name of the company", "Who sells", "Company name", "Company"),
    ),
    "date": Role(
        "date",
        ("Date", "Invoice date", "Issued", "DATE", "Order date", "Dated", "Date/Time", "Tarikh"),
        ("date", "day", "invoice_date", "issued", "receipt_date", "issue_date"),
        ("Date of the document", "Date", "Day it was issued", "Date of purchase"),
    ),
    "due": Role(
        "date",
        ("Due", "Due date", "Pay by", "Payable until"),
        ("due_date", "due", "pay_by"),
        ("When it must be paid", "Due date"),
    ),
    "total": Role(
        "amount",
        ("Total", "TOTAL", "Grand total", "Amount due", "Total due", "TOTAL SALES", "Nett total"),
        ("total", "amount", "total_amount", "grand_total", "sum", "amount_paid"),
        ("Amount paid", "Total amount", "Amount to pay", "Total", "What is paid in all"),
    ),
    "subtotal": Role(
        "amount",
        ("Subtotal", "Sub total", "Net", "SUBTOTAL", "Sub-total"),
        ("subtotal", "net", "net_amount"),
        ("Amount before tax", "Subtotal"),
    ),
    "tax": Role(
        "amount",
        ("Tax", "VAT", "GST", "GST 6%", "VAT 19%", "SST"),
        ("tax", "vat", "tax_amount"),
        ("Tax amount", "Tax in it", "Tax"),
    ),
    "address": Role(
        "address",
        ("Address", "Street", "Location"),
        ("address", "street", "location", "shop_address"),
        ("Address of the shop", "Street and city", "Address"),
    ),
    "number": Role(
        "code",
        ("Invoice no", "Invoice No.", "No", "Ref", "Receipt #", "Order", "Reference", "Doc No"),
        ("number", "invoice_no", "order_id", "reference", "receipt_no", "document_number"),
        ("Number of the document", "Reference number", "Document number"),
    ),
    "customer": Role(
        "person",
        ("Customer", "Bill to", "Client", "Name", "Sold to", "Guest", "Contact"),
        ("customer", "client", "name", "buyer", "contact"),
        ("Name of the customer", "Who buys", "Customer name"),
    ),
    "email": Role("email", ("E-mail", "Email", "Mail"), ("email", "mail"), ("E-mail address",)),
    "phone": Role(
        "phone", ("Tel", "Phone", "TEL", "Mobile"), ("phone", "tel"), ("Phone number", "Phone")
    ),
    "item": Role(
        "goods",
        ("Item", "Product", "Article", "Goods"),
        ("item", "product", "article"),
        ("What was ordered", "Name of the product", "Item"),
    ),
    "quantity": Role(
        "count",
        ("Qty", "Quantity", "Units", "Pieces"),
        ("quantity", "qty", "units"),
        ("How many", "Number of pieces", "Quantity"),
    ),
    "subject": Role(
        "phrase",
        ("Subject", "Issue", "Title", "Re"),
        ("subject", "issue", "title"),
        ("What it is about", "Subject line"),
    ),
    "priority": Role(
        "level",
        ("Priority", "Urgency", "Prio"),
        ("priority", "urgency"),
        ("How urgent", "Priority"),
    ),
    "status": Role("state", ("Status", "State"), ("status", "state"), ("Status",)),
    "currency": Role("currency", ("Currency", "Cur"), ("currency",), ("Currency code",)),
    "tracking": Role(
        "code",
        ("Tracking", "Tracking no", "Parcel", "Waybill"),
        ("tracking", "tracking_no", "parcel"),
        ("Tracking number", "Parcel number"),
    ),
    "carrier": Role(
        "company", ("Carrier", "Shipped by", "Via"), ("carrier", "shipper"), ("Who carries it",)
    ),
    "time": Role("time", ("Time", "At", "Hour"), ("time", "hour"), ("Time of day", "Time")),
    "city": Role("place", ("City", "Town", "Place"), ("city", "town", "place"), ("City", "Town")),
}
_CHOICES = {"state": STATES, "level": LEVELS, "currency": CURRENCIES}


def role_entry(
    words: Words, role_name: str, value: str | None = None, token: str | None = None
) -> Entry:
    """An entry of a known role."""
    role = ROLES[role_name]
    value = draw(words, role.kind) if value is None else value
    label = words.rng.choice(role.labels)
    choices = choices_for(words, role.kind, value)
    return Entry(role.kind, label, role.names, role.descriptions, value, choices, token)


def qualified_entries(words: Words, count: int) -> list[Entry]:
    """Entries of a qualifier and a head each; qualifiers and heads come more than once, so that
    both have to be read. A quarter of the qualifiers are made up."""
    rng = words.rng
    qualifiers = [
        words.word(2).lower() if rng.random() < 0.25 else words.pick(QUALIFIERS)
        for _ in range(rng.randint(2, max(2, count)))
    ]
    heads = [rng.choice(HEADS) for _ in range(rng.randint(2, max(3, count)))]
    pairs = {(rng.choice(qualifiers), rng.choice(heads)) for _ in range(count)}
    return [_qualified(words, *pair) for pair in sorted(pairs, key=str)]


def _qualified(words: Words, qualifier: str, head: Head) -> Entry:
    rng = words.rng
    kind, nouns = head.kind, head.nouns
    shown = rng.choice(nouns)
    asked = shown if rng.random() < 0.6 else rng.choice(nouns)
    value = draw(words, kind)
    label = rng.choice(
        [f"{qualifier} {shown}".capitalize()] * 5
        + [
            f"{qualifier} {shown}".title(),
            f"{shown} of {qualifier}".capitalize(),
            f"{qualifier} {shown}",
        ]
    )
    name = f"{qualifier}_{asked}".replace("-", "_")
    described = (
        f"{qualifier} {asked}".capitalize(),
        f"{qualifier} {shown}".capitalize(),
        f"The {shown} of the {qualifier}",
        f"{asked} for the {qualifier}".capitalize(),
    )
    return Entry(kind, label, (name,), described, value, choices_for(words, kind, value))


def draw(words: Words, kind: str) -> str:
    """A value of a kind."""
    if kind == "amount":
        return words.amount(4.5)
    return getattr(words, kind)()


def choices_for(words: Words, kind: str, value: str) -> tuple[str, ...]:
    """A few values of a kind that has few, the right one among them."""
    known = _CHOICES.get(kind)
    if not known:
        return ()
    others = [choice for choice in known if choice != value]
    chosen = [value, *words.rng.sample(others, words.rng.randint(1, min(5, len(others))))]
    words.rng.shuffle(chosen)
    return tuple(chosen)


def slip(rng: random.Random, text: str) -> str:
    """Text as a scanner may misread it: one letter for another, a space lost or won."""
    if len(text) < 3:
        return text
    place = rng.randrange(1, len(text))
    swaps = {"O": "0", "0": "O", "I": "1", "1": "I", "S": "5", "B": "8", "E": "F", "G": "6"}
    swaps |= {"N": "H", "M": "N", "l": "1", "o": "0", "A": "4", "T": "I", ".": ",", ",": "."}
    letter = text[place]
    if letter == " ":
        return text[:place] + text[place + 1 :]
    if rng.random() < 0.5 and letter in swaps:
        return text[:place] + swaps[letter] + text[place + 1 :]
    return text[:place] + rng.choice([" ", "", letter + letter]) + text[place + 1 :]


def cased(rng: random.Random, texts: Sequence[str]) -> list[str]:
    """The same texts in one style of letters."""
    style = rng.choice([str, str, str.upper, str.lower, str.title])
    return [style(text) for text in texts]
