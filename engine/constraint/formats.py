"""The standard string formats as expressions over characters.

Dates are real ones (RFC 3339, section 5.7): thirty days have September, and February has 29 only
in leap years. E-mail addresses are the dot-atom form of RFC 5321 with a domain name.
"""

from __future__ import annotations

from .pattern import parse_pattern
from .regular import Expression

_LEAP_CENTURY = "(0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"([0-9][0-9]{_LEAP_CENTURY}|{_LEAP_CENTURY}00)"
_YEAR = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DATE = (
    f"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    f"|02-(0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
_ZONE = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,30}"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"


def _whole(pattern: str) -> Expression:
    return parse_pattern(pattern, search=False)


FORMATS: dict[str, Expression] = {
    "date": _whole(_DATE),
    "date-time": _whole(f"{_DATE}T{_TIME}{_ZONE}"),
    "email": _whole(rf"{_ATOM}(\.{_ATOM}){{0,1}}@{_LABEL}(\.{_LABEL}){{1,3}}"),
    "uuid": _whole("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}
