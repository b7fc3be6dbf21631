"""A reader of receipts by rules, to set the model against: what an hour of regular expressions
gives. It knows where companies stand, what dates and sums look like and what sums are called."""

from __future__ import annotations

import re

_DATE = re.compile(
    r"\b(\d{1,2}\s?[/.-]\s?\d{1,2}\s?[/.-]\s?\d{2,4}|\d{4}[/.-]\d{1,2}[/.-]\d{1,2}"
    r"|\d{1,2}[ /-]?[A-Z]{3,9}[ /-]?,?\s?\d{2,4}|[A-Z]{3,9} \d{1,2},? \d{4})\b",
    re.IGNORECASE,
)
_MONTH = re.compile(r"JAN|FEB|MAR|APR|MA[IY]|JUN|JUL|AUG|SEP|O[CK]T|NOV|DE[CZ]", re.IGNORECASE)
_AMOUNT = re.compile(r"-?\d[\d,]*\.\d\d\b")
_TOTAL = re.compile(r"TOTAL|AMOUNT DUE|BALANCE DUE|PAYABLE|NETT?\b|SUMME", re.IGNORECASE)
_NOT_TOTAL = re.compile(
    r"SUB|QTY|QUANTITY|ITEM|TAX|DISC|EXCL|SAV|POINT|CHANGE|BEFORE|(GST|VAT)\s*:?\s*(RM)?\s*\d",
    re.IGNORECASE,
)
_SUMMARY = re.compile(r"(GST|TAX|VAT) (SUMMARY|ANALYSIS|CODE)", re.IGNORECASE)
_LEGAL = re.compile(r"\b(SDN|BHD|LTD|INC|LLC|GMBH|ENTERPRISE|TRADING|CO\.)", re.IGNORECASE)
_CODE = re.compile(r"\s*\(?\b(CO\.? ?REG|REG)?[ .:NO]*\d{4,}[-\dA-Z]*\)?\s*$")
_NO_ADDRESS = re.compile(
    r"\b(TEL|FAX|PHONE|GST|TAX|REG|INVOICE|RECEIPT|BILL|DATE|CASH|EMAIL|WWW|HTTP)\b|@|^\(?[\d-]+",
    re.IGNORECASE,
)


def read_receipt(text: str) -> dict[str, str]:
    """Company, date, address and total of a receipt; an empty string where no rule fits."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    company, below = _company(lines)
    return {
        "company": company,
        "date": _date(text),
        "address": _address(lines[below:]),
        "total": _total(lines),
    }


def _company(lines: list[str]) -> tuple[str, int]:
    """The first of the upper lines with a legal form, else the first one; and the line below it."""
    head = lines[:5]
    place = next((index for index, line in enumerate(head) if _LEGAL.search(line)), 0)
    return _CODE.sub("", head[place]) if head else "", place + 1


def _address(lines: list[str]) -> str:
    """The lines below the company up to the first that is a number or a title."""
    found: list[str] = []
    for line in lines[:7]:
        is_street = re.match(r"(NO\b|LOT|\d+[A-Z]?[ ,-])", line, re.IGNORECASE)
        if _NO_ADDRESS.search(line) and not (is_street and len(line) > 12):
            if found:
                break
            continue
        found.append(line)
    return " ".join(found)


def _date(text: str) -> str:
    for match in _DATE.finditer(text):
        if not re.search(r"[A-Z]", match[1], re.IGNORECASE) or _MONTH.search(match[1]):
            return match[1]
    return ""


def _total(lines: list[str]) -> str:
    """The last sum that is called a total, above the table of taxes; else the largest sum."""
    end = next((index for index, line in enumerate(lines) if _SUMMARY.search(line)), len(lines))
    found = ""
    for index, line in enumerate(lines[:end]):
        if _TOTAL.search(line) and not _NOT_TOTAL.search(line):
            amounts = _AMOUNT.findall(line) or _AMOUNT.findall(
                " ".join(lines[index + 1 : index + 2])
            )
            found = amounts[-1] if amounts else found
    if found:
        return found
    amounts = [amount for line in lines[:end] for amount in _AMOUNT.findall(line)]
    return max(amounts, key=lambda amount: float(amount.replace(",", "")), default="")
