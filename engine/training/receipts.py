"""Receipts as a scanner reads them, and short ones as a person types them.

A receipt is drawn from the top to the bottom: heading, particulars, items, sums, farewell. Its
arithmetic is right, and it shows the things that make receipts hard: several dates, several sums
(before and after tax, discount and rounding, what was handed over and what came back, the tax
summary), a second address, a company name that is broken over lines or repeated, numbers of every
kind, columns that the scanner glued together.
"""

from __future__ import annotations

from collections.abc import Callable

from .entries import Draft, Entry, Table, role_entry, slip
from .lexicon import share
from .words import Words

_GAPS = ("  ", "  ", "  ", "  ", " ", "   ", "\t", "      ", " : ")
_TITLES = (
    *("TAX INVOICE", "INVOICE", "RECEIPT", "CASH RECEIPT", "CASH BILL", "SIMPLIFIED TAX INVOICE"),
    *("SALES RECEIPT", "OFFICIAL RECEIPT", "BILL", "GUEST CHECK", "CASH SALES", "Invoice"),
    *("-TAX INVOICE-", "Rechnung", "SALES SLIP", "Kassenbon", "TICKET"),
)
_FAREWELLS = (
    *("THANK YOU", "THANK YOU, PLEASE COME AGAIN", "THANK YOU & SEE YOU AGAIN", "Thank you!"),
    *("GOODS SOLD ARE NOT RETURNABLE", "GOODS SOLD ARE NOT REFUNDABLE OR EXCHANGEABLE"),
    *("NO CASH REFUND", "PLEASE KEEP THIS RECEIPT", "EXCHANGE WITHIN 7 DAYS WITH RECEIPT"),
    *("HAVE A NICE DAY", "Paid by card", "PRICES INCLUDE TAX", "CUSTOMER COPY", "Vielen Dank"),
    *("THIS IS A COMPUTER GENERATED INVOICE", "FOLLOW US ONLINE", "VISIT US AGAIN", "Merci"),
    *("COLLECT POINTS WITH EVERY PURCHASE", "CALL OUR HOTLINE FOR FEEDBACK", "Page 1 of 1"),
)
_TOTALS = (
    *(
        "TOTAL",
        "TOTAL",
        "TOTAL",
        "GRAND TOTAL",
        "TOTAL DUE",
        "AMOUNT DUE",
        "NETT TOTAL",
        "NET TOTAL",
    ),
    *("TOTAL AMOUNT", "TOTAL SALES", "BALANCE DUE", "TOTAL PAYABLE", "AMOUNT PAYABLE", "NETT"),
    *("TOTAL INCL. TAX", "TOTAL INCL GST", "TOTAL (INCL. GST)", "TOTAL INCLUSIVE GST", "TOTAL RM"),
    *("TOTAL AMOUNT (RM)", "TOTAL AFTER ROUNDING", "ROUNDED TOTAL", "TOTAL TO PAY", "Total EUR"),
    *("TOTAL SALES INCLUSIVE OF GST", "ROUNDED TOTAL (RM)", "TOTAL INCL. GST@6%", "TO PAY"),
    *("TOTAL (RM)", "FINAL TOTAL", "Summe", "TOTAL SALES (INCLUSIVE OF GST)", "BILL TOTAL"),
    *("NET AMOUNT DUE", "AMOUNT", "TOTAL PAYABLE INCL GST", "PAYABLE", "Gesamt", "TOTAL:"),
)
_EARLIER = (
    *("SUBTOTAL", "SUB TOTAL", "SUB-TOTAL", "TOTAL EXCL. TAX", "TOTAL (EXCLUDING GST)", "NET"),
    *("TOTAL SALES (EXCL GST)", "TOTAL BEFORE TAX", "GROSS AMOUNT", "TOTAL BEFORE ROUNDING"),
    *("ITEMS TOTAL", "Zwischensumme", "TOTAL EXCLUDING GST", "GROSS"),
)
_TAXES = ("GST 6%", "TAX", "TOTAL GST", "GST", "SST 6%", "VAT", "TOTAL TAX", "GST @6%", "MwSt 19%")
_ROUNDINGS = ("ROUNDING", "ROUNDING ADJ", "ROUNDING ADJUSTMENT", "RND ADJ", "ROUND AMT")
_GIVEN = (
    *("CASH", "CASH", "CASH", "VISA", "VISA CARD", "MASTERCARD", "TENDERED", "AMOUNT TENDERED"),
    *("PAID", "CASH RECEIVED", "CREDIT CARD", "DEBIT", "PAYMENT", "CASH TEND", "EFT"),
)
_CHANGES = ("CHANGE", "CHANGE", "CHANGE DUE", "CHANGE AMT", "BALANCE", "RETURN", "Rückgeld")
_LABELS = {
    "date": ("DATE", "DATE", "DATE", "DATE/TIME", "BILL DATE", "INV DATE", "TRX DATE", "Datum"),
    "time": ("TIME", "TIME", "TM", "HOUR"),
    "number": (
        *(
            "INVOICE NO",
            "BILL NO",
            "RECEIPT NO",
            "DOC NO",
            "RECEIPT #",
            "INV NO",
            "CHECK NO",
            "SLIP",
        ),
        *("BILL #", "ORDER NO", "TRANS NO", "INV#", "NO", "DOCUMENT NO.", "Beleg-Nr"),
    ),
    "junk": (
        *(
            "CASHIER",
            "COUNTER",
            "TABLE",
            "PAX",
            "STAFF",
            "SALESPERSON",
            "MEMBER",
            "TERMINAL",
            "REF",
        ),
        *("TERMS", "TILL", "POS", "STATION", "OPERATOR", "SHIFT", "COVERS", "SERVER", "TAKE AWAY"),
    ),
    "registration": (
        *("CO. REG NO", "REG NO", "COMPANY NO", "CO REG", "ROC NO", "COMPANY REG. NO.", "BRN"),
        *("(CO. REG. NO", "BUSINESS REG NO"),
    ),
    "tax id": (
        "GST ID",
        "GST NO",
        "GST REG NO",
        "VAT NO",
        "GST ID NO",
        "SST ID",
        "TAX ID",
        "USt-Id",
    ),
    "phone": ("TEL", "TEL", "TEL NO", "PHONE", "H/P", "TEL/FAX", "HOTLINE"),
}
_HEADINGS = (
    *("ITEM  QTY  PRICE  AMOUNT", "DESCRIPTION  QTY  U.PRICE  TOTAL", "QTY  ITEM  RM", "ITEM  AMT"),
    *("NO  DESCRIPTION  QTY  TOTAL (RM)", "ITEM/DESC.  QTY  RM(TOTAL)  TAX", "DESCRIPTION  AMOUNT"),
    *("CODE  QTY  U/P  DISC  AMOUNT", "ARTIKEL  MENGE  PREIS"),
)


