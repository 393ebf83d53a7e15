"""Who judges what, in which order, told what: swapped ballots, families, balanced panels, and judges that go by order."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import SMALL, Arena, played
from hypothesis import given
from hypothesis import strategies as st
from playing import Seeded, experiment, play

import arena as package
from arena import config, driver, frames, rehearsal, run
from arena.composition import compose
from arena.match import Setting
from arena.settings import ConfigError
from arena.stats.record import Record
from arena.stats.report_card import report_card
from arena.table import swapped
from arena.testing import Exchange, serve_in_thread
from arena.types import Call, Completion, MatchSpec, Request, Utterance
from arena.verify import verify
from judges.balance import Bench, panels
from judges.families import family, impartial

PRO, OPP = "proposition", "opposition"

# ------------------------------------------------------------------ families


def table(*overrides: str) -> dict[str, str | None]:
    return compose(overrides)["families"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/gpt-4o-mini", "openai"),
        ("openai/o3-mini", "openai"),
        ("openai/ft:gpt-4o-mini:us", "openai"),
        ("openrouter/openai/gpt-5", "openai"),
        ("anthropic/claude-haiku-4-5", "anthropic"),
        ("openrouter/anthropic/claude-3.5-haiku", "anthropic"),
        ("litellm/bedrock/anthropic.claude-3", "anthropic"),
        ("openrouter/google/gemma-3-27b-it", "google"),
        ("openrouter/meta-llama/llama-3.1-8b", "meta"),
        ("openrouter/qwen/qwq-32b:free", "qwen"),
        ("lab/Qwen/Qwen2.5-72B", "qwen"),
        ("openrouter/deepseek/deepseek-r1-distill-qwen-14b:free", "deepseek"),
        ("openrouter/mistralai/mixtral-8x7b", "mistral"),
        ("openai/whatever-is-served-here", None),
        ("simulated/rational", None),
        ("simulated/qwen", None),
        ("scripted/claude", None),
    ],
)
def test_a_model_is_of_the_family_that_the_table_says(model: str, expected: str | None) -> None:
    assert family(model, table()) == expected


def test_the_table_can_be_added_to_and_put_right() -> None:
    changed = table("families={lab/*: ours, openai/gpt-4o-of-another*: null}")
    assert family("lab/any", changed) == "ours"
    assert family("openai/gpt-4o-of-another-1", changed) is None
    assert family("openai/gpt-4o", changed) == "openai"


def test_the_longest_pattern_counts_and_then_the_later() -> None:
    assert family("a/bcd", {"a/*": "short", "a/b*": "long", "*": "all"}) == "long"
    assert family("a/bcd", {"a/b*": "one", "?/b*": "later", "*/bc": "other"}) == "later"


def test_a_judge_of_no_family_may_judge_everybody() -> None:
    judges = {"x": "openai", "y": None, "z": "qwen"}
    assert impartial(judges, ["openai", None]) == ("y", "z")
    assert impartial(judges, [None, None]) == ("x", "y", "z")


# ------------------------------------------------------------------ balance

JUDGES = tuple("uvwxyz")
PAIRS = st.lists(st.sampled_from(list(combinations("abcde", 2))), max_size=60)


@given(PAIRS, st.integers(1, 6), st.integers(0, 9))
def test_where_all_may_judge_nobody_sits_more_than_once_more_than_another(
    pairs: list[tuple[str, str]], size: int, seed: int
) -> None:
    chosen = list(panels([Bench(pair, JUDGES) for pair in pairs], size, seed))
    assert all(len(set(panel)) == size and panel == tuple(sorted(panel)) for panel in chosen)
    sat = Counter(judge for panel in chosen for judge in panel)
    assert max(sat[judge] for judge in JUDGES) - min(sat[judge] for judge in JUDGES) <= 1


@given(
    st.lists(st.tuples(st.sampled_from(list(combinations("abcde", 2))), st.sets(st.sampled_from(JUDGES), min_size=2))),
    st.integers(0, 3),
    st.data(),
)
def test_a_panel_depends_on_nothing_that_comes_later(
    rows: list[tuple[tuple[str, str], set[str]]], seed: int, data: st.DataObject
) -> None:
    benches = [Bench(pair, sorted(eligible)) for pair, eligible in rows]
    chosen = list(panels(benches, 2, seed))
    assert all(set(panel) <= set(bench.eligible) for panel, bench in zip(chosen, benches, strict=True))
    first = data.draw(st.integers(0, len(benches)))
    assert list(panels(benches[:first], 2, seed)) == chosen[:first]


def test_judges_sit_equally_often_with_each_agent() -> None:
    """In a round robin of eight agents on five topics, within two benches; drawn by lot they are up to thirteen apart."""
    benches = [Bench(pair, JUDGES) for _ in range(5) for pair in combinations("abcdefgh", 2)]
    with_agent = Counter(
        (judge, agent)
        for bench, panel in zip(benches, panels(benches, 2, 0), strict=True)
        for judge in panel
        for agent in bench.agents
    )
    counts = [with_agent[judge, agent] for judge in JUDGES for agent in "abcdefgh"]
    assert max(counts) - min(counts) <= 4


def test_who_was_barred_does_not_make_up_for_it() -> None:
    """A judge that may not judge the first forty benches has its share of the next forty, not all of them."""
    benches = [Bench("ab", ("u", "v"))] * 40 + [Bench("cd", ("u", "v", "w"))] * 60
    later = Counter(judge for panel in list(panels(benches, 1, 0))[40:] for judge in panel)
    assert later == {"u": 20, "v": 20, "w": 20}


def test_too_few_who_may_sit_are_refused() -> None:
    with pytest.raises(ValueError, match="1 judges may sit on a bench that wants 2"):
        list(panels([Bench("ab", ("u",))], 2, 0))


# ------------------------------------------------------------------ who judges a match

FOUR = (
    "judge=panel",
    "judge.judges.g.model=openai/gpt-4o",
    "judge.judges.c.model=anthropic/claude-sonnet-4",
    "judge.judges.q.model=openrouter/qwen/qwen-max",
    "judge.judges.s.model=simulated/judge",
)
SEATED = ("seats.proposition.model=openai/gpt-4o-mini", "seats.opposition.model=anthropic/claude-haiku-4-5")


def matches(*overrides: str) -> tuple[MatchSpec, ...]:
    return config.experiment(compose([*FOUR, "topics.limit=2", *overrides])).matches


def test_nobody_judges_its_own_family_unless_it_is_allowed() -> None:
    assert {spec.judges for spec in matches(*SEATED)} == {("q", "s")}
    assert {spec.judges for spec in matches(*SEATED, "judge.own_family=true")} == {None}
    assert {spec.judges for spec in matches(*SEATED, "families={openai/gpt-4o-mini: mine}")} == {("g", "q", "s")}


def test_a_mirrored_pair_has_one_panel() -> None:
    agents = ("agents=none", "agents.a.model=openai/gpt-4o-mini", "agents.b.model=simulated/rational")
    for size in (1, 2):
        plan = matches(*agents, f"judge.size={size}", "schedule.repeats=3")
        by_id = {spec.id: spec.judges for spec in plan}
        pairs = [(spec.judges, by_id[spec.mirror_of]) for spec in plan if spec.mirror_of]
        assert len(pairs) == 6
        assert all(one == other for one, other in pairs)
        sat = Counter(judge for judges, _ in pairs for judge in judges or ())
        assert sat == dict.fromkeys("cqs", 2 * size)


def test_a_panel_of_which_nobody_may_judge_is_refused_with_what_would_do() -> None:
    with pytest.raises(ConfigError) as refused:
        config.experiment(compose(["judge=llm", "judge.judges.judge.model=openai/gpt-4o", *SEATED]))
    said = str(refused.value)
    for word in ("gpt-4o-mini (openai)", "claude-haiku-4-5 (anthropic)", "judge = openai/gpt-4o (openai)", "0 of 1"):
        assert word in said
    for remedy in ("judge.judges.NAME.model=", "judge.own_family=true", "families={"):
        assert remedy in said


def test_too_small_a_panel_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"2 of 4 may judge .* judge\.size=3 wants 3"):
        matches(*SEATED, "judge.size=3")
    with pytest.raises(ConfigError, match=r"judge\.size=5 wants 5 judges, and the panel has 4"):
        matches(*SEATED, "judge.size=5", "judge.own_family=true")


def test_a_tournament_that_pairs_by_results_is_refused_before_it_begins() -> None:
    agents = [f"agents.{name}.model={model}" for name, model in (("a", "openai/gpt-5"), ("b", "lab/claude-x"))]
    others = [f"agents.{name}.model=simulated/rational" for name in "cdef"]
    panel = ("judge=panel", "judge.judges.g.model=openai/gpt-4o", "judge.judges.c.model=anthropic/claude-sonnet-4")
    with pytest.raises(ConfigError, match=r"a vs b: .* 0 of 2 may judge"):
        config.experiment(compose(["agents=none", *agents, *others, *panel, "schedule=swiss"]))


# ------------------------------------------------------------------ both orders


def sent(tmp_path: Path, **params: Any) -> dict[str, Request]:
    """The request of each seat's last call in the first match."""
    made, model = experiment("debate", tmp_path, **params), Seeded(malformed=0.0, failing=0.0)
    play(made, tmp_path / "run", model)
    return {
        request.occasion.ask.seat: request
        for request in model.requests
        if request.occasion.match_seed == made.matches[0].seed
    }


