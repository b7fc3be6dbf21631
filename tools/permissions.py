"""What an agent's file allows: rules over calls, and the decision about one call.

    permissions:
      allow: [read_file, "write_file(out/*)", "fetch(https://example.com/*)"]
      ask: [shell, "send_mail(to=*@example.com)"]
      deny: ["write_file(out/keep/*)"]

A rule names a tool, and may hold one of its arguments to a pattern: the first of its parameters,
or the one before `=`. A tool of an MCP server is named as in the agent's `tools:`, `SERVER/TOOL` or
`SERVER/*`, and its argument is: what comes first is the server's choice. In a pattern `*` is any
text, `?` any character, all else is itself. What no rule names is denied. Of the rules that fit a
call the most specific decides; among equals deny beats ask, and ask beats allow. An argument is
compared in one spelling (`./out//a` is `out/a`), so that a rule cannot be walked around by another.
What the arguments of a server's tool mean is not known here: hold them by what is allowed, not by
what is denied. Nothing here runs, reads or asks anything.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .errors import RuleError
from .name import ALL, names
from .tool import Kind, Tool

Verdict = Literal["allow", "ask", "deny"]
RULE = re.compile(
    r"(?P<tool>\w[\w.-]*(?:/(?:\*|[\w./-]+))?)"
    r"(?:\((?:(?P<argument>[A-Za-z_]\w*)=)?(?P<pattern>.+)\))?",
    re.S,
)
SHELL_OPERATORS = ";&|<>()$`\\\n\r"
SEVERITY = {"allow": 0, "ask": 1, "deny": 2}


@dataclass(frozen=True)
class Rule:
    """One entry of a list of rules; `text` is it as the file has it."""

    text: str
    tool: str
    argument: str | None = None
    pattern: str | None = None

    @property
    def specificity(self) -> tuple[int, int]:
        """A text beats a pattern, which beats a tool's name, which beats all of a server's tools; a
        longer pattern beats a shorter."""
        if self.pattern is None:
            return (-1 if self.tool.endswith(ALL) else 0, 0)
        literal = len(self.pattern) - self.pattern.count("*") - self.pattern.count("?")
        return (2 if literal == len(self.pattern) else 1, literal)


@lru_cache(maxsize=1024)
def parse_rule(text: str) -> Rule:
    """Read a rule, or raise `RuleError`."""
    found = RULE.fullmatch(text.strip())
    if found is None:
        raise RuleError(f"{text!r} is no rule: write tool, tool(pattern) or tool(argument=pattern)")
    return Rule(text, **found.groupdict())


def _readable(text: str) -> str:
    try:
        parse_rule(text)
    except RuleError as error:
        raise ValueError(str(error)) from None
    return text


RuleTexts = Annotated[tuple[Annotated[str, AfterValidator(_readable)], ...], Field(strict=False)]


class Rules(BaseModel):
    """An agent's permissions.

    `tainted` is the verdict on a call of a tool that sends or spends, otherwise allowed, in a run
    that has read what came from outside (a document, a page, a tool's result, a block that such a
    run wrote to): text that others wrote may have talked the model into it. `allow` is the file's
    way to say that this is meant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    allow: RuleTexts = ()
    ask: RuleTexts = ()
    deny: RuleTexts = ()
    tainted: Verdict = "ask"

    def allowing(self, rules: Iterable[str]) -> Rules:
        """These and rules that allow more."""
        return self.model_copy(update={"allow": (*self.allow, *rules)})

    def check(self, tools: Iterable[Tool]) -> None:
        """Raise `RuleError` for a rule about a tool or an argument that is not among `tools`."""
        known = {tool.name: tool for tool in tools}
        for _, rule in self._rules():
            meant = [tool for name, tool in known.items() if names(rule.tool, name)]
            if not meant:
                has = ", ".join(sorted(known)) or "none"
                raise RuleError(f"{rule.text}: the agent has no tool {rule.tool}; it has {has}")
            properties = {key for tool in meant for key in tool.parameters.get("properties", {})}
            if rule.pattern is not None and rule.argument is None and not properties:
                raise RuleError(f"{rule.text}: {rule.tool} takes no arguments")
            foreign = any(tool.foreign for tool in meant)
            if rule.pattern is not None and rule.argument is None and foreign:
                raise RuleError(f"{rule.text}: name the argument: {rule.tool}(argument=pattern)")
            if rule.argument is not None and rule.argument not in properties:
                has = ", ".join(sorted(properties)) or "none"
                what = f"{rule.tool} has no argument {rule.argument}; it has {has}"
                raise RuleError(f"{rule.text}: {what}")

    def fitting(self, call: Call) -> list[tuple[Verdict, Rule]]:
        return [(verdict, rule) for verdict, rule in self._rules() if _fits(rule, verdict, call)]

    def _rules(self) -> list[tuple[Verdict, Rule]]:
        lists: dict[Verdict, Sequence[str]] = {
            "allow": self.allow,
            "ask": self.ask,
            "deny": self.deny,
        }
        return [(verdict, parse_rule(text)) for verdict, texts in lists.items() for text in texts]


