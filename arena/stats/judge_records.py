"""The default convention, the judges: what each leans to, how far it follows order, length and family, whom it agrees with.

A judge is named by its model, as everywhere; several judges of one model are one here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from arena.stats import judges
from arena.stats.beliefs import Tables
from arena.stats.clustered import clustered_mean
from arena.stats.estimate import Estimate, bounded, made
from arena.stats.multiplicity import holm
from arena.stats.predictive_multiplicity import multiplicity
from arena.stats.record import Record
from arena.stats.record import ours as record

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Ballots:
    """The ballots of a condition that were read, a row each."""

    choice: Numbers
    """A number for each word that was chosen; 0 and 1 for the first and the second side where none but two were."""
    debate: Numbers
    judge: Numbers
    """Whose model cast it, as an index of `models`."""
    cast: Numbers
    """Which ballot of which judge it is, whatever the order."""
    order: Numbers
    """An index of `orders`; -1 where it is not known."""
    models: tuple[str, ...]
    orders: tuple[str, ...]
    condition: str
    planned: dict[str | None, int]
    """Debates that a model was to judge; None for those that anybody was."""

    def own(self, judge: int) -> NDArray[np.bool_]:
        return self.judge == judge

    @property
    def each(self) -> list[tuple[str, NDArray[np.bool_]]]:
        """Every judge's model, and which ballots are its own."""
        return [(model, self.own(number)) for number, model in enumerate(self.models)]


def records(tables: Tables, condition: str, random: np.random.Generator) -> Iterator[Record]:
    """What the ballots of a condition say about those who cast them. `tables` are those of one condition."""
    planned = _planned(tables)
    read = tables["verdicts"][tables["verdicts"]["choice"].notna()]
    if not read.empty:
        sides = _sides(tables)
        if len(sides) == 2:
            named = read[read["choice"].isin(sides)]
            if neither := len(read) - len(named):
                yield record("ballots", made(neither, n=len(read)), condition=condition, contrast="for neither side")
            if not named.empty:
                yield from _leaning(tables, _ballots(named, sides, condition, planned), sides)
        yield from _agreeing(_ballots(read, sorted(set(read["choice"])), condition, planned), random)
    yield from _counted(tables, read, condition)


def _sides(tables: Tables) -> list[str]:
    seats = tables["seats"]
    return [str(side) for side in pd.unique(seats.loc[seats["role"] != "judge", "seat"])]


def _planned(tables: Tables) -> dict[str | None, int]:
    """Of a match that was not played the judges stand among the seats; of an imported one, among the ballots alone."""
    seats = tables["seats"]
    seated = seats[seats["role"] == "judge"]
    both = pd.concat([seated[["match_id", "model"]], tables["verdicts"][["match_id", "model"]]]).drop_duplicates()
    of_all: dict[str | None, int] = {None: int(both["match_id"].nunique())}
    return of_all | {str(model): int(count) for model, count in both["model"].value_counts().items()}


def _ballots(read: pd.DataFrame, options: list[str], condition: str, planned: dict[str | None, int]) -> Ballots:
    judge, models = pd.factorize(read["model"], sort=True)
    order, orders = pd.factorize(read["order"], sort=True)
    who = read["judge"].astype("string").fillna("") + "\n" + read["ballot"].astype("string").fillna("")
    return Ballots(
        choice=np.asarray(pd.Index(options).get_indexer(pd.Index(read["choice"]))),
        debate=read["match_id"].to_numpy(),
        judge=judge,
        cast=pd.factorize(who)[0],
        order=order,
        models=tuple(map(str, models)),
        orders=tuple(map(str, orders)),
        condition=condition,
        planned=planned,
    )


def _each(name: str, ballots: Ballots, found: list[Estimate], contrast: str | None) -> Iterator[Record]:
    """A statistic of every judge, the tests corrected for one another; what there is none of is left out."""
    for (model, _), estimate in zip(ballots.each, holm(found), strict=True):
        if estimate.estimate is not None or estimate.p is not None:
            yield _record(name, ballots, estimate, contrast, model)


