"""The standard formats: examples from their standards, and the checkers that are installed."""

from __future__ import annotations

import random

import pytest
from gesso.engine.constraint.formats import FORMATS
from gesso.engine.constraint.regular import Dfa, determinise
from jsonschema import Draft202012Validator

VALID = {
    "date": ["1963-06-19", "2020-02-29", "2000-02-29", "0001-01-01", "1985-04-12"],
    "time": ["08:30:06Z", "23:59:60Z", "08:30:06.283185z", "23:20:50.52+00:20", "08:30:06-08:00"],
    "date-time": [
        *("1985-04-12T23:20:50.52Z", "1996-12-19T16:39:57-08:00", "1990-12-31T23:59:60Z"),
        *("1937-01-01T12:00:27.87+00:20", "1963-06-19t08:30:06.283185z", "2024-02-29T00:00:00Z"),
    ],
    "duration": ["P4DT12H30M5S", "P4Y", "PT0S", "P0D", "P1M", "PT1M", "PT36H", "P1DT12H", "P2W"],
    "email": [
        *("joe.bloggs@example.com", "te~st@example.com", "~test@example.com", "a@b"),
        *("te.s.t@example.com", "joe+tag@mail.example.co.uk", "o'hara@example.org"),
    ],
    "idn-email": ["실례@실례.테스트", "joe.bloggs@example.com", "müller@bücher.example"],
    "hostname": [
        *("www.example.com", "xn--4gbwdl.xn--wgbh1c", "h0stn4me", "1host", "a", "hostnam3"),
        *("a" * 63 + ".com", "internal-my-load-balancer-1234567890.us-west-2.elb.amazonaws.com"),
    ],
    "idn-hostname": ["실례.테스트", "bücher.example", "example.com", "пример.испытание"],
    "ipv4": ["192.168.0.1", "0.0.0.0", "255.255.255.255", "87.10.0.1"],
    "ipv6": [
        *("::1", "::", "::abef", "d6::", "1::d6:192.168.0.1", "1:2::192.168.0.1", "::42:ff:1"),
        *("1:2:3:4:5:6:7:8", "::ffff:192.168.0.1", "1:d6::42", "2001:DB8::8:800:200C:417A"),
        *("1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:192.0.2.1"),
    ],
    "uri": [
        *(
            "ftp://ftp.is.co.za/rfc/rfc1808.txt",
            "http://www.ietf.org/rfc/rfc2396.txt",
            "tel:+1-816",
        ),
        *("ldap://[2001:db8::7]/c=GB?objectClass?one", "mailto:John.Doe@example.com", "a:"),
        *("news:comp.infosystems.www.servers.unix", "telnet://192.0.2.16:80/", "file:///etc/hosts"),
        *("urn:oasis:names:specification:docbook:dtd:xml:4.1.2", "http://a/b?c=d&e=%20#f"),
        "http://foo.bar/?baz=qux#quux",
    ],
    "uri-reference": ["/abc", "abc", "//foo.bar/?baz=qux#quux", "#fragment", "", "../a?b", "a:b"],
    "iri": ["http://ƒøø.ßår/?∂éœ=πîx#πîüx", "http://example.com/日本", "mailto:a@b.c"],
    "iri-reference": ["/âππ", "âππ", "#ƒrägmênt", "//ƒøø.ßår/?∂éœ=πîx"],
    "uri-template": [
        *("http://example.com/dictionary/{term:1}/{term}", "{?x,y,empty}", "map?{x,y}", "{/list*}"),
        *("{+path:6}/here", "O{undef}X", "{keys*}", "http://example.com/~{username}/", ""),
    ],
    "uuid": ["2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2EB8AA08-AA98-11EA-B4AA-73B441D16380"],
    "json-pointer": ["", "/foo", "/foo/0", "/", "/a~1b", "/c%d", "/m~0n", "/é", '/k"l', "//a"],
    "relative-json-pointer": ["0", "1/0", "2/highly/nested/objects", "0#", "120/foo/bar"],
    "regex": ["^[a-z]+$", "([abc])+\\s+$", "a{2,}|b?", "(?:x(y|z)*)\\.[^0-9]{3}", "[\\w.-]+@\\w+"],
}
INVALID = {
    "date": ["2019-02-29", "1900-02-29", "2020-13-01", "2020-1-01", "2020-04-31", "20200101", ""],
    "time": [
        "24:00:00Z",
        "08:30:06",
        "22:59:60Z",
        "08:30:06 PST",
        "01:01:01,1111",
        "12:00:00+24:00",
    ],
    "date-time": [
        *(
            "1990-02-31T15:59:59Z",
            "1998-12-31T22:59:60Z",
            "1990-12-31T15:59:59-24:00",
            "2013-350T01",
        ),
        *("1963-06-19T08:30:06.28123+01:00Z", "1963-06-19 08:30:06Z", "1963-06-1৪T00:00:00Z"),
    ],
    "duration": [
        "PT1D",
        "P",
        "P1YT",
        "PT",
        "P2D1Y",
        "P1D2H",
        "P2S",
        "P1Y2W",
        "4DT12H",
        "P1",
        "P1Y1D",
    ],
    "email": [
        "2962",
        ".test@example.com",
        "test.@example.com",
        "te..st@example.com",
        "a@",
        "a@b@c",
    ],
    "idn-email": ["2962", "@실례.테스트", "실례@"],
    "hostname": ["-a", "a-", "a" * 64 + ".com", "a..b", "not_a_host", ".a", "a.", "a" * 254, ""],
    "idn-hostname": ["〮실례.테스트", "-실", "실..례", "ab--cd"],
    "ipv4": [
        "127.0.0.0.1",
        "256.256.256.256",
        "127.0",
        "0x7f000001",
        "087.10.0.1",
        "192.168.1.0/24",
    ],
    "ipv6": [
        *("12345::", "::abcef", "1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1", "::laptop", "1::2::3", ":2::8"),
        *("1:2:3:4:5:6:7", "1", "127.0.0.1", "fe80::a%eth1", "1::1.2.300.4", "1:2:3:4:5:6:7:8::"),
    ],
    "uri": [
        *("//foo.bar/", "/abc", "\\\\WINDOWS\\fileshare", "abc", "http:// shouldfail.com", ":// x"),
        *(
            "bar,baz:foo",
            "http://a/b%2",
            "http://[::1",
            "http://ex.com:8a/",
            "http://é.com/",
            "a:#b#",
        ),
    ],
    "uri-reference": ["\\\\WINDOWS\\fileshare", "#frag\\ment", "1a:b", "é", "a b"],
    "iri": ["http://2001:0db8:85a3:0000:0000:8a2e:0370:7334", "/abc", "âππ", "http:// a"],
    "iri-reference": ["\\\\WINDOWS\\filëßåré", "#ƒräg\\mênt"],
    "uri-template": ["http://example.com/dictionary/{term:1}/{term", "{}", "{a b}", "{x:0}", "<x>"],
    "uuid": ["2eb8aa08-aa98-11ea-b4aa-73b441d1638", "2eb8aa08aa9811eab4aa73b441d16380", "x"],
    "json-pointer": ["/foo/bar~", "/~2", "a", "#", "0", "/~0~"],
    "relative-json-pointer": ["/foo/bar", "-1/foo", "+1/foo", "0##", "01/a", "01#", "", "a"],
    "regex": ["^(abc]", "a**", "[", "*a", "a{2", "(a", "\\"],
}


