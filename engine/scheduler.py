"""Who is written next: turns of many owners, side by side, on one thread.

Between any two passes of the model turns begin, end, and are given up. Of those that wait, the
highest priority goes first, and among these the owner's who has had the least. What an owner has
had is counted in tokens that the model read for it; whoever comes anew begins with as little as
the others have, and saves nothing up (start-time fair queueing: Goyal, Vin and Cheng, SIGCOMM '96).

Memory is planned: a turn begins when all that it may come to hold is free, and the next in line is
waited for, whoever would fit beside it. At most `side_by_side` turns are written on at a time; one
of a higher priority than another is written in its place, while that pauses where it stands.
"""

from __future__ import annotations

import atexit
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import torch

from .batch import advance, explained
from .capacity import Capacity
from .energy import EnergyMeter, Shares
from .errors import AnswerError, EngineError, TurnCancelledError
from .plan import Plan
from .request import Commit, Draft, Priority, Result, Usage
from .turn import Turn
from .work import Model

Watch = Callable[[Draft | Commit], None]
"""Is shown a turn as it comes into focus, on the engine's thread: it should be quick."""

_RANKS: dict[Priority, int] = {"high": 0, "normal": 1, "low": 2}
_IDLE_SECONDS = 2.0  # the thread ends after so long, and with it what holds the model


@dataclass(eq=False)
class Ticket:
    """A turn that was asked for, until its end: `outcome` has its result or error."""

    plan: Plan
    watch: Watch | None
    scheduler: Scheduler
    number: int
    outcome: Future[Result] = field(default_factory=Future)
    turn: Turn | None = None

    def cancel(self) -> None:
        """Give the turn up: it is written no further than to the next step, and its outcome is a
        `TurnCancelledError`, unless it ends before."""
        self.scheduler.cancel(self)

    def result(self) -> Result:
        """Wait for the turn's end. Whoever is interrupted meanwhile gives it up."""
        try:
            return self.outcome.result()
        except BaseException:
            self.cancel()
            self.outcome.exception()  # what is being written has ended
            raise

    @property
    def rank(self) -> int:
        return _RANKS[self.plan.priority]