def heard(request: Request) -> list[tuple[str, str]]:
    """Whose speeches stand in a prompt, and of which phase, in order."""
    return re.findall(r'<heard from="(\w+)" speech="(\w+)">', request.messages[-1].content)


@pytest.mark.parametrize("order", ["simultaneous", "sequential"])
@pytest.mark.parametrize("private", ["joint", "before", "after"])
def test_a_swapped_ballot_reads_each_round_the_other_way_round(tmp_path: Path, order: str, private: str) -> None:
    requests = sent(tmp_path, order=order, private_confidence=private, public_confidence=True)
    phases = ("opening", "rebuttal", "closing")
    assert heard(requests["x/1"]) == [(side, phase) for phase in phases for side in (PRO, OPP)]
    assert heard(requests["x/1/swapped"]) == [(side, phase) for phase in phases for side in (OPP, PRO)]


def test_a_swapped_ballot_is_told_the_same_and_no_more(tmp_path: Path) -> None:
    """Every line of either prompt stands in the other, but for those that name both sides."""
    requests = sent(tmp_path, public_confidence=True)
    one, other = (
        sorted(line for line in requests[seat].messages[-1].content.splitlines() if not (PRO in line and OPP in line))
        for seat in ("x/1", "x/1/swapped")
    )
    assert one == other
    assert requests["x/1"].messages[0] == requests["x/1/swapped"].messages[0]
    assert "<winner>proposition or opposition</winner>" in requests["x/1"].messages[-1].content
    assert "<winner>opposition or proposition</winner>" in requests["x/1/swapped"].messages[-1].content


