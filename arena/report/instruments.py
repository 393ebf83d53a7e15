"""What judges' verdicts say where nobody knows how often each judge is wrong, for a terminal and as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from arena.inert import inert
from arena.stats.estimate import Estimate
from arena.stats.instruments import Posterior, Prior, Sensitivity

SHOWN = Prior()
"""The prior whose posterior is shown whole; how far the others differ is said."""


def plain(found: Sensitivity) -> dict[str, Any]:
    """The posterior under each prior, and between what bounds ranks and P(best) lie, as plain values for JSON."""
    return {
        "posteriors": [asdict(posterior) for posterior in found.posteriors],
        "spans": [asdict(span) for span in found.spans],
        "leaders": list(found.leaders),
    }


def rendered(found: Sensitivity) -> RenderableType:
    """The shares and the judges under one prior, and what hangs on it."""
    shown = next(posterior for posterior in found.posteriors if posterior.prior == SHOWN)
    best, *others = found.leaders
    lines = [
        f"Priors matter: {len(found.posteriors)} priors name {', '.join(map(inert, found.leaders))} as the likeliest best."
        if others
        else f"All {len(found.posteriors)} priors that were tried name {inert(best)} as the likeliest best.",
        "A share is that of the matches that an agent should win; its level rests on the priors, the order on judges who are "
        "right more often than not and treat all alike. The ranks in brackets are the widest over all priors.",
        *(f"Prior {_prior(one.prior)}: {one.sampling.warning}" for one in found.posteriors if one.sampling.warning),
    ]
    return Group(_candidates(shown, found), _judges(shown), *(Text(line, style="dim") for line in lines))


def _candidates(shown: Posterior, found: Sensitivity) -> Table:
    table = _table("Agents, if judges are noisy instruments", ("agent", "true share", "seen", "ranks", "P(best)"))
    spans = {span.name: span for span in found.spans}
    for one in sorted(shown.candidates, key=lambda one: -(one.true_share.estimate or 0.0)):
        span = spans[one.name]
        ranks = f"{_range(one.rank_low, one.rank_high)} [{_range(span.rank_low, span.rank_high)}]"
        best = f"{one.p_best:.2f} [{span.p_best_low:.2f} to {span.p_best_high:.2f}]"
        table.add_row(Text(inert(one.name)), _share(one.true_share), _share(one.observed), Text(ranks), Text(best))
    return table


def _judges(shown: Posterior) -> Table:
    columns = ("judge", "says yes where right", "where wrong", "difference")
    table = _table(f"Judges, under the prior {_prior(shown.prior)}", columns)
    for one in shown.judges:
        rates = (one.true_positive, one.false_positive, one.informedness)
        table.add_row(Text(inert(one.name)), *map(_share, rates))
    return table


def _prior(prior: Prior) -> str:
    return f"of concentration {prior.concentration:g} and effect {prior.effect:g}"


def _range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low}–{high}"


def _share(share: Estimate) -> str:
    if share.estimate is None:
        return "–"
    between = "" if share.low is None or share.high is None else f" ({100 * share.low:.0f} to {100 * share.high:.0f})"
    return f"{share.estimate:.0%}{between}"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    return table
