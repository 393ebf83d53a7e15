"""Budgets: whatever the calls come to, and however many are under way, no bound is broken."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest
import yaml
from commands import SMALL, Arena, comparable, played
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from playing import Killed, Seeded, assert_same, dies_after, experiment, play, tables

from agents.budget import Budget, Need
from arena import config
from arena.history import NOTHING, Spent
from arena.run import Run
from arena.types import BudgetRules, CallKey, Caps, Errand, Experiment, Most

MODELS, ROLES = ("test/a", "test/b"), ("debater", "judge")


def errand(match: str, number: int, model: str, role: str, most: Spent) -> Errand:
    return Errand(match, CallKey(number, 0, 0, 0), "seat", role, model, "digest", Most(most.usd, most.tokens))


amounts = st.builds(Spent, st.floats(0, 2), st.integers(0, 2000), st.just(1))
caps = st.builds(Caps, st.none() | st.floats(0, 10), st.none() | st.integers(0, 10_000), st.none() | st.integers(0, 12))
rules = st.builds(
    BudgetRules,
    caps,
    st.dictionaries(st.sampled_from(MODELS), caps),
    st.dictionaries(st.sampled_from(ROLES), caps),
)


class Spending(RuleBasedStateMachine):
    """Calls leave and are answered in any order; every sum is kept a second time, by hand."""

    @initialize(rules=rules)
    def begin(self, rules: BudgetRules) -> None:
        self.rules, self.budget = rules, Budget(rules)
        self.under_way: list[Errand] = []
        self.paid: list[tuple[str, str, Spent]] = []
        self.number = 0

    @rule(model=st.sampled_from(MODELS), role=st.sampled_from(ROLES), most=amounts)
    def leave(self, model: str, role: str, most: Spent) -> None:
        self.number += 1
        wanted = errand("m", self.number, model, role, most)
        if self.budget.hold(wanted):
            self.under_way.append(wanted)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100), share=st.floats(0, 1))
    def come_back(self, which: int, share: float) -> None:
        errand = self.under_way.pop(which % len(self.under_way))
        most = errand.most
        came_to = Spent((most.usd or 0) * share, int((most.tokens or 0) * share), 1)
        self.budget.settle(errand, came_to)
        self.paid.append((errand.model, errand.role, came_to))

    @invariant()
    def no_bound_is_broken_even_if_everything_comes_to_its_most(self) -> None:
        for name, bound in [("run", self.rules.run), *self.rules.models.items(), *self.rules.roles.items()]:
            mosts = [(e.model, e.role, Spent(e.most.usd or 0, e.most.tokens or 0, 1)) for e in self.under_way]
            here = [amount for model, role, amount in self.paid + mosts if name in ("run", model, role)]
            assert bound.usd is None or sum(amount.usd for amount in here) <= bound.usd + 1e-9
            assert bound.tokens is None or sum(amount.tokens for amount in here) <= bound.tokens
            assert bound.calls is None or len(here) <= bound.calls


TestSpending = Spending.TestCase


def test_what_came_to_less_makes_room_for_more() -> None:
    budget = Budget(BudgetRules(Caps(usd=1.0)))
    first, second = (errand("m", n, "test/a", "debater", Spent(0.9, 0, 1)) for n in range(2))
    assert budget.hold(first)
    assert not budget.hold(second)
    assert budget.spent_out(second) is None  # something may yet be given back
    budget.settle(first, Spent(0.1, 0, 1))
    assert budget.hold(second)


def test_it_is_known_when_nothing_will_be_given_back() -> None:
    budget = Budget(BudgetRules(models={"test/a": Caps(tokens=100)}))
    budget.begin({("test/a", "judge"): Spent(0.0, 60, 1)})
    wanted = errand("m", 1, "test/a", "debater", Spent(0, 50, 1))
    scope = budget.spent_out(wanted)
    assert scope is not None
    assert str(scope) == "test/a: 60 tokens of 100 tokens spent"
    assert budget.spent_out(errand("m", 2, "test/b", "debater", Spent(0, 500, 1))) is None


def test_matches_are_begun_only_with_what_they_need_beside_what_is_set_aside_for_others() -> None:
    budget = Budget(BudgetRules(Caps(usd=10.0)))
    one, other = Need(Spent(2.0, 0, 4), Spent(0.5, 0, 1)), Need(Spent(0.5, 0, 2), Spent(1.5, 0, 1))
    needs = {("test/a", "debater"): one, ("test/b", "judge"): other}  # 2.5 is thought, 4.0 makes room for the dearest
    assert budget.admit(["1", "1m"], needs) is None
    assert budget.admit(["2", "2m"], needs) is None
    assert budget.admit(["3", "3m"], needs) is not None  # 8 of 10 are set aside
    drawn = errand("1", 0, "test/a", "debater", Spent(3.5, 0, 1))
    assert budget.hold(drawn)
    assert budget.admit(["3", "3m"], needs) is not None  # what is drawn is not set aside a second time
    budget.settle(drawn, Spent(1.0, 0, 1))
    budget.end("1")
    assert budget.admit(["3", "3m"], needs) is not None  # its mirror is still to come
    budget.end("1m")
    assert budget.admit(["3", "3m"], needs) is None  # 1 spent, 4 set aside, 4 needed
    assert budget.admit(["4", "4m"], needs, begun=True) is None


@given(
    rules=rules, calls=st.lists(st.tuples(st.sampled_from(MODELS), st.sampled_from(ROLES), amounts, st.floats(0, 1)))
)
def test_matches_that_were_begun_can_be_played_out(
    rules: BudgetRules, calls: list[tuple[str, str, Spent, float]]
) -> None:
    """Where they come to what was thought, every one of their calls finds room, the last one too."""
    budget, needs = Budget(rules), dict[tuple[str, str], Need]()
    came_to = [Spent(most.usd * share, int(most.tokens * share), 1) for _, _, most, share in calls]
    for (model, role, most, _), spent in zip(calls, came_to, strict=True):
        need = Need(spent, most)
        needs[model, role] = needs[model, role] + need if (model, role) in needs else need
    if budget.admit(["m"], needs) is None:
        for number, ((model, role, most, _), spent) in enumerate(zip(calls, came_to, strict=True)):
            wanted = errand("m", number, model, role, Spent(most.usd * 0.999999, most.tokens, 1))
            assert budget.hold(wanted)
            budget.settle(wanted, spent)


# ------------------------------------------------------------------ a run under a budget


def bounded(folder: Path, **budget: Any) -> Experiment:
    """Two matches under a budget."""
    resolved = dict(experiment("debate", folder).resolved)
    return config.experiment(resolved | {"budget": {**resolved["budget"], **budget}})


def spent(opened: Run) -> Spent:
    return sum(opened.read().spent.values(), NOTHING)


UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=12, phases=UNSHRUNK)
@given(
    deaths=st.lists(st.tuples(st.integers(0, 40), st.none() | st.floats(0, 0.999)), max_size=3),
    calls=st.none() | st.integers(30, 40),
    tokens=st.none() | st.integers(300_000, 600_000),
)
def test_a_budget_holds_across_crashes_and_with_more_the_run_ends_as_any_other(
    deaths: list[tuple[int, float | None]], calls: int | None, tokens: int | None
) -> None:
    """Most replies have to be asked for again, so that it comes to more than was thought, and is stopped in mid-match."""
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        calm = play(bounded(Path(one), tokens=10**9), Path(one) / "run", Seeded(malformed=0.6))
        short = bounded(Path(other), calls=calls, tokens=tokens or 10**9)
        model = Seeded(malformed=0.6)
        for writes, torn in [*deaths, (10**6, None)]:
            with dies_after(writes, torn), suppress(Killed):
                opened = play(short, Path(other) / "run", model)
                came_to = spent(opened)
                assert calls is None or came_to.calls <= calls
                assert tokens is None or came_to.tokens <= tokens
        ended = play(bounded(Path(other), tokens=10**9), Path(other) / "run", model)
        assert_same(tables(calm), tables(ended))


def test_no_more_is_begun_than_can_be_ended(tmp_path: Path) -> None:
    """With money for one match of a pair and a bit, neither is begun; for both and a bit, both are ended."""
    one = play(bounded(tmp_path, calls=10**6), tmp_path / "one", Seeded(malformed=0, failing=0))
    needed = spent(one).calls
    for calls, finished in ((needed, 0), (round(1.5 * needed) + 1, 2)):
        folder = tmp_path / str(calls)
        made = bounded(tmp_path)
        budget = replace(made, budget=BudgetRules(Caps(calls=calls)))
        opened = play(budget, folder, Seeded(malformed=0, failing=0))
        assert (tables(opened)["matches"]["status"] == "finished").sum() == finished
        assert spent(opened).calls in (0, needed)


# ------------------------------------------------------------------ the command line


def test_a_run_that_spends_its_budget_says_what_is_left_and_goes_on_with_more(arena: Arena, tmp_path: Path) -> None:
    start = [
        "run",
        "--quiet",
        "--json",
        *SMALL,
        "topics.limit=3",
        "judge=none",
        f"runs={tmp_path}",
        "limits.concurrency=1",
    ]
    calm = arena(*start, "name=calm")
    short = arena(*start, "name=short", "budget.calls=20", "budget.roles.debater.calls=100")
    assert (calm.code, short.code) == (0, 3)
    assert (
        "the next mirrored pair, which wants 18 calls where 8 calls are left; 2 of 6 matches are finished" in short.err
    )
    assert "the run: 12 calls of 20 calls spent, 8 calls left" in short.err
    assert f"arena resume {tmp_path / 'short'} budget.calls=..." in short.err
    assert json.loads((tmp_path / "short" / "manifest.json").read_text())["stopped_by"] == "budget"
    more = arena("resume", "--quiet", tmp_path / "short", "budget.calls=1000")
    assert more.code == 0
    for name, table in comparable(tmp_path / "calm").items():
        pd.testing.assert_frame_equal(table, comparable(tmp_path / "short")[name])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["budget.calls=2"], "does not pay for a mirrored pair of matches, which wants"),
        (["budget.roles.jugde.calls=2"], "nobody here is 'jugde'; there are debater, judge"),
        (["budget.models={openai/gpt: {calls: 9}}"], "nobody here is 'openai/gpt'"),
        (["budget.usd=1", "seats.proposition.model=openai/nobody-knows"], "no price is known for openai/nobody-knows"),
        (["budget.tokens=9", "seats.proposition.model=litellm/x/y"], "provider.litellm.bounded is false"),
        (["budget.usd=-1"], "budget.usd"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(arena: Arena, overrides: list[str], said: str) -> None:
    plan = arena("plan", *SMALL, *overrides)
    assert plan.code == 2
    assert said in plan.err


def test_what_cannot_be_bounded_is_planned_on_request(arena: Arena) -> None:
    unpriced = ["seats.proposition.model=openai/nobody-knows", "budget.usd=1", "budget.allow_unpriced=true"]
    assert arena("plan", *SMALL, *unpriced).code == 0


def test_a_budget_that_would_bound_replies_anew_is_refused_on_resume(arena: Arena, tmp_path: Path) -> None:
    run = played(tmp_path, "judge=none")
    assert arena("resume", "--quiet", run, "budget.calls=1000").code == 0
    refused = arena("resume", "--quiet", run, "budget.tokens=100000000")
    assert refused.code == 2
    assert "was begun with other limits on the length of replies" in refused.err


def test_what_is_judged_again_has_a_budget_of_its_own(arena: Arena, tmp_path: Path) -> None:
    run = played(tmp_path, "judge=none", "budget.calls=1000")
    judged = ["rejudge", "--quiet", run, "judge=simulated", f"runs={tmp_path}"]
    assert "does not pay" in arena(*judged, "name=short", "budget.calls=1").err
    assert arena(*judged, "name=again", "budget.calls=500", "--allow-unpriced").code == 0
    resolved = yaml.safe_load((tmp_path / "again" / "experiment.yaml").read_text())
    assert (resolved["budget"]["calls"], resolved["budget"]["allow_unpriced"]) == (500, True)
