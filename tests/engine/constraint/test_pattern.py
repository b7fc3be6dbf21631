"""ECMA regular expressions, beside Python's own."""

from __future__ import annotations

import re

import pytest
from gesso.engine import ConstraintError, json_schema, regex

SAMPLES = [
    *("", "a", "b", "ab", "aab", "ba", "abc", "A1", "AB-123", "x AB-123 y", "12", "3.14", "a.b"),
    *("foo_bar", "foo bar", "\t", "a\nb", "é", "日本", "-", "]", "^", "$", "a+b", "2024-01-31"),
    *("aaaa", "aaaaa", "0x1F", "user@host", "{}", "a{2}", "\\", "/", "x/y", "AbC", "ſ", "٣"),
]
PATTERNS = [
    *(
        "a",
        "^a$",
        "^a*b?$",
        "a|b",
        "^(a|b)+$",
        "^(?:ab)*$",
        "[a-c]{2,3}",
        "^[^a]$",
        "\\d",
        "^\\d+$",
    ),
    *(
        "^\\w+$",
        "\\s",
        "^\\S+$",
        "^\\D+$",
        "\\W",
        "^.$",
        "^[A-Z]{2}-\\d{3}$",
        "\\.",
        "^[\\w.]+@\\w+$",
    ),
    *(
        "^a{4}$",
        "^a{4,}$",
        "[\\]^-]",
        "^[a\\-]$",
        "^\\u0061$",
        "^\\x61$",
        "^(?<year>\\d{4})-",
        "a+?b",
    ),
    *("^$", "", "^a|b$", "\\/", "[^\\d\\s]", "^[\\s\\S]$", "x\\/y", "^(a(b|c){1,2})?$"),
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_accepts_no_value_that_python_rejects(pattern: str) -> None:
    constraint = json_schema({"type": "string", "pattern": pattern})
    twin = re.compile(pattern.replace("(?<", "(?P<"))
    for sample in SAMPLES:
        accepted = constraint.accepts(constraint_text(sample))
        expected = twin.search(sample) is not None and not (
            pattern.endswith("$") and sample.endswith("\n")
        )
        if accepted:
            assert expected, sample
        elif expected and sample.isascii():
            pytest.fail(f"{sample!r} should match {pattern!r}")


def constraint_text(value: str) -> str:
    return json_schema({"type": "string"}).render(value)


def test_a_whole_regex_is_anchored_at_both_ends() -> None:
    constraint = regex("[a-z]+(-[a-z]+)*")
    assert constraint.accepts("a-b-cd")
    assert not constraint.accepts("a-b-")
    assert not constraint.accepts(" a")


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("(a", "a group is not closed (position 2"),
        ("a)", "no group to close here"),
        ("[a", "the pattern ends too early"),
        ("*a", "nothing to repeat"),
        ("a**", "a repetition is repeated"),
        ("a{3,2}", "the wrong way round"),
        ("a{", "a brace must be escaped"),
        ("(?=a)", "lookaround"),
        ("(?<!a)b", "lookaround"),
        ("\\bword", "\\b is not supported"),
        ("(a)\\1", "\\1 is not supported"),
        ("a^b", "anchor inside"),
        ("[z-a]", "the wrong way round"),
        ("a{1,2000}", "more than 1000"),
        ("\\u12", "hexadecimal"),
    ],
)
def test_what_is_not_regular_or_not_valid_is_refused(pattern: str, complaint: str) -> None:
    with pytest.raises(ConstraintError) as raised:
        regex(pattern)
    assert complaint in str(raised.value)
    assert raised.value.keyword == "pattern"