class _Receipt:
    """One receipt being drawn: lines so far, and the entries among them."""

    def __init__(self, words: Words, *, scanned: bool) -> None:
        rng = words.rng
        self.words, self.rng, self.scanned = words, rng, scanned
        self.upper = rng.random() < (0.85 if scanned else 0.2)
        self.gap = rng.choice(_GAPS)
        self.colon = rng.choice([":", ": ", " : ", " ", ":  ", " .", "  "])
        self.money = rng.choice(["", "", "", "", "RM ", "RM", "$", "EUR ", "€", "USD "])
        self.lines: list[str] = []
        self.headed = 0  # lines of the heading
        self.entries: list[Entry] = []

    def pick(self, labels: tuple[str, ...]) -> str:
        """A label of the split's share, in the receipt's letters."""
        label = self.rng.choice(share(labels, self.words.split))
        if not self.upper and not self.scanned:
            label = label.capitalize() if self.rng.random() < 0.6 else label
        if self.scanned and self.rng.random() < 0.03:
            label = slip(self.rng, label)
        return label

    def value(self, text: str) -> str:
        """A value in the receipt's letters, rarely misread."""
        text = text.upper() if self.upper else text
        return slip(self.rng, text) if self.scanned and self.rng.random() < 0.04 else text

    def keep(self, role: str, value: str, token: str | None = None) -> None:
        self.entries.append(role_entry(self.words, role, value, token))

    def own(self, kind: str, noun: str, value: str) -> None:
        """An entry whose name says what it is."""
        names = (noun.replace(" ", "_"),)
        described = (noun.capitalize(), f"The {noun}", f"{noun} on the receipt".capitalize())
        self.entries.append(Entry(kind, noun, names, described, value))

    def labelled(self, labels: str, value: str) -> str:
        return f"{self.pick(_LABELS[labels])}{self.colon}{value}"


