"""Which calls an agent's rules allow, and which they hold back."""

from typing import Annotated, Any

import pytest
from gesso.tools import Call, Decision, Kind, RuleError, Rules, decide, tool
from pydantic import ValidationError


@tool
def write(path: Annotated[str, Kind.PATH], text: str = "") -> None:
    """Write."""


@tool
def get(url: Annotated[str, Kind.URL]) -> None:
    """Get."""


@tool
def run(command: Annotated[str, Kind.COMMAND]) -> None:
    """Run."""


@tool(sends=True)
def mail(body: str, to: str = "boss@example.com") -> None:
    """Send a mail."""


@tool(spends=True, idempotent=True)
def buy(pieces: int) -> None:
    """Buy."""


@tool
def wait() -> None:
    """Wait."""


def verdict(call: Call, *, tainted: Any = False, **lists: Any) -> str:
    return decide(call, Rules.model_validate(lists), tainted).verdict


def test_what_no_rule_names_is_denied() -> None:
    call = Call(write, {"path": "a.txt"})
    assert decide(call, Rules(allow=("run",)), False) == Decision(
        "deny", "the agent's permissions name no such call of write"
    )
    assert verdict(call, allow=["write(b.txt)"]) == "deny"
    assert verdict(call, allow=["writ", "write2"]) == "deny"


def test_a_decision_names_its_rule_and_its_reason() -> None:
    rules = Rules(allow=("write",), ask=("write(in/*)",), deny=("write(in/keep/*)",))
    decided = [decide(Call(write, {"path": p}), rules, False) for p in ("a", "in/a", "in/keep/a")]
    assert decided == [
        Decision("allow", "write is allowed", "write"),
        Decision("ask", "write(in/*) needs a person's approval", "write(in/*)"),
        Decision("deny", "the agent's permissions deny write(in/keep/*)", "write(in/keep/*)"),
    ]


def test_the_most_specific_rule_wins() -> None:
    call = Call(write, {"path": "out/a.txt"})
    assert verdict(call, deny=["write"], allow=["write(out/*)"]) == "allow"
    assert verdict(call, allow=["write(out/*)"], deny=["write(out/a*)"]) == "deny"
    assert verdict(call, deny=["write(out/a.tx*)"], allow=["write(out/a.txt)"]) == "allow"
    assert verdict(call, allow=["write(out/?.tx*)"], ask=["write(*t/a.txt)"]) == "ask"


def test_among_equals_deny_beats_ask_and_ask_beats_allow() -> None:
    call = Call(write, {"path": "a"})
    assert verdict(call, allow=["write"], ask=["write"], deny=["write"]) == "deny"
    assert verdict(call, allow=["write(a)"], ask=["write(a)"]) == "ask"


@pytest.mark.parametrize(
    "path", ["./out/keep/a", "out//keep/a", "out/./keep/a", "out/x/../keep/a", "x/../../out/keep/a"]
)
def test_another_spelling_of_a_path_walks_around_no_rule(path: str) -> None:
    rules = {"allow": ["write(out/*)"], "deny": ["write(out/keep/*)"]}
    assert verdict(Call(write, {"path": path}), **rules) == "deny"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com/a", "allow"),
        ("https://EXAMPLE.com:443/a", "allow"),
        ("https://example.com./a#b", "allow"),
        ("https://example.com/%70rivate/x", "deny"),
        ("https://example.com/x/../private/y", "deny"),
        ("https://example.com/a/%2e%2e/private/x", "deny"),
        ("https://example.com//private//x", "deny"),
        ("https://example.com/./private/./x", "deny"),
        ("https://example.com", "allow"),
        ("https://example.com/a/b/", "allow"),
        ("https://example.com/?next=../private/x", "allow"),
        ("https://ex\u0430mple.com/a", "deny"),
        ("https://example.com:8443/a", "deny"),
        ("http://example.com/a", "deny"),
        ("https://example.com.evil.test/a", "deny"),
        ("https://example.com@evil.test/a", "deny"),
        ("https://evil.test/https://example.com/a", "deny"),
        ("https://example.com\\@evil.test/a", "deny"),
        ("file:///etc/passwd", "deny"),
        ("https://[::1/a", "deny"),
        ("https://example.com:port/a", "deny"),
    ],
)
def test_another_spelling_of_a_url_walks_around_no_rule(url: str, expected: str) -> None:
    rules = {
        "allow": ["get(https://example.com/*)"],
        "deny": ["get(https://example.com/private/*)"],
    }
    assert verdict(Call(get, {"url": url}), **rules) == expected