def test_what_a_judge_said_itself_is_not_turned() -> None:
    """A judge that is asked between the speeches of a round keeps its prompt growing at its end."""

    def said(step: int, seat: str, round_: int) -> Utterance:
        return Utterance(step, round_, "p", seat, "speech", (), "words", "words", "words")

    live = [said(0, "a", 1), said(1, "j", 1), said(2, "b", 1), said(3, "c", 1), said(3, "c", 1), said(4, "a", 2)]
    turned = swapped(live, "j")
    assert [(u.step, u.seat) for u in turned] == [(0, "a"), (1, "j"), (3, "c"), (3, "c"), (2, "b"), (4, "a")]
    assert swapped(turned, "j") == live


def test_a_ballot_has_a_seat_in_each_order_that_it_is_cast_in() -> None:
    expected = {"as_spoken": ["s/1"], "swapped": ["s/1/swapped"], "both": ["s/1", "s/1/swapped"]}
    for orders, seats in expected.items():
        overrides = ["judge=panel", "judge.judges.s.model=simulated/judge", f"judge.orders={orders}", "topics.limit=1"]
        made = config.experiment(compose(overrides))
        match = Setting(made).match(made.matches[0])
        assert [seat.name for seat in match.seats if seat.role == "judge"] == seats
        assert set(match.agents) == {PRO, OPP, *seats}


# ------------------------------------------------------------------ what a judge is asked and told


