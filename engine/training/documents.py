"""Seeded synthetic business documents with the records that they hold.

A document is a header, a body of labelled or bare entries and a footer. Its *template* is the
family, the order of its entries and its layout; a fixed share of the templates is held out of
training by construction, together with a share of the syllables that names are made of. Every
value of a record stands in its document, letter by letter.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from .words import Split, Words

FieldType = Literal["string", "number", "integer"]


@dataclass(frozen=True)
class Field:
    """One property of a record's schema."""

    name: str
    type: FieldType
    description: str
    enum: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Example:
    """A document, the tool that saves its record, and the record.

    `texts` are the values as they stand in the document, `values` the same parsed, both in the
    order of `fields`.
    """

    instruction: str
    document: str
    tool: str
    tool_description: str
    fields: tuple[Field, ...]
    values: dict[str, str | int | float]
    texts: dict[str, str]
    source: str


@dataclass(frozen=True)
class _Role:
    """A kind of entry: how documents label it, and how records name and describe it."""

    labels: tuple[str, ...]
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    type: FieldType = "string"
    enum: tuple[str, ...] | None = None


_PRIORITIES = ("low", "normal", "high", "urgent")
_STATUSES = ("open", "closed", "pending", "shipped", "paid")
_CURRENCIES = ("EUR", "USD", "GBP", "MYR", "CHF")

ROLES: dict[str, _Role] = {
    "company": _Role(
        ("Company", "From", "Vendor", "Seller", "Supplier", "Shop"),
        ("company", "vendor", "shop", "store", "merchant", "seller", "supplier"),
        ("Name of the shop", "Name of the company", "Who sells", "Company name", "Company"),
    ),
    "date": _Role(
        ("Date", "Invoice date", "Issued", "DATE", "Order date", "Dated"),
        ("date", "day", "invoice_date", "order_date", "issued"),
        ("Date of the document", "Date", "Day it was issued"),
    ),
    "due": _Role(
        ("Due", "Due date", "Pay by", "Payable until"),
        ("due_date", "due"),
        ("When it must be paid", "Due date"),
    ),
    "total": _Role(
        ("Total", "TOTAL", "Grand total", "Amount due", "Total due", "TOTAL SALES", "Nett total"),
        ("total", "amount", "total_amount", "grand_total", "sum"),
        ("Amount paid", "Total amount", "Amount to pay", "Total"),
        "number",
    ),
    "subtotal": _Role(
        ("Subtotal", "Sub total", "Net", "SUBTOTAL"),
        ("subtotal", "net"),
        ("Amount before tax",),
        "number",
    ),
    "tax": _Role(
        ("Tax", "VAT", "GST", "GST 6%", "VAT 19%", "SST"),
        ("tax", "vat"),
        ("Tax amount", "Tax in it"),
        "number",
    ),
    "address": _Role(
        ("Address", "Street", "Location"),
        ("address", "street", "location"),
        ("Address of the shop", "Street and city", "Address"),
    ),
    "number": _Role(
        ("Invoice no", "Invoice No.", "No", "Ref", "Receipt #", "Order", "Reference", "Doc No"),
        ("number", "invoice_no", "order_id", "reference", "receipt_no"),
        ("Number of the document", "Reference number", "Document number"),
    ),
    "customer": _Role(
        ("Customer", "Bill to", "Client", "Name", "Sold to", "Guest", "Contact"),
        ("customer", "client", "name", "buyer", "contact"),
        ("Name of the customer", "Who buys", "Customer name"),
    ),
    "email": _Role(("E-mail", "Email", "Mail"), ("email", "mail"), ("E-mail address", "E-mail")),
    "phone": _Role(("Tel", "Phone", "TEL", "Mobile"), ("phone", "tel"), ("Phone number", "Phone")),
    "item": _Role(
        ("Item", "Product", "Article", "Goods"),
        ("item", "product", "article"),
        ("What was ordered", "Name of the product"),
    ),
    "quantity": _Role(
        ("Qty", "Quantity", "Units", "Pieces"),
        ("quantity", "qty", "units"),
        ("How many", "Number of pieces"),
        "integer",
    ),
    "subject": _Role(
        ("Subject", "Issue", "Title", "Re"),
        ("subject", "issue", "title"),
        ("What it is about", "Subject line"),
    ),
    "priority": _Role(
        ("Priority", "Urgency", "Prio"),
        ("priority",),
        ("How urgent", "Priority"),
        enum=_PRIORITIES,
    ),
    "status": _Role(("Status", "State"), ("status", "state"), ("Status",), enum=_STATUSES),
    "currency": _Role(("Currency", "Cur"), ("currency",), ("Currency code",), enum=_CURRENCIES),
    "tracking": _Role(
        ("Tracking", "Tracking no", "Parcel", "Waybill"),
        ("tracking", "tracking_no", "parcel"),
        ("Tracking number", "Parcel number"),
    ),
    "carrier": _Role(
        ("Carrier", "Shipped by", "Via"), ("carrier", "shipper"), ("Who carries it", "Carrier")
    ),
    "time": _Role(("Time", "At", "Hour"), ("time", "hour"), ("Time of day", "Time")),
    "city": _Role(("City", "Town", "Place"), ("city", "town", "place"), ("City", "Town")),
}