def receipt(words: Words) -> Draft:
    """Draw one receipt."""
    rng = words.rng
    page = _Receipt(words, scanned=rng.random() < 0.65)
    _heading(page)
    page.headed = len(page.lines)
    late = rng.random() < 0.25  # the date stands at the end
    particulars = _particulars(page)
    if not late:
        _spread(page, particulars)
    if page.scanned and rng.random() < 0.07:
        _customer(page)
    rows, total = _items(page)
    _sums(page, total)
    if late:
        _spread(page, particulars)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3] if page.scanned else [0, 0, 1])):
        page.lines.append(page.pick(_FAREWELLS))
    if rng.random() < 0.12:
        page.lines.append(
            f"{rng.choice(['PRINTED', 'CLOSED', 'PRINTED AT'])}{page.colon}{words.date()}"
        )
    lines = [line.rstrip() for line in page.lines if line.strip()]
    if not page.scanned and rng.random() < 0.5:
        lines.insert(rng.randint(2, min(5, len(lines))), "")
    if rng.random() < 0.05:
        rule = rng.choice(["-", "=", "*"]) * rng.randint(3, 16)
        lines.insert(rng.randint(page.headed + 1, max(page.headed + 1, len(lines))), rule)
    table = Table(("items", "lines", "products"), "What was bought", rows) if rows else None
    return Draft("receipt", tuple(lines), tuple(page.entries), table)


def _heading(page: _Receipt) -> None:
    """The company, its numbers and its address, bare, in the order that shops print them in."""
    words, rng = page.words, page.rng
    name = page.value(words.company())
    page.keep("company", name)
    if page.scanned and rng.random() < 0.16:  # what stands before the name
        before = [words.person(), words.digits(2, 7), words.word(2), name.split()[0], words.code()]
        for _ in range(rng.choice([1, 1, 2])):
            page.lines.append(page.value(rng.choice(before)))
    registration = rng.choice(
        [f"{words.digits(5, 7)}-{rng.choice('ATHVXPUDKW')}", words.digits(9, 12)]
    )
    shown = rng.choice([f"({registration})", registration, f"({registration})"])
    parts = name.split(" ")
    if page.scanned and len(parts) > 2 and rng.random() < 0.12:  # broken over two lines
        cut = rng.randint(1, len(parts) - 1)
        page.lines += [" ".join(parts[:cut]), " ".join(parts[cut:])]
    else:
        page.lines.append(name)
    chance = rng.random()
    if page.scanned and chance < 0.25:
        page.lines[-1] += f" {shown}"
    elif page.scanned and chance < 0.6:
        labelled = rng.random() < 0.5
        page.lines.append(page.labelled("registration", registration) if labelled else shown)
        if page.lines[-1].startswith("(") and not page.lines[-1].endswith(")"):
            page.lines[-1] += ")"
    if page.scanned and chance < 0.6:
        page.own("code", "registration number", registration)
    if rng.random() < 0.06:
        page.lines.append(page.value(f"({words.company()})"))  # a parent or a branch
    tail: list[str] = []
    if rng.random() < 0.9:
        tail += _address(page)
    more: list[str] = []
    if rng.random() < (0.6 if page.scanned else 0.25):
        phone = words.phone()
        line = page.labelled("phone", phone)
        if rng.random() < 0.35:
            line += f"{page.gap}FAX{page.colon}{words.phone()}"
        if rng.random() < 0.12:
            line = phone
        more.append(line)
        page.keep("phone", phone)
    if page.scanned and rng.random() < 0.6:
        tax_id = words.digits(9, 12)
        line = page.labelled("tax id", tax_id)
        more.append(f"({line})" if rng.random() < 0.15 else line)
        page.own("code", rng.choice(["tax id", "gst number", "tax number"]), tax_id)
    if rng.random() < 0.1:
        more.append(page.value(rng.choice([words.email(), words.web()])))
    rng.shuffle(more)
    if more and rng.random() < 0.12:
        tail.insert(0, more.pop())
    page.lines += tail + more
    title = page.pick(_TITLES)
    if rng.random() < 0.65:
        page.lines.insert(len(page.lines) if rng.random() < 0.85 else 0, title)


