"""Languages that an answer is held to, and exact inference over a canvas under one."""

from .automaton import TokenAutomaton
from .callform import CallForm, ThoughtForm
from .constraint import (
    Constraint,
    SchemaConstraint,
    ToolConstraint,
    choice,
    either,
    free_text,
    json_schema,
    lark,
    regex,
    sequence,
    thought,
    tools,
)
from .inference import Chain, Posterior, Word, posterior, sample, support, viterbi
from .lift import compile_automaton

__all__ = [
    "CallForm",
    "Chain",
    "Constraint",
    "Posterior",
    "SchemaConstraint",
    "ThoughtForm",
    "TokenAutomaton",
    "ToolConstraint",
    "Word",
    "choice",
    "compile_automaton",
    "either",
    "free_text",
    "json_schema",
    "lark",
    "posterior",
    "regex",
    "sample",
    "sequence",
    "support",
    "thought",
    "tools",
    "viterbi",
]