@dataclass(frozen=True)
class _Family:
    """A kind of document: its title lines, the roles it may show, and those it always shows."""

    kind: str
    titles: tuple[str, ...]
    always: tuple[str, ...]
    sometimes: tuple[str, ...]
    items: bool = False
    headed: bool = False  # the company (and address) stand bare at the top


_FAMILIES = (
    _Family(
        "receipt",
        ("RECEIPT", "TAX INVOICE", "CASH RECEIPT", "", "CASH BILL"),
        ("company", "date", "total"),
        ("address", "number", "time", "phone"),
        items=True,
        headed=True,
    ),
    _Family(
        "receipt",
        ("", "SIMPLIFIED TAX INVOICE", "SALES SLIP", "INVOICE"),
        ("company", "address", "date", "total", "number"),
        ("tax", "subtotal", "customer"),
        items=True,
        headed=True,
    ),
    _Family(
        "invoice",
        ("INVOICE", "Invoice", "Bill", "Statement"),
        ("company", "number", "date", "total"),
        ("due", "customer", "subtotal", "tax", "currency", "address"),
        items=True,
    ),
    _Family(
        "order",
        ("Order", "PURCHASE ORDER", "Order confirmation"),
        ("number", "customer", "item", "quantity"),
        ("date", "total", "email", "city", "status"),
    ),
    _Family(
        "delivery",
        ("Delivery note", "SHIPPING NOTICE", "Parcel"),
        ("tracking", "carrier", "customer"),
        ("date", "address", "city", "phone", "status"),
    ),
    _Family(
        "ticket",
        ("Support ticket", "TICKET", "Helpdesk"),
        ("number", "subject", "priority"),
        ("customer", "email", "date", "status", "phone"),
    ),
    _Family(
        "booking",
        ("Booking", "RESERVATION", "Booking confirmed"),
        ("customer", "date", "time"),
        ("number", "phone", "city", "total", "email"),
    ),
    _Family(
        "message",
        ("", "Hello,", "Dear team,"),
        ("customer", "date", "total"),
        ("company", "number", "email"),
    ),
)
_SEPARATORS = (": ", ":", " : ", "  ", " - ", " = ", " .... ", "\t", "   ")
_RULES = ("", "", "", "-" * 8, "=" * 12, "*" * 6)
_FOOTERS = ("Thank you", "THANK YOU, COME AGAIN", "Goods sold are not returnable", "Bye", "Page 1")
_SENTENCES = {
    "customer": ("this is {}.", "{} writes:", "on behalf of {},"),
    "date": ("It was on {}.", "We met on {}.", "dated {}"),
    "total": ("You owe {}.", "Please pay {} now.", "The sum is {}."),
    "company": ("It concerns {}.", "The shop is {}."),
    "number": ("See {}.", "Our reference is {}."),
    "email": ("Write to {}.", "Answer to {}"),
}
_TOOLS = ("save_record", "save_record", "save_record", "save_receipt", "file_record", "log_entry")
_TOOL_DESCRIPTIONS = (
    *("Save the record", "Save the record.", "Save the receipt", "Store one record", "File it"),
)
_INSTRUCTIONS = (
    "Read each new file and save its record.",
    "Read the document and save its record.",
    "Save the record of every document.",
    "You file receipts. Read the file, then save the record.",
    "Copy the values from the document.",
    "Fill in the record from the document.",
    "Save what the document says.",
    "Read the file, then save its record.",
)