def verdict_prompts(*overrides: str) -> list[str]:
    """What a judge is sent for a ballot, in either order."""
    made = config.experiment(compose([*SMALL, "judge=panel", "judge.judges.x.model=simulated/judge", *overrides]))
    prompts: list[str] = []

    def listening(call: Call) -> Completion:
        if call.request.occasion.ask.role == "judge":
            prompts.append(call.request.messages[-1].content)
        return rehearsal.stand_in(call)

    rehearsal.play(Setting(made), made.matches[0], listening)
    return prompts


def test_a_judge_reasons_before_it_decides_or_only_decides() -> None:
    assert all("work through the main clashes" in prompt for prompt in verdict_prompts())
    for prompt in verdict_prompts("judge.reasoning=false"):
        assert "clashes" not in prompt
        assert "nothing else" in prompt
        assert "<winner>" in prompt


def test_a_judge_is_told_the_words_that_each_side_spoke_or_not() -> None:
    assert all(" words" not in prompt for prompt in verdict_prompts())
    spoken, turned = verdict_prompts("judge.length_told=true")
    words = {
        side: sum(
            len(text.split())
            for text in re.findall(rf'<heard from="{side}" [^>]*>\n(.*?)\n</heard>', spoken, re.DOTALL)
        )
        for side in (PRO, OPP)
    }
    assert f"the {PRO} spoke {words[PRO]} words, the {OPP} spoke {words[OPP]} words" in spoken
    assert f"the {OPP} spoke {words[OPP]} words, the {PRO} spoke {words[PRO]} words" in turned


# ------------------------------------------------------------------ a judge that always prefers whom it hears first


def test_who_always_prefers_the_first_speaker_gives_half_to_each_side_and_flips_always(tmp_path: Path) -> None:
    panel = ("judge=panel", "judge.judges.first.model=simulated/first_judge", "judge.judges.fair.model=simulated/judge")
    folder = played(tmp_path, *panel, "topics.limit=4", "judge.ballots=2", "families={simulated/first*: rat, simulated/esc*: rat}",
                    "judge.own_family=true")  # fmt: skip
    records = package.statistics(folder)
    (own,) = [row for row in report_card(_records(records)) if row.judge == "simulated/first_judge"]
    assert own.side_share is not None
    assert (own.side_share.estimate, own.side_share.n) == (0.5, 8)
    assert own.flip_rate is not None
    assert (own.flip_rate.estimate, own.flip_rate.high) == (1.0, 1.0)
    assert own.order_effect is not None
    assert own.order_effect.estimate == 1.0
    assert own.consistency is not None
    assert own.consistency.estimate == 1.0
    assert own.family_effect is not None
    tables = frames.read(folder / "tables")
    side = tables["seats"].query("model == 'simulated/escalating'").set_index("match_id")["seat"]
    cast = tables["verdicts"][tables["verdicts"]["match_id"].isin(side.index)]
    named = (cast["choice"] == cast["match_id"].map(side)).groupby([cast["match_id"], cast["judge"]]).mean().unstack()
    assert own.family_effect.estimate == pytest.approx((named["first"] - named["fair"]).mean())
    assert (own.family_effect.n, own.family_effect.missing) == (len(side), 0)
    assert own.panel_agreement is not None
    assert own.ballots is not None
    assert (own.ballots.estimate, own.ballots.n, own.ballots.missing) == (32, 32, 0)
    seats = tables["seats"]
    assert set(seats.loc[seats["family"] == "rat", "model"]) == {"simulated/first_judge", "simulated/escalating"}
    found = verify(_opened(folder))
    assert found.findings == ()
    assert found.views == found.calls


def _records(frame: Any) -> list[Record]:
    plain = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [Record(**{key: row[key] for key in Record.__dataclass_fields__}) for row in plain]


def _opened(folder: Path) -> run.Run:
    return run.Run(folder, Setting(config.experiment(config.load(folder), folder)))


def by_order(exchange: Exchange) -> str:
    """Judges prefer whose speech stands first in what they were sent; debaters speak."""
    last = exchange.messages[-1].content
    if exchange.model != "judge":
        return "A speech.\n<private_reasoning>So.</private_reasoning><private_confidence>60</private_confidence>"
    first = re.search(r'<heard from="(\w+)"', last)
    assert first is not None
    return f"It came first.\n<winner>{first.group(1)}</winner><confidence>90</confidence>"