def _address(page: _Receipt) -> list[str]:
    """An address of one to five lines; its value joins them by a space."""
    words, rng = page.words, page.rng
    parts = [page.value(part) for part in words.address_parts()]
    comma = rng.choice([", ", ", ", ",", " "])
    lines, line = [], parts[0]
    one_a_line = rng.random() < 0.45
    for part in parts[1:]:
        if not one_a_line and len(line) + len(part) < rng.choice([28, 36, 60]):
            line += comma + part
        else:
            lines.append(line + (rng.choice([",", ",", ","]) if comma.strip() else ""))
            line = part
    lines.append(line + rng.choice(["", "", "", ".", ","]))
    if rng.random() < 0.3 and len(lines) > 1:  # broken at a word, not at a comma
        joined = " ".join(lines).split(" ")
        cut = rng.randint(1, len(joined) - 1)
        lines = [" ".join(joined[:cut]), " ".join(joined[cut:])]
    page.keep("address", " ".join(lines))
    if rng.random() < 0.04:
        lines[0] = f"{rng.choice(['ADDRESS', 'Add', 'Address'])}{page.colon}{lines[0]}"
    return lines


def _particulars(page: _Receipt) -> list[str]:
    """Date, time, numbers and names, each as it is shown."""
    words, rng = page.words, page.rng
    date, time = words.date(), words.time()
    page.keep("date", date)
    shown, timed = date, rng.random()
    if timed < 0.55:
        page.keep("time", time)
        shown = f"{date}{rng.choice([' ', ' ', '  ', ', ', page.gap])}{time}"
        if rng.random() < 0.2:
            shown = f"{time}{rng.choice([' ', '  ', page.gap])}{date}"
        if rng.random() < 0.1:
            shown = f"{rng.choice(['MON', 'TUE', 'Wed', 'SAT'])} {shown}"
    elif timed < 0.68:
        page.keep("time", time)
        between = "" if page.scanned and rng.random() < 0.15 else page.gap
        shown += f"{between}{page.labelled('time', time)}"
    labelled = rng.random() < (0.5 if page.scanned else 0.45)
    particulars = [page.labelled("date", shown) if labelled else _among(page, shown)]
    if rng.random() < 0.75:
        number = words.code()
        page.keep("number", number)
        particulars.append(page.labelled("number", number))
    for _ in range(rng.choice([0, 1, 1, 2, 3, 4] if page.scanned else [0, 0, 0, 1])):
        label = page.pick(_LABELS["junk"])
        value = page.value(
            rng.choice([words.word(2), words.digits(1, 5), words.person(), words.code()])
        )
        if label.isalpha() and rng.random() < 0.5:
            page.own("phrase", label.lower(), value)
        particulars.append(f"{label}{page.colon}{value}")
    rng.shuffle(particulars)
    return particulars


def _among(page: _Receipt, shown: str) -> str:
    """An unlabelled date by itself, or on one line with what has nothing to do with it."""
    words, rng = page.words, page.rng
    if not page.scanned or rng.random() < 0.5:
        return shown
    gap = rng.choice([" ", page.gap])
    others = [
        lambda: words.digits(2, 9),
        lambda: f"#{words.digits(1, 4)}",
        words.code,
        lambda: page.value(words.person()),
        lambda: (
            f"{page.pick(_LABELS['junk'])}{rng.choice([' ', ':', '#', ' #'])}{words.digits(1, 5)}"
        ),
        lambda: f"{page.pick(_LABELS['number'])}{page.colon}{words.code()}",
    ]
    before = [rng.choice(others)() for _ in range(rng.choice([0, 1, 1, 2]))]
    behind = [rng.choice(others)() for _ in range(rng.choice([0, 0, 1, 2]))]
    if before and rng.random() < 0.1:
        return gap.join([*before[:-1], f"{before[-1]}({shown})", *behind])
    return gap.join([*before, shown, *behind])


