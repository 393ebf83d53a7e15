"""The tournament in the report: what it shows is what `arena rate`, the ledger and `arena stats` say, and all of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reporting import HOSTILE, SIDES, read, report
from reporting import run as debates

import arena
from arena import frames, ledger
from arena.imports import llms_overconfidence
from arena.rate import Standings, rated
from arena.report import page
from arena.report.words import Unit, interval, value
from arena.stats.estimate import Estimate

TRUTH = {"a": 800.0, "b": 950.0, "c": 1100.0, "d": 1250.0}

FOUR = [
    "agents=none",
    *(f"agents.{name}.model=simulated/points_{points:.0f}" for name, points in TRUTH.items()),
    "+provider.simulated.presets={"
    + ", ".join(f"points_{points:.0f}: {{rating: {points}, rounding: 5}}" for points in TRUTH.values())
    + ", left: {side_lean: 2.0, sd_ballot: 1.7}, fair: {sd_ballot: 1.7}}",
    "judge=panel", "judge.orders=both", "judge.judges.left.model=simulated/left", "judge.judges.fair.model=simulated/fair",
    "game.params.rebuttals=0",
    "topics.limit=5",
    "schedule=active", "schedule.repeats=4", "schedule.stop.top=2", "schedule.stop.matches=80",
]  # fmt: skip
"""Four simulated debaters 150 points apart, before judges of whom one leans; it stops when the best is known."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A run, its standings by themselves, and its report as a reader finds it."""

    folder: Path
    standings: Standings
    words: str
    tables: dict[str, list[list[str]]]
    """By heading, the first row the head; small letters stand behind a bar."""

    def figure(self, name: str) -> str:
        return (self.folder / "figures" / f"{name}.svg").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tournament(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """A tournament of the four, played and reported once for all that look at it."""
    folder = asyncio.run(arena.play(arena.compose(FOUR), tmp_path_factory.mktemp("report") / "run"))
    written = page.write([folder], folder).page
    return Reported(folder, rated([folder]), read(written).words, tables(written))


def tables(path: Path) -> dict[str, list[list[str]]]:
    html = path.read_text(encoding="utf-8")
    found = re.findall(r'<h3>([^<]*)</h3>\s*<div class="scroll"><table>(.*?)</table>', html, re.DOTALL)
    return {heading: [_cells(row) for row in body.split("</tr>") if "<tr>" in row] for heading, body in found}


def _cells(row: str) -> list[str]:
    cells = re.findall(r"<t[dh](?: [^>]*)?>(.*?)</t[dh]>", row, re.DOTALL)
    return [unescape(cell.replace("<small>", "|").replace("</small>", "")) for cell in cells]


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter() if text.tag.endswith("}text")]


# ------------------------------------------------------------------ standings


def test_the_standings_are_those_of_arena_rate(tournament: Reported) -> None:
    head, *rows = tournament.tables["Standings"]
    assert head[:6] == ["Agent", "Rank", "Rating", "Truth", "P(best)", "Matches"]
    found = [
        [
            agent.agent,
            f"{agent.rank_low}" + (f"–{agent.rank_high}" if agent.rank_high > agent.rank_low else ""),
            f"{value(agent.rating, 'rating')}|{value(agent.low, 'rating')} to {value(agent.high, 'rating')}",
            f"{agent.p_best:.2f}",
            f"{agent.n}",
        ]
        for agent in tournament.standings.ratings.agents
    ]
    assert [[*row[:3], *row[4:6]] for row in rows] == found
    weighted = (
        {agent.agent: agent for agent in tournament.standings.weighted.agents} if tournament.standings.weighted else {}
    )
    assert [row[6].split("|")[0] for row in rows] == [value(weighted[row[0]].rating, "rating") for row in rows]


def test_the_truth_stands_beside_the_estimates_as_far_apart_as_it_is(tournament: Reported) -> None:
    shown = {row[0]: float(row[3].replace(",", "")) for row in tournament.tables["Standings"][1:]}
    differences = {agent: points - TRUTH[agent] for agent, points in shown.items()}
    assert max(differences.values()) - min(differences.values()) <= 1
    assert np.mean(list(shown.values())) == pytest.approx(1000, abs=1)
    assert "moved together until their mean is that of the estimates" in tournament.words


def test_who_leads_and_how_sure_that_is_stands_first(tournament: Reported) -> None:
    best = tournament.standings.ratings.agents[0]
    said = tournament.words.partition("Who is stronger")[2]
    assert said.strip().startswith(
        f"{100 * (best.p_best or 0):.1f} % is the chance, as far as these matches tell, that {best.agent} is the strongest of 4 "
        f"agents. Its rating is {value(best.rating, 'rating')}"
    )  # fmt: skip
    assert f"(95 % interval {value(best.low, 'rating')} to {value(best.high, 'rating')}; {best.n} matches)" in said


