"""A constraint's language over the tokens of one vocabulary.

Every token leads from a state to a state, by its bytes or, for a control token, by its symbol.
Tokens that lead alike from everywhere share a *class*; the classes that lead from one state to
another are the *set* of that edge, and edges with the same tokens share it, so that there is one
edge between two states however many tokens lead there. After a final state any of the vocabulary's
end tokens leads to the sink, where every token is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from .tables import Tables

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """States 0 to `sink`, edges sorted by source, sets of classes, and tokens sorted by class.

    `members[class_starts[c]:class_starts[c + 1]]` are the tokens of class `c`, and
    `set_classes[set_starts[s]:set_starts[s + 1]]` the classes of set `s`. No edge leaves the sink.
    `distance[q]` is the fewest tokens from `q` to a final state, its end token not counted.
    """

    start: int
    sink: int
    token_class: Integers  # [V], -1 for tokens that lead nowhere
    members: Integers  # [usable tokens]
    class_starts: Integers  # [C + 1]
    set_classes: Integers  # [classes of all sets]
    set_starts: Integers  # [S + 1]
    source: Integers  # [E]
    edge_set: Integers  # [E]
    target: Integers  # [E]
    edge_starts: Integers  # [Q + 1] first edge of each state; the last state is the sink
    distance: Integers  # [Q], 0 for final states; -1 for the sink
    pad: int

    @property
    def states(self) -> int:
        """The number of states without the sink."""
        return self.sink

    @property
    def classes(self) -> int:
        """The number of token classes that have an edge."""
        return len(self.class_starts) - 1

    @property
    def sets(self) -> int:
        """The number of distinct sets of tokens on edges."""
        return len(self.set_starts) - 1

    def set_members(self, found: int) -> Integers:
        """The classes of a set, ascending."""
        return self.set_classes[self.set_starts[found] : self.set_starts[found + 1]]

    def advance(self, state: int, token: int) -> int:
        """The state after a token, or -1 when it may not stand here."""
        if state == self.sink:
            return self.sink
        wanted = self.token_class[token]
        if wanted >= 0:
            for edge in range(int(self.edge_starts[state]), int(self.edge_starts[state + 1])):
                classes = self.set_members(int(self.edge_set[edge]))
                place = int(np.searchsorted(classes, wanted))
                if place < len(classes) and classes[place] == wanted:
                    return int(self.target[edge])
        return -1

    def allowed(self, state: int, tokens_left: int) -> NDArray[np.bool_]:
        """Which tokens [V] may follow a state so that a word can still be finished in
        `tokens_left` tokens, the next one counted."""
        if state == self.sink:
            return np.ones(len(self.token_class), dtype=bool)
        usable = np.zeros(self.classes + 1, dtype=bool)  # the last one is for class -1
        for edge in range(int(self.edge_starts[state]), int(self.edge_starts[state + 1])):
            target = int(self.target[edge])
            if target == self.sink or self.distance[target] + 2 <= tokens_left:
                usable[self.set_members(int(self.edge_set[edge]))] = True
        return usable[self.token_class]

    def on(self, device: torch.device) -> Tables:
        """The arrays of inference on a device, moved there once."""
        if device not in self._tables:
            self._tables[device] = Tables.of(self, device)
        return self._tables[device]

    @cached_property
    def _tables(self) -> dict[torch.device, Tables]:
        return {}