def _spread(page: _Receipt, particulars: list[str]) -> None:
    """Put the particulars on lines of one or two."""
    left = list(particulars)
    while left:
        line = left.pop(0)
        if left and page.rng.random() < (0.3 if page.scanned else 0.1):
            line += page.gap + left.pop(0)
        page.lines.append(line)


def _customer(page: _Receipt) -> None:
    """Whom the bill is for, with an address that is not the shop's."""
    words = page.words
    name = page.value(words.person())
    page.keep("customer", name)
    page.lines.append(
        f"{page.rng.choice(['BILL TO', 'CUSTOMER', 'SOLD TO', 'ATTN'])}{page.colon}{name}"
    )
    page.lines += [page.value(part) for part in words.address_parts()[:3]]


def _money(cents: int) -> str:
    return f"{cents / 100:,.2f}"


def _items(page: _Receipt) -> tuple[tuple[tuple[Entry, ...], ...], int]:
    """Item lines; the rows of their table, and their sum in cents."""
    words, rng = page.words, page.rng
    many = rng.choice([1, 1, 2, 2, 3, 4, 5, 8] if page.scanned else [0, 1, 2, 3, 4])
    if page.scanned and rng.random() < 0.6:
        page.lines.append(rng.choice(share(_HEADINGS, words.split)).replace("  ", page.gap))
    layout = rng.randrange(7)
    code = rng.random() < 0.35
    suffix = rng.choice(["", "", "", " SR", " S", "SR", " *S", " Z"])
    rows, total = [], 0
    for _ in range(many):
        name = page.value(words.goods() if rng.random() < 0.7 else words.phrase())
        count = rng.choice([1, 1, 1, 1, 2, 3, rng.randint(1, 30)])
        price = round(100 * 10 ** rng.uniform(-0.3, rng.choice([1.0, 1.6, 2.3])))
        amount = count * price
        total += amount
        gap, number = page.gap, words.digits(4, 13)
        unit, sum_ = _money(price), _money(amount)
        if not page.scanned or layout == 0:
            style = rng.choice([f"{count} x {name}", f"{name}", f"{count} {name}"])
            page.lines.append(f"{style}{gap}{sum_}")
        elif layout == 1:
            page.lines.append(name)
            page.lines.append(
                f"{number + gap if code else ''}{count}{gap}{unit}{gap}{sum_}{suffix}"
            )
        elif layout == 2:
            page.lines.append(f"{number if code else name}{gap}{count} X {unit}{gap}{sum_}{suffix}")
            page.lines += [name] if code else []
        elif layout == 3:
            page.lines.append(f"{name}{gap}{count}{gap}{unit}{gap}{sum_}{suffix}")
        elif layout == 4:
            page.lines.append(f"{count}{gap}{name}{gap}{page.money}{sum_}{suffix}")
        elif layout == 5:
            page.lines.append(f"{number}{gap}{name}")
            page.lines.append(f"{count} @ {unit}{gap}{sum_}{suffix}")
        else:
            page.lines.append(f"{count}X {number}{gap}{sum_}{suffix}")
            page.lines.append(name)
        row = [
            Entry("goods", "", ("name", "item", "description"), ("Name of the product",), name),
            Entry("amount", "", ("amount", "total", "sum"), ("Amount of the line",), sum_),
        ]
        if page.scanned and layout in (1, 2, 3, 5):
            row.append(Entry("count", "", ("quantity", "qty"), ("How many",), str(count)))
            row.append(Entry("amount", "", ("price", "unit_price"), ("Price of one",), unit))
        rows.append(tuple(row))
    if not many:
        total = round(100 * 10 ** rng.uniform(0, 2.5))
    return tuple(rows) if many <= 4 else (), total


