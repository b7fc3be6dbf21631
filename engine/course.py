"""Where a turn stands in its constraint, and what can be said of the tokens to come.

A course follows the committed tokens through two automata: the token automaton, under which
drafts are read, and the constraint's bytes, which say what is certain. What is certain is written
in the tokenizer's own tokens; a last token that a longer one could swallow is left to the model,
as is everything that the tokenizer would not spell alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .constraint import Chain, Constraint, TokenAutomaton, viterbi
from .constraint.lookahead import Lookahead, Symbols
from .constraint.regular import BYTES
from .sampler import Reading
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from .kernels.scores import Scores

MOST_ALTERNATIVES = 64


class Course:
    """One turn's way through its language."""

    rereads = True  # a correction leads to another state, and to another best word from there

    def __init__(
        self,
        constraint: Constraint,
        automaton: TokenAutomaton,
        tokenizer: Tokenizer,
        *,
        tokens_left: int,
        score_tail: bool,
    ) -> None:
        self.tokens_left = tokens_left
        self._dfa = constraint.dfa
        self._lookahead = Lookahead(constraint.dfa)
        self._automaton = automaton
        self._tokenizer = tokenizer
        self._score_tail = score_tail
        self._state = automaton.start
        self._place = constraint.dfa.start

    @property
    def ended(self) -> bool:
        """Whether an end token was pushed."""
        return self._state == self._automaton.sink

    @property
    def ends(self) -> Sequence[int]:
        """The tokens that end a turn."""
        return self._tokenizer.vocabulary.ends

    def push(self, token: int) -> None:
        """Go on behind a token."""
        self._state = self._automaton.advance(self._state, token)
        self.tokens_left -= 1
        if not self.ended:
            for symbol in self._symbols(token):
                self._place = int(self._dfa.table[self._place, symbol])

    def read(self, logp: Tensor | Scores) -> Reading:
        """The most probable word under log-probabilities [L, V] of the tokens to come, and how
        many positions are its own.

        Raises:
            BudgetError: no word fits in the tokens left.
        """
        chain = Chain(self._automaton, logp, self._state, self.tokens_left, self._score_tail)
        word = viterbi([chain])[0]
        return Reading(word.tokens.to(logp.device), word.length)

    def allowed(self, draft: Sequence[int]) -> Tensor:
        """The tokens [len(draft), V] that may stand at each position of a draft."""
        state, rows = self._state, []
        for place, token in enumerate(draft):
            rows.append(self._automaton.allowed(state, self.tokens_left - place))
            state = self._automaton.advance(state, token)
        return torch.from_numpy(np.stack(rows))

    def fitting(self, tokens: Iterable[int]) -> list[int]:
        """As many of the tokens as may stand here one behind the other, short of an end."""
        state, fitting = self._state, []
        for token in tokens:
            state = self._automaton.advance(state, token)
            fewest = int(self._automaton.distance[state]) + 1
            if state in (-1, self._automaton.sink) or len(fitting) + 1 + fewest > self.tokens_left:
                break
            fitting.append(token)
        return fitting

    def certain(self) -> list[int]:
        """The tokens that every answer goes on with, an end token included where nothing else can
        follow; none where the tokens left demand another spelling."""
        if self.ended:
            return []
        symbols, place = self._lookahead.certain(self._place)
        if not symbols and not self._lookahead.is_over(place):
            return []
        return self._spelled(symbols, over=self._lookahead.is_over(place)) or []

    def certain_behind(self, tokens: Iterable[int]) -> list[int]:
        """The same behind more tokens, which are not pushed."""
        further = copy(self)
        for token in tokens:
            further.push(token)
        return further.certain()

    def alternatives(self) -> list[list[int]]:
        """The few ways on from here, each in tokens: whole answers, or values up to the certain
        text that all of them meet again in, and with it. None where there is one way only or too
        many; those that the tokens left are too few for are left out."""
        if self.ended:
            return []
        found = self._lookahead.alternatives(self._place, MOST_ALTERNATIVES)
        if found is None:
            return []
        texts, meeting = found
        behind, place = ((), None) if meeting is None else self._lookahead.certain(meeting)
        over = place is None or self._lookahead.is_over(place)
        if not behind and not over:
            return []  # one letter of many, as in a row of digits
        words = [self._spelled(text + behind, over=over) for text in texts]
        return [] if [] in words else [word for word in words if word is not None]

    def longest(self, most: int) -> int | None:
        """The most tokens that an answer can still take, its end token included; `None` for more
        than `most`."""
        symbols = self._lookahead.longest(self._place, most)
        return None if symbols is None else symbols + 1

    def _spelled(self, symbols: Symbols, *, over: bool) -> list[int] | None:
        """Symbols in the tokenizer's tokens, with an end token where nothing follows; as far as no
        token can reach over their end where something does. `None` when they do not fit in the
        tokens left."""
        controls = self._dfa.controls
        spelled = b"".join(
            bytes([symbol]) if symbol < BYTES else controls[symbol - BYTES].encode()
            for symbol in symbols
        )
        text = spelled.decode("utf-8", "ignore" if not over else "replace")
        tokens = self._tokenizer.encode(text)
        states = [self._state]
        for token in tokens:
            states.append(self._automaton.advance(states[-1], token))
            if states[-1] < 0:
                return []
        if over:
            return [*tokens, self._end] if len(tokens) < self.tokens_left else None
        sizes = self._tokenizer.vocabulary.sizes
        room = len(symbols)
        kept = 0
        for place, token in enumerate(tokens):
            usable = self._automaton.allowed(states[place], self.tokens_left - place)
            if sizes[usable].max(initial=0) > room:
                break
            room -= int(sizes[token])
            kept = place + 1
        fewest = int(self._automaton.distance[states[kept]]) + 1
        return tokens[:kept] if kept + fewest <= self.tokens_left else None

    @property
    def _end(self) -> int:
        return self.ends[0]

    def _symbols(self, token: int) -> list[int]:
        """What a token stands for in the byte automaton."""
        vocabulary = self._tokenizer.vocabulary
        if spelled := vocabulary.tokens[token]:
            return list(spelled)
        names = [name for name, index in vocabulary.controls.items() if index == token]
        return [BYTES + self._dfa.controls.index(name) for name in names]


class FreeCourse:
    """The course of a turn that nothing holds: every token may stand everywhere."""

    rereads = False

    def __init__(self, ends: Sequence[int], *, tokens_left: int) -> None:
        self.ends = ends
        self.tokens_left = tokens_left
        self.ended = False

    def push(self, token: int) -> None:
        """Go on behind a token."""
        self.ended = token in self.ends
        self.tokens_left -= 1

    def read(self, logp: Tensor | Scores) -> Reading:
        """The most probable tokens; all of them count."""
        return Reading(logp.argmax(-1), len(logp))

    def allowed(self, draft: Sequence[int]) -> None:
        """No token is forbidden."""

    def fitting(self, tokens: Iterable[int]) -> list[int]:
        """All of them, short of an end."""
        return list(takewhile(lambda token: token not in self.ends, tokens))[: self.tokens_left]

    def certain(self) -> list[int]:
        """Nothing is."""
        return []

    def certain_behind(self, tokens: Iterable[int]) -> list[int]:
        """Nothing is."""
        return []

    def alternatives(self) -> list[list[int]]:
        """They are not few."""
        return []

    def longest(self, most: int) -> None:
        """There is no longest answer."""
