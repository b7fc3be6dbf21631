"""Languages that an answer is held to, and exact inference over a canvas under one."""

from .automaton import TokenAutomaton, compile_automaton
from .constraint import Constraint, choice, json_schema, regex, tools
from .inference import Chain, Posterior, Word, posterior, sample, support, viterbi

__all__ = [
    "Chain",
    "Constraint",
    "Posterior",
    "TokenAutomaton",
    "Word",
    "choice",
    "compile_automaton",
    "json_schema",
    "posterior",
    "regex",
    "sample",
    "support",
    "tools",
    "viterbi",
]