@pytest.mark.parametrize(
    "command",
    [
        "git status; rm -r out",
        "git status && rm x",
        "git status\nrm x",
        "git log | sh",
        "git log > agents/a.md",
        "git log $(rm x)",
        "git log `rm x`",
        "git log <(rm x)",
        "git log & rm x",
        "git log \\\nx",
    ],
)
def test_a_wildcard_allows_one_command_and_no_second(command: str) -> None:
    assert verdict(Call(run, {"command": "git status -s"}), allow=["run(git *)"]) == "allow"
    assert verdict(Call(run, {"command": command}), allow=["run(git *)"]) == "deny"
    assert verdict(Call(run, {"command": command}), allow=["run"]) == "allow"


def test_a_command_behind_another_is_denied_by_its_rule() -> None:
    for command in ("rm x", "ls; rm x", "ls && rm x", "echo $(rm x)", "(rm x)", "ls\nrm x"):
        call = Call(run, {"command": command})
        assert verdict(call, allow=["run"], deny=["run(rm *)"]) == "deny"


def test_a_rule_may_name_its_argument() -> None:
    def to(person: str) -> Call:
        return Call(mail, {"body": "Hello", "to": person})

    rules = {"allow": ["mail(to=*@example.com)"], "deny": ["mail(*password*)"]}
    assert verdict(to("ann@example.com"), **rules) == "allow"
    assert verdict(to("ann@example.org"), **rules) == "deny"
    assert verdict(Call(mail, {"body": "the password is", "to": "ann@example.com"}), **rules) == (
        "allow"
    )  # the longer pattern decides
    assert verdict(Call(mail, {"body": "Hello"}), **rules) == "allow"  # its default


def test_a_missing_argument_is_no_way_in() -> None:
    assert verdict(Call(mail, {}), allow=["mail(Hello*)"]) == "deny"
    assert verdict(Call(mail, {}), allow=["mail"], ask=["mail(Hello*)"]) == "ask"


def test_an_argument_that_is_no_text_is_compared_as_json() -> None:
    assert verdict(Call(buy, {"pieces": 1}), allow=["buy(1)"]) == "allow"
    assert verdict(Call(buy, {"pieces": 11}), allow=["buy(1)"]) == "deny"


def test_a_wildcard_spans_lines() -> None:
    call = Call(mail, {"body": "a\nb"})
    assert verdict(call, allow=["mail"], deny=["mail(a*b)"]) == "deny"


@pytest.mark.parametrize("call", [Call(mail, {"body": "x"}), Call(buy, {"pieces": 1})])
def test_a_run_that_read_from_outside_needs_approval_to_send_or_spend(call: Call) -> None:
    rules = Rules(
        allow=(
            "mail",
            "buy",
            "write",
        )
    )
    assert decide(call, rules, False).verdict == "allow"
    parked = decide(call, rules, True)
    assert (parked.verdict, parked.rule, parked.tainted) == ("ask", call.tool.name, True)
    assert parked.reason.endswith("s, and the run has read what came from outside")
    assert decide(Call(write, {"path": "a"}), rules, True).verdict == "allow"


def test_the_file_may_say_what_reading_from_outside_changes() -> None:
    call = Call(mail, {"body": "x"})
    assert decide(call, Rules(allow=("mail",), tainted="allow"), True).verdict == "allow"
    assert decide(call, Rules(allow=("mail",), tainted="deny"), True).verdict == "deny"
    assert decide(call, Rules(deny=("mail",), tainted="allow"), True).verdict == "deny"
    assert not decide(call, Rules(ask=("mail",)), True).tainted


def test_the_exact_call_is_shown() -> None:
    call = Call(mail, {"to": "Zoë", "body": "a\nb"})
    assert call.text == 'mail({"body": "a\\nb", "to": "Zoë"})'


@pytest.mark.parametrize("text", ["", "a b", "write(", "write()", "write)x(", "*", "(a)"])
def test_a_rule_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValidationError, match="is no rule: write tool, tool"):
        Rules(deny=(text,))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("fly", "fly: the agent has no tool fly; it has wait, write"),
        ("write(file=a)", r"write\(file=a\): write has no argument file; it has path, text"),
        ("wait(now)", r"wait\(now\): wait takes no arguments"),
    ],
)
def test_a_rule_about_nothing_is_found(text: str, line: str) -> None:
    Rules(
        allow=(
            "write(a)",
            "write(text=b)",
            "wait",
        )
    ).check([write, wait])
    with pytest.raises(RuleError, match=line):
        Rules(deny=(text,)).check([write, wait])