class Scheduler:
    """Has the model, and a thread of its own while there is something to write."""

    def __init__(
        self,
        model: Model,
        begin: Callable[[Sequence[Plan]], list[Turn]],
        meter: EnergyMeter,
        capacity: Capacity,
        side_by_side: int,
    ) -> None:
        """`begin` makes a turn of each plan."""
        self.capacity = capacity
        self.side_by_side = side_by_side
        self._model = model
        self._begin_turns = begin
        self._shares = Shares(meter)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._leaving_off = False
        self._asked = 0
        self._waiting: list[Ticket] = []
        self._begun: list[Ticket] = []  # those that go first, first
        self._given_up: list[Ticket] = []
        self._present: Counter[str] = Counter()  # turns that wait or are written, by owner
        self._had: dict[str, int] = {}  # tokens, by those owners

    def enter(self, plans: Sequence[tuple[Plan, Watch | None]]) -> list[Ticket]:
        """Queue turns."""
        with self._changed:
            tickets = []
            for plan, watch in plans:
                self._asked += 1
                tickets.append(Ticket(plan, watch, self, self._asked))
                self._had.setdefault(plan.owner, min(self._had.values(), default=0))
                self._present[plan.owner] += 1
            self._waiting += tickets
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="engine", daemon=True)
                self._thread.start()
                atexit.register(self._leave_off)
            self._changed.notify()
        return tickets

    def cancel(self, ticket: Ticket) -> None:
        """Give a turn up at the next step."""
        if ticket.outcome.done():
            return
        with self._changed:
            self._given_up.append(ticket)
            self._changed.notify()

    def _leave_off(self) -> None:
        """At the interpreter's end: an engine that is in the middle of a pass would abort it."""
        with self._changed:
            self._leaving_off = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _write(self) -> None:
        try:
            with torch.inference_mode():
                while self._next():
                    self._step()
        except BaseException as error:  # ours: nobody is left to wait for what will not come
            with self._changed:
                left = [*self._begun, *self._waiting]
                self._begun, self._waiting, self._thread = [], [], None
            for ticket in left:
                ticket.outcome.set_exception(error)
            raise

    def _next(self) -> bool:
        """Let those go that were given up, and begin those whose turn it is; whether there is
        anything to write."""
        with self._changed:
            given_up = self._take_cancelled()
            if not self._waiting and not self._begun and not given_up:
                self._changed.wait(_IDLE_SECONDS)
                given_up = self._take_cancelled()
            idle = not self._waiting and not self._begun and not given_up
            if idle or self._leaving_off:
                self._thread = None
                atexit.unregister(self._leave_off)
                return False
            fresh = self._admitted()
            self._begun = sorted([*self._begun, *fresh], key=lambda one: one.rank)
        for ticket in given_up:
            self._end(ticket, TurnCancelledError("the turn was given up", self._left(ticket)))
        if fresh:
            self._begin(fresh)
        return True

    def _take_cancelled(self) -> list[Ticket]:
        found = {one: None for one in self._given_up if not one.outcome.done()}
        self._given_up.clear()
        if found:
            self._waiting = [one for one in self._waiting if one not in found]
            self._begun = [one for one in self._begun if one not in found]
        return list(found)

    def _admitted(self) -> list[Ticket]:
        """Take those that begin now from those that wait."""
        fresh: list[Ticket] = []
        held = sum(self._holds(ticket) for ticket in self._begun)
        while self._waiting:
            ticket = min(self._waiting, key=self._place_in_line)
            present = [*self._begun, *fresh]
            ahead = sum(one.rank <= ticket.rank for one in present)
            held += self._holds(ticket)
            if ahead >= self.side_by_side or (present and held > self.capacity.total):
                break
            self._waiting.remove(ticket)
            # so that of two owners who come with many each, one is taken after the other
            self._had[ticket.plan.owner] += len(ticket.plan.prompt)
            fresh.append(ticket)
        return fresh

    def _place_in_line(self, ticket: Ticket) -> tuple[int, int, int]:
        return ticket.rank, self._had[ticket.plan.owner], ticket.number

    def _holds(self, ticket: Ticket) -> int:
        return self.capacity.of(len(ticket.plan.prompt) + ticket.plan.max_tokens)

    def _begin(self, tickets: Sequence[Ticket]) -> None:
        self._shares.begin()
        try:
            turns = self._begin_turns([ticket.plan for ticket in tickets])
        except Exception as error:
            for ticket in tickets:
                self._finish(ticket, explained(self._model, error))
            return
        for ticket, turn in zip(tickets, turns, strict=True):
            ticket.turn = turn
            self._shares.join(turn)

    def _step(self) -> None:
        """Write on by one pass of the model."""
        written = {ticket.turn: ticket for ticket in self._begun[: self.side_by_side]}
        turns = [turn for turn in written if turn is not None]
        for turn in turns:
            read = sum(len(one.tokens) for one in turn.asked)
            self._had[written[turn].plan.owner] += read
        try:
            for turn, event in advance(self._model, turns):
                ticket = written[turn]
                if isinstance(event, Draft | Commit):
                    self._show(ticket, event)
                else:
                    self._finish(ticket, event)
        except Exception as error:  # the model broke: nobody's turn, and everybody's
            for ticket in written.values():
                self._finish(ticket, error)

    def _show(self, ticket: Ticket, event: Draft | Commit) -> None:
        if ticket.watch is None or ticket.outcome.done():
            return
        try:
            ticket.watch(event)
        except Exception as error:  # whoever looks on has broken: it is theirs
            self._finish(ticket, error)

    def _finish(self, ticket: Ticket, found: Result | Exception) -> None:
        """End a turn that was begun, unless it has ended."""
        if ticket.outcome.done():
            return
        usage = self._left(ticket)
        with self._changed:
            self._begun.remove(ticket)
        if isinstance(found, Result):
            found = replace(found, usage=usage)
        elif isinstance(found, AnswerError):
            found.usage = usage
        self._end(ticket, found)

    def _left(self, ticket: Ticket) -> Usage:
        """What a turn took that is written no further; nothing, if it was not begun."""
        turn, ticket.turn = ticket.turn, None  # and what it holds, whoever keeps the ticket
        return Usage() if turn is None else self._shares.leave(turn)

    def _end(self, ticket: Ticket, found: Result | Exception) -> None:
        with self._changed:
            owner = ticket.plan.owner
            self._present[owner] -= 1
            if not self._present[owner]:
                del self._present[owner], self._had[owner]
        if isinstance(found, Result):
            ticket.outcome.set_result(found)
        elif isinstance(found, EngineError):  # what it says is enough: its frames hold the turn
            ticket.outcome.set_exception(found.with_traceback(None))
        else:
            ticket.outcome.set_exception(found)