def is_held_out(family: int, order: int, layout: int) -> bool:
    """Whether a template belongs to the held-out share (a fifth of them)."""
    return (family * 7 + order * 3 + layout) % 5 == 0


def example(rng: random.Random, split: Split) -> Example:
    """Draw one document with its record."""
    words = Words(rng, split)
    while True:
        index, order, layout = rng.randrange(len(_FAMILIES)), rng.randrange(6), rng.randrange(9)
        if index > 1 and rng.random() < 0.25:
            index = rng.randrange(2)
        if is_held_out(index, order, layout) == (split == "heldout"):
            break
    family = _FAMILIES[index]
    chosen = [role for role in family.sometimes if rng.random() < 0.45]
    roles = [*family.always, *chosen]
    random.Random(order).shuffle(roles)
    texts = {role: _text(words, rng, role) for role in roles}
    if family.headed and rng.random() < 0.5:
        texts["company"] = texts["company"].upper()
        if "address" in texts:
            texts["address"] = texts["address"].upper()
    lines = (
        _message(rng, family, texts)
        if family.kind == "message"
        else _form(rng, words, family, roles, texts, _SEPARATORS[layout])
    )
    return _with_record(rng, words, family, texts, "\n".join(lines))


def _with_record(
    rng: random.Random, words: Words, family: _Family, texts: dict[str, str], document: str
) -> Example:
    """Choose two to five of the document's entries as the record's fields."""
    count = rng.randint(2, min(5, len(texts)))
    wanted = rng.sample(sorted(texts), count)
    if family.items and rng.random() < 0.6:
        wanted = [role for role in ("company", "date", "total", "address") if role in texts]
    fields, values, found = [], {}, {}
    for role_name in wanted:
        role = ROLES[role_name]
        kind = role.type
        if kind == "number" and rng.random() < 0.35:
            kind = "string"
        name = rng.choice(role.names)
        if name in values:
            continue
        fields.append(Field(name, kind, rng.choice(role.descriptions), role.enum))
        found[name] = texts[role_name]
        converters = {"number": float, "integer": int, "string": str}
        values[name] = converters[kind](texts[role_name])
    return Example(
        instruction=rng.choice(_INSTRUCTIONS),
        document=document,
        tool=rng.choice(_TOOLS),
        tool_description=rng.choice(_TOOL_DESCRIPTIONS),
        fields=tuple(fields),
        values=values,
        texts=found,
        source=_path(rng, words, family.kind),
    )


def _path(rng: random.Random, words: Words, kind: str) -> str:
    folder = rng.choice(["inbox", "inbox", "in", "receipts", "docs", "mail", "inbox/new"])
    stem = rng.choice([kind, "scan", "receipt", words.word(2), words.word(2).lower()])
    number = rng.choice([f"{rng.randrange(1000):03}", str(rng.randrange(100000)), "07"])
    between = rng.choice(["-", "_", ""])
    name = rng.choice([f"{stem}{between}{number}", f"{number}-{stem}", stem])
    return f"{folder}/{name}.{rng.choice(['txt', 'txt', 'txt', 'md'])}"