def test_over_http_too_a_judge_that_goes_by_order_flips_always(tmp_path: Path) -> None:
    with serve_in_thread(responder=by_order) as served:
        overrides = [
            "topics.limit=2", "seats.proposition.model=openai/a", "seats.opposition.model=openai/b", "judge=llm",
            "judge.judges.judge.model=openai/judge", f"provider.openai.base_url={served.url}", "provider.openai.key_env=null",
        ]  # fmt: skip
        made = config.experiment(compose(overrides))
        opened = run.begin(tmp_path / "run", made, config.sections(made), {})
        assert (
            asyncio.run(driver.play(opened, config.sections(made), driver.ready(opened.setting), quiet=True))
            == "finished"
        )
        run.finish(opened, "finished")
    found = package.statistics(tmp_path / "run").query("model == 'openai/judge'").set_index("statistic")
    assert found.loc["judge_side_share", ["estimate", "n"]].tolist() == [0.5, 4]
    assert found.loc["judge_flip_rate", ["estimate", "n"]].tolist() == [1.0, 4]
    assert set(frames.read(tmp_path / "run" / "tables")["matches"]["decision"]) == {"tie"}


# ------------------------------------------------------------------ runs that were recorded before

NEW = ("orders", "own_family", "size", "reasoning", "length_told")
OLD_VERDICT = """\
The debate is over. Decide between {{ options | join(' and ') }}.
<{{ form.verdict.choice_tag }}>{{ options | join(' or ') }}</{{ form.verdict.choice_tag }}>
<{{ form.verdict.probability_tag }}>a number from 0 to 100</{{ form.verdict.probability_tag }}>
"""


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose configuration knows none of what is new, with judges of the debaters' own family; not yet begun."""
    monkeypatch.chdir(tmp_path)
    resolved = compose([*SMALL, "name=old"])
    for key in NEW:
        del resolved["judge"][key]
    del resolved["families"]
    resolved["judge"]["prompts"]["verdict"] = OLD_VERDICT
    made = config.experiment(resolved)
    run.begin(Path("runs/old"), made, config.sections(made), {})
    return Path("runs/old")


def test_an_older_run_resumes_verifies_and_is_judged_as_it_was(old: Path, arena: Arena) -> None:
    plain = yaml.safe_load((old / "experiment.yaml").read_text())
    assert not {*NEW} & {*plain["judge"]}
    assert "families" not in plain
    assert arena("resume", old, "--quiet").code == 0
    assert arena("log", "verify", old).code == 0
    tables = frames.read(old / "tables")
    assert set(tables["verdicts"]["order"]) == {"as_spoken"}
    judges = tables["seats"].query("role == 'judge'")
    assert set(judges["seat"]) == {"fair/1", "leaning/1", "noisy/1"}
    assert judges["family"].isna().all()


def test_an_older_run_can_be_judged_again_in_both_orders_by_a_part_of_a_panel(old: Path, arena: Arena) -> None:
    assert arena("resume", old, "--quiet").code == 0
    said = arena("rejudge", old, "judge.size=2", "name=again", "--quiet")
    assert said.code == 0, said.err
    assert arena("log", "verify", "runs/again").code == 0
    cast = frames.read(Path("runs/again/tables"))["verdicts"]
    assert cast.groupby("match_id")["judge"].nunique().tolist() == [2, 2]
    orders = cast.groupby(["match_id", "judge"])["order"].agg(lambda read: " ".join(sorted(read)))
    assert set(orders) == {"as_spoken swapped"}
    assert cast.groupby("judge")["match_id"].nunique().tolist() == [2, 2]


def test_a_run_whose_families_are_changed_is_not_resumed(old: Path, arena: Arena, tmp_path: Path) -> None:
    folder = played(tmp_path, name="new")
    path = folder / "experiment.yaml"
    plain = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(plain | {"families": {"simulated/judge": "mine"}}))
    said = arena("resume", folder)
    assert said.code == 2
    assert "judge changed" in said.err
