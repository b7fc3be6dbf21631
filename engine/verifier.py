"""The encoder checks what the denoiser drafted.

DiffusionGemma's encoder is trained on next tokens beside the denoiser, with the same weights. A
canvas has to pass through it anyway to be committed; the same pass says which token the encoder
itself would have written at every position. A draft is kept up to the first position where the two
differ, and the encoder's token is put there. What is committed is then what greedy next-token
decoding under the constraint would have written, in as many passes as the drafts need (the idea of
speculative decoding, arXiv 2211.17192, with the denoiser as the drafter).

Because the encoder corrects it, a draft need not be settled: one denoising step makes it, and what
the check has kept stays in the *same canvas*, clean among noise, as the denoiser was trained to
see it. (A canvas that began anew behind each correction, where no training canvas began, took four
times as many steps.) The next step is conditioned on the last, as in the sampler.

Several turns are written side by side: a pass is one pass of the model over all of them, and none
sees another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .course import read_together
from .model import DiffusionGemma
from .prefixes import Prefixes
from .rows import Rows
from .sampler import Reading, temper
from .turn import Turn, denoising, prefilling


class _Row:
    """A turn in its row: `unread` are the tokens that must be read before its canvas, `prefix` how
    many were, and behind them the row holds those of the canvas that have `states` [T, D]."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.unread = list(turn.plan.prompt)
        self.prefix = 0
        self.before = torch.empty(0)  # [1, D] the encoder's state before the canvas
        self.states = torch.empty(0)  # [T, D]
        self.soft: Tensor | None = None  # [L, D] of the last draft
        self.logp = torch.empty(0)  # [L, V] of the last draft
        self.reading = Reading(self.logp, 0)

    @property
    def new(self) -> list[int]:
        """What is known of the canvas and was not read yet."""
        return self.turn.canvas.known[len(self.states) :]