def test_the_side_effect_and_every_judges_lean_are_told_with_intervals(tournament: Reported) -> None:
    ratings = tournament.standings.ratings
    side, share = ratings.side, ratings.side_share
    _, effect, *rows = tournament.tables["Seats and judges"]
    percent, points = value(share.estimate, "percent"), value(side.estimate, "rating")
    between = f"{interval(share, 'percent')}", f"{interval(side, 'rating')}"
    assert effect == ["side effect", f"{percent}|{between[0]}", f"{points}|{between[1]}", "–", f"{ratings.matches}"]
    assert {row[0] for row in rows} >= {judge.judge for judge in ratings.judges} >= {"left", "fair"}
    told = unbroken(tournament.words)
    assert unbroken(f"{percent} of verdicts between equals go to the proposition: a side effect of {points}") in told
    assert "The proposition wins mostly by one judge’s lean:" in told
    assert "of what the seat is worth is left’s." in told
    for judge in ratings.judges:
        own = f"{judge.judge} {value(judge.share.estimate, 'percent')} ({interval(judge.share, 'percent')})"
        assert unbroken(own) in told


def test_the_side_effect_is_told_of_the_seat_that_wins_more(tmp_path: Path) -> None:
    """Here the second one; a single judge has no lean of its own that could be told apart."""
    folder = contest(tmp_path / "run", "abc", lambda one, other, topic: other if topic % 3 else min(one, other))
    told, ratings = report(folder).words, rated([folder]).ratings
    share, points = 100 - 100 * (ratings.side_share.estimate or 1), -(ratings.side.estimate or 0)
    assert share > 60
    assert f"{share:.1f} % of verdicts between equals go to the opposition: a side effect of {points:.0f}" in told
    assert "judge’s lean" not in told


def unbroken(text: str) -> str:
    """As a reader sees it."""
    return text.replace("\u00a0", " ")


def test_a_run_that_nobody_could_win_otherwise_says_why_it_has_no_ratings(tmp_path: Path) -> None:
    """The first of three always wins: the rest of the report is as ever, and who met whom is still drawn."""
    folder = contest(tmp_path / "run", "abc", lambda one, other, topic: min(one, other))
    (folder / "figures").mkdir()
    (folder / "figures" / "standings.svg").write_text("from before")
    written = page.write([folder], folder)
    told = read(written.page).words
    assert "no ratings The agents cannot be rated: no finite ratings exist: " in told
    assert "a never lost to or tied with" in told
    assert any("cannot be rated" in why for why in written.absent)
    assert {"graph", "judges"} <= {path.stem for path in written.figures}
    assert not (folder / "figures" / "standings.svg").exists()


def test_who_plays_against_its_copy_has_no_tournament(tmp_path: Path) -> None:
    told = report(debates(tmp_path / "run", models=("vendor/one",))).words
    assert "Who is stronger" not in told
    assert "cannot be rated" not in told


def test_where_results_run_in_circles_the_ranking_is_said_to_mean_little(tmp_path: Path) -> None:
    """Each of five beats the two behind it, nine times of ten."""

    def ahead(one: str, other: str, topic: int) -> str:
        first = one if (ord(other) - ord(one)) % 5 in (1, 2) else other
        return first if topic % 10 else ({one, other} - {first}).pop()

    told = report(contest(tmp_path / "run", "abcde", ahead, topics=20)).words
    said = told.partition("Who is stronger")[2]
    assert re.match(r" \d+\.\d % of what differs between agents runs in circles, as where a beats b", said)
    assert "No order fits that: the ranking means little." in said


def test_conditions_that_were_not_played_alike_are_rated_one_by_one(tmp_path: Path) -> None:
    one = contest(tmp_path / "one", "abc", lambda *pair: (min, max)[pair[2] % 3 == 0](pair[:2]), condition="warm")
    two = contest(tmp_path / "two", "abc", lambda *pair: (max, min)[pair[2] % 3 == 0](pair[:2]), condition="cold")
    written = page.write([one, two], tmp_path).page
    shown = tables(written)
    for name, folder in (("warm", one), ("cold", two)):
        rows = shown[f"Standings in {name}"][1:]
        assert [row[0] for row in rows] == [agent.agent for agent in rated([folder]).ratings.agents]
        assert f"agents in {name}. Its rating is" in read(written).words


