"""The standard string formats (draft 2020-12, section 7.3) as expressions over characters.

Each is compiled when it is first asked for. None is wider than its standard; where one is narrower
it is for the size of the automaton:

- a date is a real one (RFC 3339, section 5.7) from the year 1 on; a leap second is 23:59:60 in UTC,
  in a date-time at the end of June or December;
- a host name has labels of at most 63 characters (RFC 1123): the first one, then at most 63
  characters more, so that 253 are never passed;
- an e-mail address (RFC 5321) has a dot-string of at most 64 characters before the `@`, and a host
  name of at most 63 after it; an internationalised one may have 16 characters of any script before;
- a label of an internationalised host name has letters of the Latin, Greek, Cyrillic, Han, Kana and
  Hangul blocks that every IDNA implementation takes, at most 12 where it is not ASCII; there are
  at most two such labels, and a last one of ASCII letters;
- a relative JSON pointer does not change an index (`0+1`), which older drafts do not know;
- a regex is one that ECMA and Python read alike, its groups not nested more than twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from .pattern import parse_pattern
from .regular import ANY, Both, Characters, Expression, Ranges, Repeat, either, optional, sequence

_LEAP_CENTURY = "(0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"([0-9][0-9]{_LEAP_CENTURY}|{_LEAP_CENTURY}00)"
_YEAR = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DATE = (
    f"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    f"|02-(0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_FRACTION = r"(\.[0-9]+)?"
_ZONE = "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_TIME = f"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]{_FRACTION}{_ZONE}"
_LEAP_SECOND = f"23:59:60{_FRACTION}([Zz]|[+-]00:00)"
_DATE_TIME = f"{_DATE}[Tt]{_TIME}|{_YEAR}-(06-30|12-31)[Tt]{_LEAP_SECOND}"
_SECONDS = "[0-9]+S"
_MINUTES = f"[0-9]+M({_SECONDS})?"
_CLOCK = f"T({_SECONDS}|{_MINUTES}|[0-9]+H({_MINUTES})?)"
_DAYS = "[0-9]+D"
_MONTHS = f"[0-9]+M({_DAYS})?"
_DURATION = f"P([0-9]+W|{_CLOCK}|({_DAYS}|{_MONTHS}|[0-9]+Y({_MONTHS})?)({_CLOCK})?)"

_LABEL = "[A-Za-z0-9]+(-+[A-Za-z0-9]+)*"
_HOST = rf"{_LABEL}(\.{_LABEL})*"
# Without two hyphens in a row, which IDNA forbids in the third and fourth place.
_IDN_ASCII_HOST = r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*(\.[A-Za-z0-9]+(-[A-Za-z0-9]+)*)*"
_IDN_LETTER = (
    r"[a-z0-9\u00DF-\u00F6\u00F8-\u00FF\u03B1-\u03C9\u0430-\u045F\u3041-\u3096\u30A1-\u30FA"
    r"\u4E00-\u9FA5\uAC00-\uD7A3]"
)
_IDN_LABEL = f"{_IDN_LETTER}{{1,12}}"
_IDN_HOST = rf"{_IDN_LABEL}(\.{_IDN_LABEL})?(\.[a-z]{{2,20}})?"
_ATEXT = "A-Za-z0-9!#$%&'*+/=?^_`{|}~-"
_DOT_STRING = rf"[{_ATEXT}]+(\.[{_ATEXT}]+)*"
_IDN_DOT_STRING = rf"[\u00A1-\uD7FF\uF900-\uFDCF\u{{10000}}-\u{{1FFFD}}{_ATEXT}]+"

_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
_GROUP = "[0-9A-Fa-f]{1,4}"
_TWO_GROUPS = f"({_GROUP}:{_GROUP}|{_IPV4})"
_IPV6 = (  # RFC 3986, section 3.2.2
    f"({_GROUP}:){{6}}{_TWO_GROUPS}|::({_GROUP}:){{5}}{_TWO_GROUPS}"
    + "".join(
        f"|(({_GROUP}:){{0,{before}}}{_GROUP})?::({_GROUP}:){{{4 - before}}}{_TWO_GROUPS}"
        for before in range(5)
    )
    + f"|(({_GROUP}:){{0,5}}{_GROUP})?::{_GROUP}|(({_GROUP}:){{0,6}}{_GROUP})?::"
)
_HEX_PAIR = "%[0-9A-Fa-f]{2}"
_UCS = "".join(  # RFC 3987, section 2.2
    [r"\u00A0-\uD7FF\uF900-\uFDCF\uFDF0-\uFFEF"]
    + [rf"\u{{{plane:X}0000}}-\u{{{plane:X}FFFD}}" for plane in range(1, 14)]
    + [r"\u{E1000}-\u{EFFFD}"]
)
_PRIVATE = r"\uE000-\uF8FF\u{F0000}-\u{FFFFD}\u{100000}-\u{10FFFD}"


def _uri(letters: str, private: str, *, relative: bool) -> str:
    """RFC 3986, appendix A; RFC 3987 adds letters, and private ones in a query."""
    unreserved = f"A-Za-z0-9._~{letters}"
    plain = f"{unreserved}!$&'()*+,;="
    one, no_colon = f"([{plain}:@-]|{_HEX_PAIR})", f"([{plain}@-]|{_HEX_PAIR})"
    literal = rf"\[({_IPV6}|[Vv][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\]"
    name = f"([{plain}-]|{_HEX_PAIR})*"
    user = f"([{plain}:-]|{_HEX_PAIR})*"
    authority = f"({user}@)?({literal}|{name})(:[0-9]*)?"
    rooted = f"/({one}+(/{one}*)*)?"
    with_authority = f"//{authority}(/{one}*)*"
    hierarchy = f"({with_authority}|{rooted}|{one}+(/{one}*)*|)"
    scheme = "[A-Za-z][A-Za-z0-9+.-]*"
    start = f"{scheme}:{hierarchy}"
    if relative:
        start = f"({start}|{with_authority}|{rooted}|{no_colon}+(/{one}*)*|)"
    query = f"([{plain}:@/?{private}-]|{_HEX_PAIR})*"
    fragment = f"([{plain}:@/?-]|{_HEX_PAIR})*"
    return rf"{start}(\?{query})?(#{fragment})?"


_VARIABLE_CHARACTER = f"([A-Za-z0-9_]|{_HEX_PAIR})"
_VARIABLE = (
    rf"{_VARIABLE_CHARACTER}(\.?{_VARIABLE_CHARACTER})*(:[1-9][0-9]{{0,3}}|\*)?"  # RFC 6570, 2.3
)
_TEMPLATE_LITERAL = rf"[!#$&(-;=?-\[\]_a-z~{_UCS}{_PRIVATE}]"
_URI_TEMPLATE = (
    rf"({_TEMPLATE_LITERAL}|{_HEX_PAIR}|\{{[+#./;?&=,!@|]?{_VARIABLE}(,{_VARIABLE})*\}})*"
)
_POINTER = r"(/([^/~]|~[01])*)*"

_REGEX_SET = r"\[\^?([A-Za-z0-9_ .,:;!@#%/(){}+*?$=<>]|\\[dwsDWS\]\[\\^.-]|a-z|A-Z|0-9)+-?\]"
_REGEX_ATOM = rf"([A-Za-z0-9_ ,:;!@#%/=<>~&'-]|\.|\\[dwsDWSnrt.*+?()\[\]{{}}|^$\\/]|{_REGEX_SET})"
_REGEX_TIMES = r"(([*+?]|\{[0-9]{1,3},?\})\??)?"


def _regex(depth: int) -> str:
    """Alternatives of anchors and of repeated atoms and groups, nested so many times."""
    group = rf"|\((\?:)?{_regex(depth - 1)}\)" if depth else ""
    terms = rf"(\^|\$|({_REGEX_ATOM}{group}){_REGEX_TIMES})*"
    return rf"{terms}(\|{terms})*"


_PATTERNS = {
    "date": _DATE,
    "time": f"{_TIME}|{_LEAP_SECOND}",
    "date-time": _DATE_TIME,
    "duration": _DURATION,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": _uri("", "", relative=False),
    "uri-reference": _uri("", "", relative=True),
    "iri": _uri(_UCS, _PRIVATE, relative=False),
    "iri-reference": _uri(_UCS, _PRIVATE, relative=True),
    "uri-template": _URI_TEMPLATE,
    "uuid": "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "json-pointer": _POINTER,
    "relative-json-pointer": f"(0|[1-9][0-9]*)(#|{_POINTER})",
    "regex": _regex(2),
}
_COMPOSED = ("email", "idn-email", "hostname", "idn-hostname")


def _whole(pattern: str) -> Expression:
    return parse_pattern(pattern, search=False)


def _at_most(characters: int, pattern: str, alphabet: Ranges = ((0, 127),)) -> Expression:
    """A pattern's texts of a limited length; a small alphabet is quicker to count."""
    return Both(_whole(pattern), Repeat(Characters(alphabet), 1, characters))


