"""What may be spent: the most that a call can come to is held before it leaves, and given back when its answer has come."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from math import ceil

from arena.history import NOTHING, Spent
from arena.types import BudgetRules, Caps, Errand, Most

Who = tuple[str, str]
"""A model and the role of those who use it."""

UNITS = ("usd", "tokens", "calls")

RESERVE = 1.5
"""Matches that belong together are begun only with so many times what they are thought to come to."""


@dataclass(frozen=True, slots=True)
class Need:
    """What calls of one model and role are thought to come to together, and the most that the dearest of them can."""

    thought: Spent
    dearest: Spent

    def __add__(self, other: Need) -> Need:
        return Need(self.thought + other.thought, _larger(self.dearest, other.dearest))


Needs = Mapping[Who, Need]


@dataclass(slots=True, eq=False)
class Scope:
    """What one bound is put on: the run, a model, or a role."""

    name: str
    key: str
    """What it is called in the configuration; a unit stands for `{}`."""
    caps: Caps
    spent: Spent = NOTHING
    held: Spent = NOTHING
    """By calls that are under way."""

    def times(self, needs: Needs) -> float | None:
        """How many times what is thought of these needs is within the bounds; None where they fall under none."""
        thought = sum((need.thought for who, need in needs.items() if self.name in _names(who)), NOTHING)
        bounds = [(getattr(self.caps, unit), getattr(thought, unit)) for unit in UNITS]
        found = [cap / wanted for cap, wanted in bounds if cap is not None and wanted]
        return min(found) if found else None

    def room(self, wanted: Spent) -> bool:
        """Whether so much more is within the bounds."""
        return not self.lacking(wanted)

    def reserve(self, needs: Needs) -> Spent:
        """What should be left in it before matches with these needs are begun: `RESERVE` times what they are thought to come to,
        and what leaves room for their dearest call at its most, so that the last can leave."""
        here = [need for who, need in needs.items() if self.name in _names(who)]
        thought = sum((need.thought for need in here), NOTHING)
        dearest = reduce(_larger, (need.dearest for need in here), NOTHING)
        multiple = Spent(RESERVE * thought.usd, ceil(RESERVE * thought.tokens), ceil(RESERVE * thought.calls))
        return _larger(multiple, thought + dearest)

    def lacking(self, wanted: Spent) -> list[str]:
        """The bounds that so much more would break."""
        return [unit for unit in UNITS if (left := self.left(unit)) is not None and getattr(wanted, unit) > left]

    def left(self, unit: str) -> float | None:
        """What may still be spent beside what is held; None where there is no bound."""
        cap = getattr(self.caps, unit)
        return None if cap is None else cap - getattr(self.spent, unit) - getattr(self.held, unit)

    def __str__(self) -> str:
        bounds = [(unit, cap) for unit in UNITS if (cap := getattr(self.caps, unit)) is not None]
        told = ", ".join(f"{amount(unit, getattr(self.spent, unit))} of {amount(unit, cap)}" for unit, cap in bounds)
        return f"{self.name}: {told} spent"


@dataclass(slots=True, eq=False)
class _Group:
    """Matches that were begun together, and what is set aside for them in each scope."""

    matches: set[str]
    needs: list[Spent]
    drawn: list[Spent]
    """What their calls have taken of it so far."""


@dataclass(slots=True)
class Budget:
    """The bounds of a run. No call leaves that could break one, whatever is under way beside it.

    Matches that belong together (a mirrored pair) are begun only when what they are thought to need is left, beside what is set
    aside for those begun before.
    """

    rules: BudgetRules
    _scopes: dict[Who, list[Scope]] = field(default_factory=dict[Who, list[Scope]], init=False)
    _all: list[Scope] = field(init=False)
    _groups: dict[str, _Group] = field(default_factory=dict[str, _Group], init=False)
    waiting: Counter[str] = field(default_factory=Counter[str], init=False)
    """Calls, and players who would begin matches, that wait for something to be given back."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        rules = self.rules
        self._all = [
            Scope("the run", "budget.{}=...", rules.run),
            *(
                Scope(name, f"'budget.models={{{{{name}: {{{{{{}}: ...}}}}}}}}'", caps)
                for name, caps in rules.models.items()
            ),
            *(Scope(f"role {name}", f"budget.roles.{name}.{{}}=...", caps) for name, caps in rules.roles.items()),
        ]

    def begin(self, spent: Mapping[Who, Spent]) -> None:
        """Take in what was spent before."""
        for who, came_to in spent.items():
            for scope in self._of(who):
                scope.spent += came_to

    @property
    def scopes(self) -> Sequence[Scope]:
        """Those with bounds."""
        return [scope for scope in self._all if scope.caps.any]

    # -------------------------------------------------------------- calls

    def hold(self, errand: Errand) -> bool:
        """Set the most that a call can come to aside. False where there is no room for it now."""
        most = held(errand.most)
        scopes = self._of((errand.model, errand.role))
        if not all(scope.room(most) for scope in scopes):
            return False
        for scope in scopes:
            scope.held += most
        self._draw(errand, most)
        return True

    def settle(self, errand: Errand, came_to: Spent) -> None:
        """Give back what was held for a call, and count what it came to."""
        most = held(errand.most)
        for scope in self._of((errand.model, errand.role)):
            scope.held -= most
            scope.spent += came_to
            if not scope.held.calls:
                scope.held = NOTHING  # what sums of floats leave over is not held by anybody
        self._draw(errand, came_to - most)
        self._changed.set()

    def spent_out(self, errand: Errand) -> Scope | None:
        """The scope in which there is no room for a call even when everything under way has been answered for nothing."""
        most = held(errand.most)
        scopes = self._of((errand.model, errand.role))
        return next((scope for scope in scopes if not scope.held.calls and not scope.room(most)), None)

    async def changed(self) -> None:
        """Returns when something was given back."""
        with self.waited_for("calls"):
            self._changed.clear()
            await self._changed.wait()

    @contextmanager
    def waited_for(self, who: str) -> Generator[None]:
        """Count who waits for something to be given back, while the body runs."""
        self.waiting[who] += 1
        try:
            yield
        finally:
            self.waiting[who] -= 1

    # -------------------------------------------------------------- matches

    def admit(self, matches: Sequence[str], needs: Needs, *, begun: bool = False) -> Scope | None:
        """Set aside what matches that belong together need; those that are `begun` in any case. The scope that has not enough left,
        None when they may begin."""
        wanted = [scope.reserve(needs) for scope in self._all]
        groups = {id(group): group for group in self._groups.values()}.values()
        for place, scope in enumerate(self._all):
            aside = sum((_above(group.needs[place] - group.drawn[place]) for group in groups), NOTHING)
            if not begun and wanted[place] != NOTHING and not scope.room(aside + wanted[place]):
                return scope
        group = _Group(set(matches), wanted, [NOTHING] * len(self._all))
        self._groups |= dict.fromkeys(matches, group)
        return None

    def end(self, match: str) -> None:
        """Set nothing aside any more for a match that has ended, once those that belong to it have."""
        group = self._groups.get(match)
        if group is not None:
            group.matches.discard(match)
            for name in [name for name, of in self._groups.items() if of is group and not group.matches]:
                del self._groups[name]

    # -------------------------------------------------------------- helpers

    def _of(self, who: Who) -> list[Scope]:
        if who not in self._scopes:
            self._scopes[who] = [scope for scope in self._all if scope.name in _names(who) and scope.caps.any]
        return self._scopes[who]

    def _draw(self, errand: Errand, taken: Spent) -> None:
        group = self._groups.get(errand.match)
        if group is not None:
            for scope in self._of((errand.model, errand.role)):
                group.drawn[self._all.index(scope)] += taken


def _names(who: Who) -> tuple[str, str, str]:
    return "the run", who[0], f"role {who[1]}"


def shortfall(scope: Scope, needs: Needs) -> str:
    """What some models and roles want of a scope where it is more than is left, in words."""
    wanted = scope.reserve(needs)
    return " and ".join(
        f"{amount(unit, getattr(wanted, unit))} where {amount(unit, max(scope.left(unit) or 0, 0))} are left"
        for unit in scope.lacking(wanted)
    )


def held(most: Most) -> Spent:
    """What is held for a call that can come to this; nothing of what nobody knows."""
    return Spent(most.usd or 0.0, most.tokens or 0, 1)


def _larger(one: Spent, other: Spent) -> Spent:
    return Spent(max(one.usd, other.usd), max(one.tokens, other.tokens), max(one.calls, other.calls))


def _above(found: Spent) -> Spent:
    """What of it is more than nothing."""
    return Spent(max(found.usd, 0.0), max(found.tokens, 0), max(found.calls, 0))


def amount(unit: str, number: float) -> str:
    """So much of a unit, in words."""
    return f"${number:,.2f}" if unit == "usd" else f"{int(number):,} {unit}"