# ------------------------------------------------------------------ who beats whom, who met whom


def test_the_matrix_shows_what_is_foretold_and_what_was_seen(tournament: Reported) -> None:
    ratings, held = tournament.standings.ratings, tournament.standings.compared.comparisons
    order = [agent.agent for agent in ratings.agents]
    expected = Counter[str]()
    for one, other in itertools.combinations(range(4), 2):
        expected[f"{100 * ratings.win[one, other]:.0f}"] += 1
        high, low = (held.agents.index(order[place]) for place in (one, other))
        rows = {1: (held.first == low) & (held.second == high), 0: (held.first == high) & (held.second == low)}
        points = [*held.score[rows[1]], *(1 - held.score[rows[0]])]
        if points:
            expected[f"{100 * np.mean(points):.0f}"] += 1
            expected[f"{len({*held.match[rows[1]], *held.match[rows[0]]})}"] += 1
    expected.update(str(place) for place in range(1, 5))
    figure = ElementTree.fromstring(tournament.figure("matrix"))
    (panel,) = (element for element in figure if element.tag.endswith("}svg"))
    numbers = [text for text in texts(ElementTree.tostring(panel, encoding="unicode")) if text.strip().isdigit()]
    assert Counter(numbers) == expected


def test_the_graph_has_a_line_for_every_pair_that_met_and_says_who_broke_the_order(tmp_path: Path) -> None:
    """Of four, the first and the last never met, and the third won more against the second than the second did."""
    shares = {"ab": 6, "ac": 9, "bc": 4, "bd": 9, "cd": 6}

    def wins(one: str, other: str, topic: int) -> str | None:
        high, low = sorted((one, other))
        won = shares.get(high + low)
        return None if won is None else high if topic < won else low

    folder = contest(tmp_path / "run", "abcd", wins, topics=10)
    written = page.write([folder], folder)
    assert [agent.agent for agent in rated([folder]).ratings.agents] == list("abcd")
    assert "In 1 of 5 pairs that met, the one that stands lower won more" in read(written.page).words
    dashed = re.findall(r"stroke-dasharray", (folder / "figures" / "graph.svg").read_text())
    assert dashed


# ------------------------------------------------------------------ decisions


def test_every_decision_is_there_as_the_ledger_has_it(tournament: Reported) -> None:
    records = ledger.read(tournament.folder / "ledger").rounds
    manifest = json.loads((tournament.folder / "manifest.json").read_text())
    (rows,) = (body for heading, body in tournament.tables.items() if heading == f"{manifest['rounds']} rounds")
    assert len(rows) == 1 + len(records)
    decided = 0
    for row, record in zip(rows[1:], records, strict=True):
        standing = record["standing"]
        met = [" – ".join(meeting["players"].values()) for meeting in record["meetings"] if not meeting["mirror"]]
        assert row[1:] == [
            f"{decided}", ", ".join(standing["answer"]), f"{standing['log_wealth']:.2f}", f"{standing['needed']:.2f}",
            "; ".join(met) or "nobody: it stopped",
        ]  # fmt: skip
        decided += len(record["meetings"])
    assert decided == manifest["matches"]


def test_what_stopped_it_is_said(tournament: Reported) -> None:
    manifest = json.loads((tournament.folder / "manifest.json").read_text())
    assert manifest["stopped_by"] == "order_known"
    assert f"{manifest['rounds']} rounds Stopped after {manifest['rounds']} rounds" in tournament.words
    assert f"({manifest['matches']} matches)" in tournament.words
    assert "needed" in texts(tournament.figure("decisions"))


# ------------------------------------------------------------------ judges


def test_each_judges_row_is_what_arena_stats_says(tournament: Reported) -> None:
    found = arena.statistics(tournament.folder)
    head, *rows = judges_table(tournament.folder / "report.html")
    assert head[1:4] == ["For the opposition", "Order effect", "Flips"]
    statistics: dict[str, Unit] = {
        "judge_side_share": "percent",
        "judge_order_effect": "points",
        "judge_flip_rate": "percent",
    }
    own = found[found["model"].notna()].set_index(["statistic", "model"])
    assert {row[0] for row in rows} == set(found.loc[found["statistic"] == "judge_ballots", "model"])
    for row in rows:
        for cell, (statistic, unit) in zip(row[1:4], statistics.items(), strict=True):
            known = own.loc[(statistic, row[0])]
            numbers = Estimate(*known[["estimate", "low", "high"]])
            assert cell == f"{value(numbers.estimate, unit)}|{interval(numbers, unit)}; n {known['n']}"
        ballots = own.loc[("judge_ballots", row[0])]
        assert row[8] == f"{ballots['estimate']:,.0f}|none missing"