@cache
def _format(name: str) -> Expression:
    host = _at_most(63, _HOST)
    idn_host = either(_at_most(63, _IDN_ASCII_HOST), _whole(_IDN_HOST))
    address = sequence(_at_most(64, _DOT_STRING), _whole("@"))
    if name == "hostname":
        return sequence(_at_most(63, _LABEL), optional(sequence(_whole(r"\."), host)))
    if name == "idn-hostname":
        return idn_host
    if name == "email":
        return sequence(address, host)
    if name == "idn-email":
        idn_address = sequence(
            _at_most(16, rf"{_IDN_DOT_STRING}(\.{_IDN_DOT_STRING})*", ANY), _whole("@")
        )
        return sequence(either(address, idn_address), idn_host)
    return _whole(_PATTERNS[name])


class _Formats(Mapping[str, Expression]):
    """The expression of each format by its name."""

    def __getitem__(self, name: str) -> Expression:
        if name not in _PATTERNS and name not in _COMPOSED:
            raise KeyError(name)
        return _format(name)

    def __iter__(self) -> Iterator[str]:
        yield from _PATTERNS
        yield from _COMPOSED

    def __len__(self) -> int:
        return len(_PATTERNS) + len(_COMPOSED)


FORMATS: Mapping[str, Expression] = _Formats()
