"""Structured-output engines as judges: a schema in, a yes or no on whole texts out.

Every engine has its most favourable standard options, so that the white space of `json.dumps`
(`", "`, `": "`) costs none of them anything and undeclared properties are open, as the JSON Schema
specification has them. A judge is opened in the process that uses it, because an engine may take
the process down.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..constraint import Constraint, compile_automaton, json_schema
from ..errors import ConstraintError
from .tekken import END, Tekken, read_tekken


@dataclass(frozen=True)
class Language:
    """A compiled schema: how long that took, what it notes, and which texts it accepts."""

    milliseconds: float
    accepts: Callable[[str], bool]
    notes: tuple[str, ...] = ()


class RefusalError(Exception):
    """An engine does not compile a schema, and says why; `pointer` and `keyword` where it does."""

    def __init__(self, reason: str, pointer: str = "", keyword: str | None = None) -> None:
        super().__init__(reason)
        self.pointer = pointer
        self.keyword = keyword


Judge = Callable[[Any], Language]
"""Compiles a schema; raises `RefusalError`, or whatever the engine raises."""


def gesso() -> Judge:
    """Our constraint: schema to byte automaton."""

    def compile_schema(schema: Any) -> Language:
        constraint, milliseconds = _constraint(schema)
        return Language(milliseconds, constraint.accepts, constraint.notes)

    return compile_schema


def gesso_writes() -> Judge:
    """The same, judged by what a canvas can be made to read as: members in the schema's order,
    none that the schema does not speak of, nesting and counts as deep as the automaton has them."""

    def compile_schema(schema: Any) -> Language:
        constraint, milliseconds = _constraint(schema)

        def writes(text: str) -> bool:
            return constraint.writes(text) and (not constraint.checked or constraint.accepts(text))

        return Language(milliseconds, writes, constraint.notes)

    return compile_schema


def _constraint(schema: Any) -> tuple[Constraint, float]:
    """Our constraint of a schema, and how many milliseconds it took."""
    began = time.perf_counter()
    try:
        constraint = json_schema(schema)
    except ConstraintError as error:
        raise RefusalError(str(error), error.pointer, error.keyword) from error
    return constraint, _since(began)


def gesso_tokens() -> Judge:
    """Only the second half of our compilation: byte automaton to token automaton."""
    vocabulary = read_tekken().vocabulary()
    assert vocabulary.fingerprint  # computed once for a vocabulary, not once for a schema

    def compile_schema(schema: Any) -> Language:
        constraint = json_schema(schema)
        began = time.perf_counter()
        compile_automaton(constraint, vocabulary)
        return Language(_since(began), constraint.accepts)

    return compile_schema


def llguidance() -> Judge:
    """llguidance's matcher as it comes: flexible white space, refusing what it cannot keep."""
    return _llguidance(lenient=False)


def llguidance_lenient() -> Judge:
    """llguidance told to pass over the keywords and formats that it does not know, and to read
    `oneOf` as `anyOf`: more schemas compile, and not all of what they refuse is refused."""
    return _llguidance(lenient=True)


def _llguidance(*, lenient: bool) -> Judge:
    from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

    tekken = read_tekken()
    tokenizer = LLTokenizer(TokenizerWrapper(_Bytewise(tekken)))

    def compile_schema(schema: Any) -> Language:
        text_of_schema = json.dumps(schema)
        began = time.perf_counter()
        grammar = LLMatcher.grammar_from_json_schema(
            text_of_schema, overrides={"lenient": lenient, "coerce_one_of": lenient}
        )
        matcher = LLMatcher(tokenizer, grammar, log_level=0)
        milliseconds = _since(began)
        if matcher.is_error():
            raise RefusalError(matcher.get_error())

        def accepts(text: str) -> bool:
            fresh = matcher.deep_copy()
            tokens = tekken.bytewise(_encoded(text))
            return fresh.try_consume_tokens(tokens) == len(tokens) and fresh.is_accepting()

        return Language(milliseconds, accepts)

    return compile_schema


def xgrammar() -> Judge:
    """XGrammar over the 256 bytes alone: the same language as over any vocabulary, and soon there.

    It has `any_whitespace`, not its strict mode, and one thread.
    """
    return _xgrammar([bytes([byte]) for byte in range(256)])


def xgrammar_tokens() -> Judge:
    """XGrammar as it is used, over all the tokens."""
    return _xgrammar([token or b"" for token in read_tekken().tokens])


def _xgrammar(tokens: list[bytes]) -> Judge:
    from xgrammar import GrammarCompiler, GrammarMatcher, TokenizerInfo, VocabType

    end = len(tokens)
    information = TokenizerInfo([*tokens, b"</s>"], VocabType.RAW, stop_token_ids=[end])
    compiler = GrammarCompiler(information, max_threads=1, cache_enabled=False)

    def compile_schema(schema: Any) -> Language:
        text_of_schema = json.dumps(schema)
        began = time.perf_counter()
        grammar = compiler.compile_json_schema(
            text_of_schema, any_whitespace=True, strict_mode=False
        )
        milliseconds = _since(began)

        def accepts(text: str) -> bool:
            matcher = GrammarMatcher(grammar)
            return matcher.accept_string(_encoded(text)) and matcher.accept_token(end)

        return Language(milliseconds, accepts)

    return compile_schema


def outlines_core() -> Judge:
    """outlines-core's schema to regular expression, indexed over the 256 bytes alone.

    Over 131,072 tokens its index takes seconds to minutes a schema, so its time is that of a
    vocabulary five hundred times smaller than the others'. Its default white space is one optional
    blank, which takes what `json.dumps` writes.
    """
    from outlines_core import Index, Vocabulary, json_schema

    octets: dict[str | bytes, list[int]] = {bytes([byte]): [byte] for byte in range(256)}
    vocabulary = Vocabulary(256, octets)

    def compile_schema(schema: Any) -> Language:
        text_of_schema = json.dumps(schema)
        began = time.perf_counter()
        # without the anchor, edges that leave an accepting state are dropped from the index
        index = Index(json_schema.build_regex_from_schema(text_of_schema) + r"\z", vocabulary)
        milliseconds = _since(began)

        def accepts(text: str) -> bool:
            state = index.get_initial_state()
            for byte in _encoded(text):
                after = index.get_next_state(state, byte)
                if after is None:
                    return False
                state = after
            return index.is_final_state(state)

        return Language(milliseconds, accepts)

    return compile_schema


JUDGES: dict[str, Callable[[], Judge]] = {
    "gesso": gesso,
    "gesso tokens": gesso_tokens,
    "gesso writes": gesso_writes,
    "llguidance": llguidance,
    "llguidance-lenient": llguidance_lenient,
    "xgrammar": xgrammar,
    "xgrammar tokens": xgrammar_tokens,
    "outlines-core": outlines_core,
}


class _Bytewise:
    """What llguidance asks of a tokenizer; control tokens are marked by a leading 0xFF."""

    bos_token_id = None
    eos_token_id = END

    def __init__(self, tekken: Tekken) -> None:
        self._tekken = tekken
        self.special_token_ids = list(range(tekken.first_byte))
        self.tokens = [
            b"\xff<SPECIAL_%d>" % index if token is None else token
            for index, token in enumerate(tekken.tokens)
        ]

    def __call__(self, text: bytes) -> list[int]:
        return self._tekken.bytewise(text)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _since(began: float) -> float:
    return 1000 * (time.perf_counter() - began)