def _text(words: Words, rng: random.Random, role: str) -> str:
    """The value of an entry."""
    enum = ROLES[role].enum
    if enum:
        return rng.choice(enum)
    draw = {
        "company": words.company,
        "date": words.date,
        "due": words.date,
        "total": lambda: words.amount(4.5),
        "subtotal": words.amount,
        "tax": lambda: words.amount(3.0),
        "address": words.street,
        "number": words.code,
        "customer": words.person,
        "email": words.email,
        "phone": words.phone,
        "item": lambda: words.words(1, 3),
        "quantity": lambda: str(rng.randint(1, rng.choice([9, 99, 999]))),
        "subject": lambda: words.words(2, 4),
        "tracking": words.code,
        "carrier": words.company,
        "time": words.time,
        "city": words.word,
    }
    return draw[role]()


def _message(rng: random.Random, family: _Family, texts: dict[str, str]) -> list[str]:
    """A short note in sentences."""
    lines = [rng.choice(family.titles)]
    for role, text in texts.items():
        shown = f"{rng.choice(['', 'EUR ', '$', 'RM '])}{text}" if role == "total" else text
        lines.append(rng.choice(_SENTENCES[role]).format(shown))
    lines.append(rng.choice(["Regards", "Thanks", "Best", ""]))
    if rng.random() < 0.4:
        return [" ".join(line for line in lines if line)]
    return [line for line in lines if line]


def _form(
    rng: random.Random,
    words: Words,
    family: _Family,
    roles: list[str],
    texts: dict[str, str],
    separator: str,
) -> list[str]:
    """Labelled entries; a headed family begins with its company and address, bare."""
    title = rng.choice(family.titles)
    lines = []
    money = rng.choice(["", "", "RM ", "$", "EUR ", "USD ", "€"])
    head = [role for role in ("company", "address") if family.headed and role in texts]
    for role in head:
        lines.append(texts[role])
        if role == "company" and rng.random() < 0.3:
            lines.append(f"({words.code()})")
    if head and "phone" not in texts and rng.random() < 0.3:
        lines.append(f"{rng.choice(['Tel', 'TEL', 'Fax'])}{separator}{words.phone()}")
    if title:
        lines.insert(rng.choice([0, len(lines)]) if head else 0, title)
    if rng.random() < 0.4:
        lines.append(rng.choice(_RULES))
    ends = ("subtotal", "tax", "total")
    body = [role for role in roles if role not in head and role not in ends]
    for role in body:
        lines.append(_entry(rng, role, texts[role], separator))
    if family.items:
        most = 16 if family.headed and rng.random() < 0.12 else 3
        lines += [_item(rng, words) for _ in range(rng.randint(0, most))]
    if rng.random() < 0.3:
        lines.append(rng.choice(_RULES))
    upper = rng.random() < 0.3
    for role in ends:
        if role in texts:
            entry = _entry(rng, role, money + texts[role], separator)
            label = entry[: entry.rindex(money + texts[role])]
            lines.append((label.upper() if upper else label) + money + texts[role])
        elif role != "total" and family.items and rng.random() < 0.2:
            lines.append(_entry(rng, role, money + words.amount(), separator))
    if family.headed and rng.random() < 0.45:
        lines.append(f"{rng.choice(['CASH', 'Cash', 'VISA', 'Paid'])}{separator}{words.amount()}")
        lines.append(
            f"{rng.choice(['CHANGE', 'Change', 'Rounding'])}{separator}{words.amount(1.5)}"
        )
    if rng.random() < 0.3:
        lines.append(rng.choice(_FOOTERS))
    spaced = rng.random() < 0.15
    return [line for line in lines if line or spaced]


def _entry(rng: random.Random, role: str, text: str, separator: str) -> str:
    label = rng.choice(ROLES[role].labels)
    if role == "date" and rng.random() < 0.25:
        return text
    return f"{label}{separator}{text}"


def _item(rng: random.Random, words: Words) -> str:
    """An item line: a distractor for amounts and quantities."""
    name, price = words.words(1, 2), words.amount(3.0)
    count = rng.randint(1, 9)
    forms = [f"{name} {price}", f"{count} x {name} {price}", f"{name}  {count}  {price}"]
    return rng.choice([*forms, f"{count} {name} @ {price} {words.amount(3.0)}"])