def _sums(page: _Receipt, items: int) -> None:
    """The sums; the last one that is to be paid is the total."""
    rng = page.rng
    gap = rng.choice([page.gap, page.gap, page.colon])
    money = page.money if rng.random() < 0.8 else ""

    def show(label: str, cents: int, sign: str = "") -> None:
        text = f"{sign}{_money(cents)}"
        if page.scanned and rng.random() < 0.05:
            page.lines += [label, f"{money}{text}"]
        else:
            page.lines.append(f"{label}{gap}{money}{text}")

    def glued(cents: int) -> str | None:
        return f"{money}{_money(cents)}" if money and not money.endswith(" ") else None

    total = items
    if page.scanned and rng.random() < 0.3:
        label = rng.choice(["TOTAL QTY", "ITEM(S)", "ITEM COUNT", "TOTAL ITEMS", "QTY(S)"])
        page.lines.append(f"{label}{gap}{rng.randint(1, 30)}")
    steps = rng.random() < (0.65 if page.scanned else 0.3)
    subtotal_only = steps and rng.random() < 0.06
    if steps:
        show(page.pick(_EARLIER), total)
        page.keep("subtotal", _money(total), glued(total))
    if steps and not subtotal_only:
        if rng.random() < 0.2:
            off = round(total * rng.choice([0, 0, 0.05, 0.1, 0.2]))
            show(
                rng.choice(["DISCOUNT", "DISC", "LESS DISC", "Discount"]),
                off,
                rng.choice(["", "-"]),
            )
            page.own("amount", "discount", _money(off))
            total -= off
        if rng.random() < 0.12:
            service = round(total * 0.1)
            show(rng.choice(["SERVICE CHARGE 10%", "SVC CHG 10%", "SERVICE"]), service)
            page.own("amount", "service charge", _money(service))
            total += service
        if rng.random() < 0.5:
            added = rng.random() < 0.6
            tax = round(total * rng.choice([0, 0.06, 0.06, 0.19, 0.1]))
            show(page.pick(_TAXES), tax)
            page.keep("tax", _money(tax), glued(tax))
            total += tax if added else 0
        if rng.random() < 0.2:
            show(rng.choice(["TOTAL INCL. GST", "TOTAL", "TOTAL SALES"]), total)
    rounding = rng.random() < (0.35 if page.scanned else 0.05)
    rounded = round(total / 5) * 5 if rounding and not subtotal_only else total
    before = rng.random() < 0.7
    if rounding and before:
        _rounding(page, show, rounded - total)
    if not subtotal_only:
        label = (
            rng.choice(["TOTAL", "TOTAL", "GRAND TOTAL"])
            if rng.random() < 0.25
            else page.pick(_TOTALS)
        )
        show(label, rounded)
    if rounding and not before:
        _rounding(page, show, 0)
    page.keep("total", _money(rounded), glued(rounded))
    if rng.random() < (0.75 if page.scanned else 0.3):
        unit = rng.choice([1, 500, 1000, 5000])
        given = -(-rounded // unit) * unit
        show(page.pick(_GIVEN), given)
        if rng.random() < 0.5:
            page.own("amount", "cash", _money(given))
        if rng.random() < 0.85:
            show(page.pick(_CHANGES), given - rounded)
            page.own("amount", "change", _money(given - rounded))
    if page.scanned and rng.random() < 0.5:
        _summary(page, rounded)


def _rounding(page: _Receipt, show: Callable[[str, int, str], None], cents: int) -> None:
    sign = "-" if cents < 0 else ""
    show(page.pick(_ROUNDINGS), abs(cents), sign)


def _summary(page: _Receipt, total: int) -> None:
    """The table of tax rates, whose sums are not the receipt's."""
    rng, gap = page.rng, page.gap
    net = round(total / 1.06)
    heading = rng.choice(["GST SUMMARY", "TAX SUMMARY", "GST ANALYSIS", "TAX CODE"])
    page.lines.append(f"{heading}{gap}AMOUNT(RM){gap}TAX(RM)")
    label = rng.choice(["SR @ 6%", "S 6%", "SR=6%", "SR", "A 19%"])
    page.lines.append(f"{label}{gap}{_money(net)}{gap}{_money(total - net)}")
    if rng.random() < 0.35:
        page.lines.append(f"{rng.choice(['ZR', 'Z @ 0%', 'ZR=0%'])}{gap}0.00{gap}0.00")
    if rng.random() < 0.5:
        page.lines.append(f"TOTAL{gap}{_money(net)}{gap}{_money(total - net)}")