class Verifier:
    """Writes the canvases of some turns side by side, by a `step` of all of them at a time."""

    def __init__(
        self,
        model: DiffusionGemma,
        turns: Sequence[Turn],
        prefixes: Prefixes,
        window: int | None,
    ) -> None:
        self._model = model
        self._prefixes = prefixes
        self._window = window
        self._rows = [_Row(turn) for turn in turns]
        self._read_so_far = Rows(model, len(turns))

    def step(self) -> Iterator[tuple[Turn, list[int]]]:
        """Take every canvas on by what can be read without a draft and, where that leaves something
        to be written, by one draft and its check. Yields what those canvases read as before the
        check."""
        for number, row in enumerate(self._rows):
            if row.unread and not row.turn.canvas.is_full:
                with prefilling([row.turn]):
                    self._begin(number, row)
        self._read()
        drafting = [row for row in self._rows if not row.turn.canvas.is_full]
        if drafting:
            with denoising([row.turn for row in drafting]):
                self._draft(drafting)
            for row in drafting:
                canvas = row.turn.canvas
                yield row.turn, [*canvas.known, *row.reading.tokens.tolist()]
            with prefilling([row.turn for row in drafting]):
                self._check(drafting)

    def close(self, turn: Turn) -> None:
        """A turn's canvas is full, and is about to be committed."""
        row = next(row for row in self._rows if row.turn is turn)
        row.unread += row.new
        if not row.unread:
            row.before = row.states[-1:]
        row.prefix += len(row.states)
        row.states, row.soft = row.states[:0], None

    def keep(self, turns: Sequence[Turn]) -> None:
        """Let go of all other turns. The last ones take the places that become free."""
        kept = [place for place, row in enumerate(self._rows) if row.turn in turns]
        if len(kept) == len(self._rows):
            return
        behind = [place for place in kept if place >= len(kept)]
        places = [place if place in kept else behind.pop() for place in range(len(kept))]
        self._rows = [self._rows[place] for place in places]
        self._read_so_far.keep(places)

    def _begin(self, number: int, row: _Row) -> None:
        """Read what stands before the canvas."""
        kept = 0
        if not row.prefix:
            kept = self._prefixes.begin(self._read_so_far, number, row.unread)
            row.turn.cached_tokens = kept
        row.before = self._read_so_far.read(number, row.unread[kept:])[-1:]
        if not row.prefix:
            self._prefixes.keep(self._read_so_far, number, row.unread)
        row.prefix += len(row.unread)
        row.unread, row.states = [], row.before[:0]

    def _read(self) -> None:
        """Where the constraint leaves a few ways on, take the one that the encoder finds the most
        probable: each is scored as a whole, exactly, all in one pass and without a draft."""
        while True:
            ways = [
                [] if row.turn.canvas.is_full else row.turn.canvas.course.alternatives()
                for row in self._rows
            ]
            choosing = [row.turn for row, words in zip(self._rows, ways, strict=True) if words]
            if not choosing:
                return
            with prefilling(choosing):
                self._encode(
                    [row.new if words else [] for row, words in zip(self._rows, ways, strict=True)]
                )
                branches = self._read_so_far.branches(ways)
                for row, words, states in zip(self._rows, ways, branches, strict=True):
                    if words:
                        self._choose(row, words, states)

    def _choose(self, row: _Row, words: Sequence[Sequence[int]], branches: list[Tensor]) -> None:
        before = torch.cat([row.before, row.states])[-1:]
        canvas = row.turn.canvas
        scores = torch.tensor(
            [
                self._score(word, torch.cat([before, states[:-1]]), canvas.course.ends)
                for word, states in zip(words, branches, strict=True)
            ]
        )
        best = int(scores.argmax())
        share = float(scores.softmax(0)[best])
        canvas.settle(words[best], [share] * len(words[best]))

    def _draft(self, rows: Sequence[_Row]) -> None:
        """One denoising step of each canvas: what is known stands in it, the rest is noise."""
        canvases, prefixes, soft = [], [], []
        for row in self._rows:
            if row not in rows:
                canvases.append(torch.empty(0, dtype=torch.long, device=self._model.device))
                prefixes.append(row.prefix)
                soft.append(None)
                continue
            canvas = row.turn.canvas
            known = torch.tensor(canvas.known, dtype=torch.long, device=self._model.device)
            length = canvas.length
            if self._window is not None:
                longest = canvas.course.longest(self._window)
                length = min(length, len(known) + (longest or self._window))
            tokens = row.turn.noise.tokens(canvas.length)[:length]
            tokens[: len(known)] = known
            canvases.append(tokens)
            prefixes.append(row.prefix)
            soft.append(self._conditioning(row, known, length))
        logits = self._read_so_far.denoise(canvases, prefixes, soft)
        for row, found in zip(self._rows, logits, strict=True):
            if row in rows:
                step = temper(found, 1.0)
                row.soft = self._model.soften(step.probabilities)
                row.logp = step.log_probabilities()
        readings = read_together(
            [row.turn.course for row in rows],
            [row.logp[len(row.turn.canvas.known) :] for row in rows],
        )
        for row, reading in zip(rows, readings, strict=True):
            row.reading = reading

    def _check(self, rows: Sequence[_Row]) -> None:
        """Settle each draft up to the first token that the encoder would not have written, and
        there the encoder's.

        Under a constraint what the step's distribution says of the positions behind the correction
        is then read anew, from the state that the correction led to, and checked once more. Without
        one the rest of a draft stays what it was: the second pass costs more than it saves.
        """
        self._settle(rows)
        again = [
            row
            for row in rows
            if row.turn.course.rereads
            and not row.turn.canvas.is_full
            and len(row.logp) > len(row.turn.canvas.known)
        ]
        if again:
            readings = read_together(
                [row.turn.course for row in again],
                [row.logp[len(row.turn.canvas.known) :] for row in again],
            )
            for row, reading in zip(again, readings, strict=True):
                row.reading = reading
            self._settle(again)

    def _settle(self, rows: Sequence[_Row]) -> None:
        firsts, drafts = {}, {}
        for row in rows:
            size = min(row.reading.length, row.turn.course.tokens_left)
            firsts[row] = len(row.turn.canvas.known)
            drafts[row] = row.reading.tokens[:size].tolist()
        self._encode([[*row.new, *drafts[row]] if row in drafts else [] for row in self._rows])
        before = [torch.cat([row.before, row.states[:-1]])[firsts[row] :] for row in rows]
        logits = self._model.logits(torch.cat(before)).split([len(states) for states in before])
        for row, found in zip(rows, logits, strict=True):
            draft, canvas = drafts[row], row.turn.canvas
            if (allowed := canvas.course.allowed(draft)) is not None:
                found = found.masked_fill(~allowed.to(found.device), float("-inf"))
            sure, tokens = found.softmax(-1).max(-1)
            written, kept = tokens.tolist(), 0
            while kept < len(draft) and draft[kept] == written[kept]:
                kept += 1
            row.states = row.states[: firsts[row] + kept]
            canvas.settle(written[: kept + 1], sure[: kept + 1].tolist())
        self._read_so_far.lengths = [row.prefix + len(row.states) for row in self._rows]

    def _encode(self, texts: Sequence[Sequence[int]]) -> None:
        """Read a text behind each row, which is of its canvas."""
        if any(texts):
            for row, states in zip(self._rows, self._read_so_far.encode(texts), strict=True):
                if len(states):
                    row.states = torch.cat([row.states, states])

    def _conditioning(self, row: _Row, known: Tensor, length: int) -> Tensor | None:
        """The last draft's soft embeddings, cut or filled with zeros to a length, and the known
        tokens' own."""
        if row.soft is None:
            return None
        soft = row.soft.new_zeros(length, row.soft.shape[1])
        shared = min(length, len(row.soft))
        soft[:shared] = row.soft[:shared]
        soft[: len(known)] = self._model.embed(known)
        return soft

    def _score(self, word: Sequence[int], before: Tensor, ends: Sequence[int]) -> float:
        """The log-probability of a word's tokens; any end token is as good as another."""
        logp = self._model.logits(before).log_softmax(-1)
        logp[:, list(ends)] = logp[:, list(ends)].logsumexp(-1, keepdim=True)
        return float(logp.gather(1, torch.tensor(word, device=logp.device)[:, None]).sum())