def accepts(dfa: Dfa, text: str) -> bool:
    state = dfa.run(text.encode())
    return state >= 0 and bool(dfa.final[state])


def words(dfa: Dfa, count: int) -> set[str]:
    """Random texts of a language, by walks that end sooner or later."""
    chance = random.Random(0)
    found: set[str] = set()
    choices = [[(b, t) for b, t in enumerate(row) if t >= 0] for row in dfa.table.tolist()]
    for _ in range(count * 4):
        spelled, state = bytearray(), dfa.start
        while len(spelled) < 60 and not (dfa.final[state] and chance.random() < 0.2):
            if not choices[state]:
                break
            # a target first, so that rare punctuation is as likely as a letter
            target = chance.choice(sorted({target for _, target in choices[state]}))
            spelled.append(chance.choice([b for b, t in choices[state] if t == target]))
            state = target
        if dfa.final[state]:
            found.add(spelled.decode())
    return found


def test_every_standard_format_is_there_and_no_other() -> None:
    assert set(FORMATS) == set(VALID) == set(INVALID)
    assert len(FORMATS) == 19
    assert "color" not in FORMATS
    with pytest.raises(KeyError):
        FORMATS["int32"]


@pytest.mark.parametrize("name", sorted(VALID))
def test_a_format_takes_what_its_standard_takes(name: str) -> None:
    dfa = determinise(FORMATS[name])
    assert [text for text in VALID[name] if not accepts(dfa, text)] == []
    assert [text for text in INVALID[name] if accepts(dfa, text)] == []


@pytest.mark.parametrize(
    "name", sorted(set(VALID) & set(Draft202012Validator.FORMAT_CHECKER.checkers))
)
def test_a_format_takes_nothing_that_its_checker_rejects(name: str) -> None:
    checker = Draft202012Validator.FORMAT_CHECKER
    found = words(determinise(FORMATS[name]), 300)
    assert len(found) > 100
    assert [text for text in found if not checker.conforms(text, name)] == []


def test_a_host_name_never_passes_253_characters() -> None:
    dfa = determinise(FORMATS["hostname"])
    longest = ".".join(["a" * 63, "b" * 63])
    assert accepts(dfa, longest)
    assert not accepts(dfa, longest + "b")


@pytest.mark.parametrize(("name", "most"), [("date-time", 150), ("ipv6", 300), ("uri", 300)])
def test_automata_of_common_formats_are_small(name: str, most: int) -> None:
    assert len(determinise(FORMATS[name]).final) <= most