def _record(name: str, ballots: Ballots, found: Estimate, contrast: str | None, model: str | None = None) -> Record:
    missing = ballots.planned[model] - found.n
    return record(name, found, condition=ballots.condition, model=model, contrast=contrast, missing=missing)


# ------------------------------------------------------------------ which side they name


def _leaning(tables: Tables, ballots: Ballots, sides: list[str]) -> Iterator[Record]:
    """Which side ballots name, and what goes with that."""
    choice, debate = ballots.choice, ballots.debate
    shares = [judges.side_share(choice[own], debate[own]) for _, own in ballots.each]
    yield from _each("judge_side_share", ballots, shares, sides[1])
    yield _record("judge_side_share", ballots, judges.side_share(choice, debate), sides[1])
    if len(ballots.orders) == 2:
        yield from _ordered(ballots)
    yield from _length(tables, ballots, sides)
    yield from _family(tables, ballots, sides)
    yield from _replaced(ballots)


def _replaced(ballots: Ballots) -> Iterator[Record]:
    """How far winners hang on which of several judges was asked that agree with the panel nearly as well."""
    for nearly in multiplicity(ballots.choice, ballots.debate, ballots.judge).sets:
        if len(nearly.judges) > 1:
            said = f"{len(nearly.judges)} judges within {nearly.epsilon:g} of the best"
            yield _record("judge_ambiguity", ballots, nearly.ambiguity, said)
            yield _record("judge_discrepancy", ballots, nearly.discrepancy, said)


def _ordered(ballots: Ballots) -> Iterator[Record]:
    """What reading the speeches in the other order does: to the share of the second side, and to single ballots."""
    said = "-".join(reversed(ballots.orders))
    known = ballots.order >= 0

    def effect(own: NDArray[np.bool_]) -> Estimate:
        return judges.order_effect(ballots.choice[own], ballots.debate[own], ballots.order[own]).difference

    def flips(own: NDArray[np.bool_]) -> Estimate:
        b = ballots
        return judges.flip_rate(b.choice[own], b.debate[own], b.cast[own], b.order[own]).rate

    yield from _each("judge_order_effect", ballots, [effect(own & known) for _, own in ballots.each], said)
    yield _record("judge_order_effect", ballots, effect(known), said)
    yield from _each("judge_flip_rate", ballots, [flips(own & known) for _, own in ballots.each], said)
    yield _record("judge_flip_rate", ballots, flips(known), said)


def _length(tables: Tables, ballots: Ballots, sides: list[str]) -> Iterator[Record]:
    spoken = tables["utterances"]
    spoken = spoken[spoken["part"] == "speech"]
    chars = spoken.groupby(["match_id", "seat"])["chars"].sum().unstack()
    chars = chars.reindex(index=range(len(tables["matches"])), columns=sides).to_numpy(dtype=float, na_value=np.nan)
    first, second = chars[ballots.debate].T
    there = np.nan_to_num(first) * np.nan_to_num(second) > 0
    unit = "log-odds per log ratio of characters"

    def slope(own: NDArray[np.bool_]) -> Estimate:
        if not own.any():
            return made(None, n=0)
        return judges.length_effect(ballots.choice[own], ballots.debate[own], first[own], second[own]).slope

    if there.any():
        yield from _each("judge_length_effect", ballots, [slope(own & there) for _, own in ballots.each], unit)
        yield _record("judge_length_effect", ballots, slope(there), unit)