@dataclass(frozen=True)
class Call:
    """A tool and the arguments that the model wrote for it."""

    tool: Tool
    arguments: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The exact call on one line, as a person is shown it before they approve."""
        return call_text(self.tool.name, self.arguments)


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call on one line; the same for the same arguments in any order."""
    return f"{name}({json.dumps(arguments, sort_keys=True, ensure_ascii=False)})"


def rule_of(call: Call) -> str | None:
    """The rule that names this call by its first argument, and no other; `None` where there is
    none, because a sign of the argument would stand for others."""
    name = next(iter(call.tool.parameters.get("properties", {})), None)
    if name is None:
        return call.tool.name
    value = call.arguments.get(name)
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    kind = call.tool.kinds.get(name)
    if kind is not None and kind in SPELLINGS:
        try:
            text = SPELLINGS[kind](text)
        except ValueError:
            return None
    rule = f"{call.tool.name}({name}={text})"
    fits = text and text == text.strip() and not set("*?") & set(text)
    return rule if fits and Rules(allow=(rule,)).fitting(call) else None


@dataclass(frozen=True)
class Decision:
    """What becomes of a call: `allow` runs it, `ask` parks it for a person, `deny` refuses it.

    `reason` is one sentence, for the model when the call is refused and for the person when it is
    parked. `rule` is the deciding rule's text, None where no rule names the call. `tainted` is true
    where the call would have run, had the run not read what came from outside.
    """

    verdict: Verdict
    reason: str
    rule: str | None = None
    tainted: bool = False


def decide(call: Call, rules: Rules, tainted: bool) -> Decision:
    """The decision about a call, in a run that has (`tainted`) or has not read from outside."""
    name = call.tool.name
    fitting = rules.fitting(call)
    if not fitting:
        return Decision("deny", f"the agent's permissions name no such call of {name}")
    verdict, rule = max(fitting, key=lambda found: (found[1].specificity, SEVERITY[found[0]]))
    effect = " and ".join(
        word
        for word, marked in (("sends", call.tool.sends), ("spends", call.tool.spends))
        if marked
    )
    if verdict == "allow" and tainted and effect and rules.tainted != "allow":
        reason = f"{name} {effect}, and the run has read what came from outside"
        return Decision(rules.tainted, reason, rule.text, tainted=True)
    reasons = {
        "allow": f"{rule.text} is allowed",
        "ask": f"{rule.text} needs a person's approval",
        "deny": f"the agent's permissions deny {rule.text}",
    }
    return Decision(verdict, reasons[verdict], rule.text)


def _fits(rule: Rule, verdict: Verdict, call: Call) -> bool:
    """Whether a rule is about a call. In doubt one that allows is not, and any other is."""
    if not names(rule.tool, call.tool.name):
        return False
    if rule.pattern is None:
        return True
    properties: Mapping[str, Any] = call.tool.parameters.get("properties", {})
    argument = rule.argument or next(iter(properties), "")
    if argument in call.arguments:
        value = call.arguments[argument]
    elif "default" in properties.get(argument, {}):
        value = properties[argument]["default"]
    else:
        return verdict != "allow"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    kind = call.tool.kinds.get(argument)
    wild = "."
    if kind is Kind.COMMAND:
        if verdict != "allow":
            parts = re.split(r"[;&|()`\n\r]|\$\(", text)
            return any(_matches(rule.pattern, part.strip(), wild) for part in [text, *parts])
        # `git *` allows no `git status; rm -r out`
        wild = f"[^{re.escape(SHELL_OPERATORS)}]"
    elif kind is not None:
        try:
            text = SPELLINGS[kind](text)
        except ValueError:
            return verdict != "allow"
    elif call.tool.foreign and verdict == "allow" and ".." in re.split(r"[/\\]", unquote(text)):
        return False  # it may be a path, and climb
    return _matches(rule.pattern, text, wild)


def _matches(pattern: str, text: str, wild: str) -> bool:
    regex = "".join(
        {"*": f"{wild}*", "?": wild}.get(character, re.escape(character))
        for character in re.sub(r"\*+", "*", pattern)
    )
    return re.fullmatch(regex, text, re.S) is not None


def one_path(path: str) -> str:
    """The one spelling of a workspace's path. Raises `ValueError` where it climbs."""
    if ".." in path.split("/"):
        raise ValueError("a path with ..")
    return posixpath.normpath(path)


def one_url(url: str) -> str:
    """The one spelling of a URL, without its fragment. Raises `ValueError` where it has none."""
    if re.search(r"[\s\\\x00-\x20\x7f]", url):
        raise ValueError("a URL with blanks, backslashes or control characters")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("no plain http or https URL")
    host = parts.hostname.rstrip(".")
    if not host.isascii():
        raise ValueError("a host with letters that have another spelling")
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in (None, default) else f":{parts.port}"
    segments = unquote(parts.path, errors="strict").split("/")
    if ".." in segments:
        raise ValueError("a URL with ..")
    kept = [segment for segment in segments[:-1] if segment not in ("", ".")]
    last = segments[-1] if segments[-1] != "." else ""
    path = quote("/".join(["", *kept, last]), safe="/:@!$&'()*+,;=~")
    return urlunsplit((parts.scheme, host + port, path, parts.query, ""))


SPELLINGS: Mapping[Kind, Callable[[str], str]] = {Kind.PATH: one_path, Kind.URL: one_url}
