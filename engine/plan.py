"""A request made ready to be written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from .constraint import (
    Constraint,
    ThoughtForm,
    TokenAutomaton,
    compile_automaton,
    free_text,
    sequence,
    tools,
)
from .constraint import thought as thought_constraint
from .course import Course, FreeCourse
from .errors import BudgetError, ContextError, RequestError
from .request import Priority, Request

if TYPE_CHECKING:
    from .engine import Engine


@dataclass(frozen=True)
class Plan:
    """A request made ready: its prompt in tokens, its budget, and what the answer, and with a
    thought before it the turn, is held to."""

    prompt: list[int]
    max_tokens: int
    seed: int | None
    thought: ThoughtForm | None
    answer: Constraint | None
    turn: Constraint | None
    automaton: TokenAutomaton | None
    owner: str
    priority: Priority

    @classmethod
    def of(cls, engine: Engine, request: Request, *, constrained: bool = True) -> Plan:
        if request.tools and request.constraint is not None:
            raise RequestError("a request has either tools or a constraint, not both")
        if request.max_tokens is not None and request.max_tokens < 1:
            raise RequestError(f"max_tokens must be at least 1, not {request.max_tokens}")
        thought = _thought(engine, request)
        answer = _answer(engine, request) if constrained else None
        turn = _after(thought, answer) if constrained and thought else answer
        prompt = engine.tokenizer.encode(engine.template.render(request))
        room = engine.context_length - len(prompt)
        if room < engine.config.canvas_length:
            raise ContextError(
                f"the prompt has {len(prompt)} tokens; {engine.name} reads at most"
                f" {engine.context_length}{_because(engine)} with a canvas of"
                f" {engine.config.canvas_length}: shorten the document or use a model with a"
                " longer context"
            )
        whole_canvases = room // engine.config.canvas_length * engine.config.canvas_length
        budget = min(request.max_tokens or whole_canvases, whole_canvases)
        automaton = None
        if turn is not None:
            automaton = compile_automaton(turn, engine.tokenizer.vocabulary)
            shortest = int(automaton.distance[automaton.start]) + 1
            if shortest > budget:
                raise BudgetError(
                    f"the shortest answer has {shortest} tokens, the budget is {budget}"
                )
        owner, priority = request.owner, request.priority
        return cls(prompt, budget, request.seed, thought, answer, turn, automaton, owner, priority)

    def course(self, engine: Engine) -> Course | FreeCourse:
        """The turn's way through its constraint's language, if it has one."""
        if self.turn is None or self.automaton is None:
            return FreeCourse(engine.tokenizer.vocabulary.ends, tokens_left=self.max_tokens)
        return engine.course_type(
            self.turn,
            self.automaton,
            engine.tokenizer,
            tokens_left=self.max_tokens,
            score_tail=engine.config.trained_tail,
        )


def _because(engine: Engine) -> str:
    whole = engine.config.text_config.max_position_embeddings
    return "" if engine.context_length == whole else " in the memory that is free"


def _thought(engine: Engine, request: Request) -> ThoughtForm | None:
    """How the turn begins with a thought, if it is to. A turn that goes on behind a tool's result
    had its thought at its beginning."""
    if not request.thinking:
        return None
    form = engine.template.thought
    if form is None:
        raise RequestError(f"{engine.name} cannot think: its template has no channel for thoughts")
    return None if request.messages[-1].role == "tool" else form


def _answer(engine: Engine, request: Request) -> Constraint | None:
    """What the turn is held to behind its thought."""
    if not request.tools:
        return request.constraint
    return tools(
        request.tools,
        choice=request.tool_choice,
        most=request.most_calls,
        form=engine.template.calls,
    )


@lru_cache(maxsize=64)
def _after(thought: ThoughtForm, answer: Constraint | None) -> Constraint:
    """A thought and then the answer; kept, as the constraints of a runtime are the same at every
    turn."""
    return sequence(thought_constraint(thought), answer or free_text())