def _family(tables: Tables, ballots: Ballots, sides: list[str]) -> Iterator[Record]:
    """By how much a judge prefers a side of its own family to what judges of neither side's family make of it."""
    seats = tables["seats"]
    known = seats.dropna(subset=["model", "family"])
    families = {str(model): str(family) for model, family in zip(known["model"], known["family"], strict=True)}
    if not set(families) & set(ballots.models):
        return
    spoken = seats[seats["role"] != "judge"].set_index(["match_id", "seat"])["model"].astype(object).unstack()
    spoken = spoken.reindex(index=range(len(tables["matches"])), columns=sides)
    spoken = np.array([[families.get(str(model), "") for model in row] for row in spoken.to_numpy()])
    of_judge = np.array([families.get(model, "") for model in ballots.models])[ballots.judge]
    speaking = spoken[ballots.debate]
    akin = (speaking == of_judge[:, None]) & (of_judge != "")[:, None]

    def preferring(judged: NDArray[np.bool_]) -> Estimate:
        theirs = np.full(len(spoken), -1)
        theirs[ballots.debate[judged]] = akin[judged].argmax(axis=1)
        side = theirs[ballots.debate]
        rows = judged | (~akin.any(axis=1) & (side >= 0))
        named = ballots.choice[rows] == side[rows]
        return judges.family_effect(named, ballots.debate[rows], judged[rows])

    # Where one side alone is of the family, and not both.
    judged = [own & (akin.sum(axis=1) == 1) for _, own in ballots.each]
    planned: dict[str | None, int] = {
        model: len(np.unique(ballots.debate[rows])) for model, rows in zip(ballots.models, judged, strict=True)
    }
    effects = [preferring(rows) for rows in judged]
    yield from _each("judge_family_effect", replace(ballots, planned=planned), effects, "own family-other judges")


# ------------------------------------------------------------------ whom they agree with


def _agreeing(ballots: Ballots, random: np.random.Generator) -> Iterator[Record]:
    choice, debate, judge = ballots.choice, ballots.debate, ballots.judge
    for model, own in ballots.each:
        # With itself on one debate, read in one order: what the other order does is another matter.
        agreed = judges.self_agreement(choice[own], debate[own], ballots.order[own])
        if agreed.pairs:
            yield _record("judge_agreement", ballots, agreed.share, "within", model)
    agreed = judges.judge_agreement(choice, debate, judge)
    if agreed.pairs:
        yield _record("judge_agreement", ballots, agreed.share, "between")
        with_panel = [judges.panel_agreement(choice, debate, own) for _, own in ballots.each]
        yield from _each("judge_panel_agreement", ballots, with_panel, "with most ballots of the others")
    alpha = judges.krippendorff_alpha(choice, debate, random)
    yield _record("judge_alpha", ballots, alpha, "all ballots")


# ------------------------------------------------------------------ what is missing, and what it cost


def _counted(tables: Tables, read: pd.DataFrame, condition: str) -> Iterator[Record]:
    """Ballots that were read of those planned, and what one costs that was asked for, read or not, by judge."""
    seats, calls = tables["seats"], tables["calls"]
    seated = seats[seats["role"] == "judge"]
    asked = calls[~calls["status"].isin(("in_flight", "lost")) & calls["seat"].isin(pd.unique(seated["seat"]))]
    paid = asked.assign(unpriced=asked["cost_usd"].isna()).groupby(["match_id", "seat"])[["cost_usd", "unpriced"]].sum()
    usd = paid["cost_usd"].mask(paid["unpriced"] > 0).rename("usd")
    costs = seated.set_index(["match_id", "seat"])["model"].to_frame().join(usd, how="inner")
    verdicts = tables["verdicts"]
    models = pd.concat([seated["model"], verdicts["model"]]).dropna()
    for model in sorted(map(str, pd.unique(models))):
        there = int((read["model"] == model).sum())
        planned = max(int((seated["model"] == model).sum()), int((verdicts["model"] == model).sum()))
        where: dict[str, Any] = {"condition": condition, "model": model}
        yield record("judge_ballots", made(there, n=planned), **where, contrast="read", missing=planned - there)
        own = costs[costs["model"] == model]
        known = own[own["usd"].notna()]
        if len(known):
            each = clustered_mean(known["usd"].to_numpy(dtype=float), known.index.get_level_values("match_id"))
            lost = own.index.get_level_values("match_id").nunique() - each.n
            yield record("judge_cost_per_ballot", bounded(each, 0.0, np.inf), **where, contrast="USD", missing=lost)