def judges_table(path: Path) -> list[list[str]]:
    section = path.read_text(encoding="utf-8").partition("The judges, one by one")[2].partition("</table>")[0]
    return [_cells(row) for row in section.split("</tr>") if "<tr>" in row]


@pytest.mark.reference
def test_of_the_published_debates_it_says_that_the_opposition_wins_by_one_judges_lean(
    reference: Path, tmp_path: Path
) -> None:
    imported = llms_overconfidence.read(reference / "two_llms_debate" / "experiments.tar.xz")
    crossed = imported.tables["matches"].query("condition == 'cross_model'")["match_id"]
    held = {name: table[table["match_id"].isin(crossed)] for name, table in imported.tables.items()}
    (tmp_path / "run" / "tables").mkdir(parents=True)
    frames.write(tmp_path / "run" / "tables", held)
    found = report(tmp_path / "run").words
    ratings = rated([tmp_path / "run"]).ratings
    share = f"{100 - 100 * (ratings.side_share.estimate or 0):.1f} %"
    low, points, high = (f"{-(end or 0):.0f}" for end in (ratings.side.high, ratings.side.estimate, ratings.side.low))
    assert (
        f"{share} of verdicts between equals go to the opposition: a side effect of {points} rating points "
        f"(95 % interval {low} to {high}). The opposition wins mostly by one judge’s lean: "
    ) in found
    assert " % of what the seat is worth is google/gemini-pro-1.5’s. Before each judge: google/gemini-pro-1.5 " in found
    assert re.search(f"side effect {share} [\\d.]+ to [\\d.]+ {points} {low} to {high}", found)


# ------------------------------------------------------------------ hostile names


def test_hostile_names_are_text_in_standings_matrix_graph_and_tables(tmp_path: Path) -> None:
    names = (f"x/{HOSTILE}", "</svg></style><script>alert(2)</script>", "plain", "$\\frac{1}{2}$")
    order = {name: place for place, name in enumerate(names)}

    def wins(one: str, other: str, topic: int) -> str:
        high, low = sorted((one, other), key=order.__getitem__)
        return high if topic % 3 else low

    folder = contest(tmp_path / "run", names, wins, topics=6, judge=HOSTILE)
    written = page.write([folder], folder)
    found = read(written.page)
    assert not {"script", "img", "iframe"} & {tag for tag, _ in found.tags}
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    assert {"standings", "matrix", "graph"} <= {path.stem for path in written.figures}
    assert "Its rating is" in found.words
    assert "\x1b" not in found.text
    assert "\u202e" not in found.text
    for path in written.figures:
        elements = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
        assert not {"script", "image", "foreignObject", "a"} & elements


# ------------------------------------------------------------------ runs to report on


def contest(
    folder: Path,
    agents: Sequence[str],
    wins: Callable[[str, str, int], str | None],
    *,
    topics: int = 9,
    condition: str = "test",
    judge: str = "judge",
) -> Path:
    """A run directory made of tables alone, in which all meet on every topic in both seats. `wins` gives who wins of a first and a
    second seat on a topic; None where they do not meet."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in frames.COLUMNS}
    for (one, other), topic in itertools.product(itertools.permutations(agents, 2), range(topics)):
        winner = wins(one, other, topic)
        if winner is None:
            continue
        seated = dict(zip(SIDES, (one, other), strict=True))
        choice = SIDES[winner == other]
        first, second = sorted((agents.index(one), agents.index(other)))
        ident = f"{condition}-{first}-{second}-{topic}"
        swapped = agents.index(one) > agents.index(other)
        match = {
            "match_id": f"{ident}-m" if swapped else ident,
            "condition": condition,
            "topic_id": f"t{topic}",
            "topic": "A motion.",
        }
        rows["matches"].append(
            {
                **match, "game": "debate", "status": "finished", "winner": choice, "decision": "most_votes",
                "mirror_of": ident if swapped else None,
            }
        )  # fmt: skip
        for seat, agent in {**seated, "judge": judge}.items():
            role = "judge" if seat == "judge" else "debater"
            rows["seats"].append({**match, "seat": seat, "role": role, "agent": agent, "model": agent})
        ballot = {"judge": judge, "model": judge, "ballot": 1, "order": "as_spoken", "choice": choice, "status": "ok"}
        rows["verdicts"].append({**match, **ballot})
    (folder / "tables").mkdir(parents=True)
    frames.write(folder / "tables", {name: frames.frame(name, some) for name, some in rows.items()})
    return folder
