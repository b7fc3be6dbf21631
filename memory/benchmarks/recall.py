"""How much of what was said is found again: `python -m gesso.memory.benchmarks.recall`.

The data are conversations of LoCoMo (snap-research/LoCoMo) in dated sessions, and questions whose
evidence names the turns that answer them. Every turn is remembered: its text is the speaker, the
words and the caption of a photo, the source is the speaker, the episode the session, the time that
of the session; each conversation is an agent of one store. Each question is then a query, asked at
the time of the last session. Recall@k is the part of a question's evidence among the first k, on
average over all questions with evidence. `rank-bm25` gets the same texts.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rank_bm25 import BM25Okapi
from rich.console import Console
from rich.table import Table

from ..memory import Memory
from ..ranking import BM25, Ranking
from ..words import words

DATA = Path("../shared/data/locomo-dev.json")
DEPTHS = (5, 10)


@dataclass(frozen=True)
class Turn:
    """`name` is what the evidence calls it."""

    name: str
    speaker: str
    text: str
    session: str
    at: datetime


@dataclass(frozen=True)
class Question:
    text: str
    evidence: frozenset[str]


@dataclass(frozen=True)
class Conversation:
    name: str
    turns: Sequence[Turn]
    questions: Sequence[Question]


@dataclass(frozen=True)
class Outcome:
    """`recall` by depth, in percent; `milliseconds` are the mean of a query."""

    name: str
    recall: Mapping[int, float]
    milliseconds: float


# From a conversation and a question to the names of the best turns; a list for each place, because
# the same words said twice in a session are one fact.
Search = Callable[[Conversation, Question], Sequence[Sequence[str]]]


def read_conversations(path: Path) -> Iterator[Conversation]:
    for item in json.loads(path.read_text()):
        sessions = item["conversation"]
        turns = [
            _turn(
                said, key, datetime.strptime(sessions[f"{key}_date_time"], "%I:%M %p on %d %B, %Y")
            )
            for key in sessions
            if re.fullmatch(r"session_\d+", key)
            for said in sessions[key]
        ]
        names = frozenset(turn.name for turn in turns)
        # A few cells of the data name several turns in one string.
        questions = [
            Question(asked["question"], names.intersection(re.findall(r"D\d+:\d+", cells)))
            for asked in item["qa"]
            for cells in [" ".join(asked.get("evidence", []))]
        ]
        yield Conversation(item["sample_id"], turns, [q for q in questions if q.evidence])


def _turn(said: Mapping[str, Any], session: str, at: datetime) -> Turn:
    caption = said.get("blip_caption")
    text = f"{said['speaker']}: {said['text']}" + (f" [{caption}]" if caption else "")
    return Turn(said["dia_id"], said["speaker"], text, session, at.replace(tzinfo=UTC))


def rank_bm25(conversations: Sequence[Conversation], split: Callable[[str], list[str]]) -> Search:
    indices = {
        conversation.name: BM25Okapi([split(turn.text) for turn in conversation.turns])
        for conversation in conversations
    }

    def search(conversation: Conversation, question: Question) -> Sequence[Sequence[str]]:
        scores = indices[conversation.name].get_scores(split(question.text))
        best = sorted(range(len(scores)), key=lambda place: -scores[place])[: max(DEPTHS)]
        return [[conversation.turns[place].name] for place in best]

    return search


class Remembered:
    """The conversations in a memory."""

    def __init__(self, memory: Memory, conversations: Sequence[Conversation]) -> None:
        self._memory = memory
        self._names: dict[int, list[str]] = {}
        for conversation in conversations:
            for turn in conversation.turns:
                fact = memory.remember(
                    turn.text,
                    source=turn.speaker,
                    at=turn.at,
                    agent=conversation.name,
                    episode=turn.session,
                )
                self._names.setdefault(fact.id, []).append(turn.name)

    def search(self, ranking: Ranking) -> Search:
        def search(conversation: Conversation, question: Question) -> Sequence[Sequence[str]]:
            found = self._memory.recall(
                question.text,
                max(DEPTHS),
                agent=conversation.name,
                at=conversation.turns[-1].at,
                ranking=ranking,
            )
            return [self._names[fact.id] for fact in found]

        return search


def measure(name: str, search: Search, conversations: Sequence[Conversation]) -> Outcome:
    found: dict[int, list[float]] = {depth: [] for depth in DEPTHS}
    begun = time.perf_counter()
    for conversation in conversations:
        for question in conversation.questions:
            best = search(conversation, question)
            for depth in DEPTHS:
                names = {name for place in best[:depth] for name in place}
                found[depth].append(len(question.evidence & names) / len(question.evidence))
    asked = len(found[DEPTHS[0]])
    return Outcome(
        name,
        {depth: 100 * sum(parts) / asked for depth, parts in found.items()},
        1000 * (time.perf_counter() - begun) / asked,
    )


def run(conversations: Sequence[Conversation], *, parts: bool) -> Iterator[Outcome]:
    """The baselines, BM25 alone and the best ranking; with `parts`, also that without each part."""
    yield measure(
        "rank-bm25, split at spaces",
        rank_bm25(conversations, lambda text: text.lower().split()),
        conversations,
    )
    yield measure("rank-bm25, words", rank_bm25(conversations, words), conversations)
    with TemporaryDirectory() as folder, Memory(Path(folder) / "store.db") as memory:
        remembered = Remembered(memory, conversations)
        best = Ranking()
        rankings = {"gesso, BM25 alone": BM25, "gesso": best}
        if parts:
            rankings |= {
                "  without neighbours": replace(best, reach=0),
                "  without the source's factor": replace(best, named=1.0),
                "  without the month's factor": replace(best, dated=1.0),
                "  without recency": replace(best, recency=0.0),
            }
        for name, ranking in rankings.items():
            yield measure(name, remembered.search(ranking), conversations)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="recall", description="Recall of the evidence of LoCoMo's questions."
    )
    parser.add_argument("--data", type=Path, default=DATA, help="the file of the conversations")
    parser.add_argument("--parts", action="store_true", help="also what each part is worth")
    arguments = parser.parse_args()
    if not arguments.data.is_file():
        parser.error(f"{arguments.data} is not there: name the conversations with --data")
    conversations = list(read_conversations(arguments.data))
    turns = sum(len(conversation.turns) for conversation in conversations)
    questions = sum(len(conversation.questions) for conversation in conversations)
    table = Table("", *(f"recall@{depth}" for depth in DEPTHS), "ms a query")
    for outcome in run(conversations, parts=arguments.parts):
        figures = [f"{outcome.recall[depth]:.1f} %" for depth in DEPTHS]
        table.add_row(outcome.name, *figures, f"{outcome.milliseconds:.1f}")
    console = Console()
    console.print(f"{len(conversations)} conversations, {turns} turns, {questions} questions")
    console.print(table)


if __name__ == "__main__":
    main()
