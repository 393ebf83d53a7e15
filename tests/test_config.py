"""From words on a command line and files in folders to one experiment, or to a sentence that says what is wrong."""

from __future__ import annotations

import copy
import json
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arena import config, inputs, run
from arena.forms import Chosen, Confidence, Parts, Verdict
from arena.match import Setting
from arena.plan import plan
from arena.replay import Walk
from arena.settings import ConfigError, Topics
from arena.types import Call, Completion, Experiment, Form, MatchSpec
from arena.wording import WordingError

CONF = config.conf_dir()
EXPERIMENTS = sorted(
    str(path.relative_to(CONF / "experiment").with_suffix("")) for path in (CONF / "experiment").rglob("*.yaml")
)


@cache
def _composed(*overrides: str) -> dict[str, Any]:
    return config.compose(overrides)


def composed(*overrides: str) -> dict[str, Any]:
    """A configuration to change at will."""
    return copy.deepcopy(_composed(*overrides))


def made(*overrides: str) -> Experiment:
    return config.experiment(composed(*overrides))


def wrong(*overrides: str) -> str:
    """What is said of overrides that do not make an experiment."""
    with pytest.raises(ConfigError) as refused:
        config.experiment(config.compose(overrides))
    return str(refused.value)


Edit = Callable[[dict[str, Any]], None]


def put(path: str, value: Any) -> Edit:
    """An edit that sets a value under a dotted path."""

    def edit(resolved: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        node: Any = resolved
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node[part]
        node[int(last) if isinstance(node, list) else last] = value

    edit.__name__ = f"{path}={value!r:.20}"
    return edit


def base() -> dict[str, Any]:
    """One match between two models, and a judge."""
    resolved = composed("topics.limit=1")
    resolved["agents"] = {name: {"model": f"openai/{name}"} for name in ("one", "two")}
    resolved["judge"]["judges"] = {"fair": {"model": "openai/judge"}}
    resolved["schedule"]["mirrored"] = False
    return resolved


def edited(resolved: Mapping[str, Any], *edits: Edit) -> Experiment:
    changed = copy.deepcopy(dict(resolved))
    for edit in edits:
        edit(changed)
    return config.experiment(changed)


def wrongly(*edits: Edit) -> str:
    """What is said of edits that make no experiment."""
    with pytest.raises(ConfigError) as refused:
        edited(composed("topics.limit=1"), *edits)
    return str(refused.value)


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# ------------------------------------------------------------------ what is shipped


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_shipped_experiment_composes_and_its_prompts_can_be_filled_in(name: str, tmp_path: Path) -> None:
    rows = "match,topic,proposition,opposition\n7,A motion.,openai/replay/7/proposition,openai/replay/7/opposition\n"
    listed = [f"matches={write(tmp_path / 'matches.csv', rows)}"] if name.endswith("replayed") else []
    experiment = made(f"experiment={name}", *listed)
    assert plan(Setting(experiment)).calls > 0


def test_the_replayed_study_seats_what_the_list_names(tmp_path: Path) -> None:
    rows = "match,topic,proposition,opposition\n7,A motion.,openai/replay/7/proposition,openai/replay/7/opposition\n"
    path = write(tmp_path / "matches.csv", rows)
    (spec,) = made("experiment=two_llms_debate/replayed", f"matches={path}").matches
    assert (spec.name, spec.question.text) == ("7", "A motion.")
    assert {seat: agent.model for seat, agent in spec.players.items()} == {
        "proposition": "openai/replay/7/proposition",
        "opposition": "openai/replay/7/opposition",
    }


CONDITIONS: dict[str, dict[str, Any]] = {
    "cross_model": {"told": "nothing", "public_confidence": False, "own_confidence": "shown"},
    "self_debate": {"told": "equal_copy"},
    "informed_self": {"told": "even_odds", "own_confidence": "hidden"},
    "public_bets": {"told": "equal_copy", "public_confidence": True, "private": "off"},
    "self_redteam": {"reasoning": "both_outcomes", "own_confidence": "hidden"},
    "multi_round": {"phases": ("opening", "rebuttal", "rebuttal_2", "closing"), "order": "sequential"},
    "private_and_public": {"private": "before", "public_confidence": True},
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_of_the_study_differs_in_what_it_says(condition: str) -> None:
    experiment = made(f"experiment=two_llms_debate/{condition}")
    assert experiment.condition == condition
    assert {name: getattr(experiment.params, name) for name in CONDITIONS[condition]} == CONDITIONS[condition]


@pytest.mark.parametrize("folder", sorted(path.name for path in CONF.iterdir() if path.is_dir()))
def test_every_shipped_file_is_a_mapping(folder: str) -> None:
    for path in (CONF / folder).rglob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict), path


MOTIONS: list[dict[str, str]] = yaml.safe_load((CONF / "topics" / "motions.yaml").read_text(encoding="utf-8"))[
    "questions"
]


def test_there_are_thirty_motions_or_more() -> None:
    assert len(MOTIONS) >= 30


@pytest.mark.parametrize("of", ["id", "text"])
def test_no_motion_stands_there_twice(of: str) -> None:
    assert max(Counter(motion[of].casefold() for motion in MOTIONS).values()) == 1


@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: motion["id"])
def test_a_motion_is_a_sentence_of_one_line_under_a_plain_id(motion: dict[str, str]) -> None:
    assert set(motion) == {"id", "text"}
    assert set(motion["id"]) <= set(string.ascii_lowercase + string.digits + "_")
    text = motion["text"]
    assert text == " ".join(text.split())
    assert text.startswith("This house ")
    assert text.endswith(".")
    assert 40 <= len(text) <= 400


# ------------------------------------------------------------------ the user's own folder


MINE = "# @package _global_\ncondition: mine\ntopics: {limit: 1}\n"
MY_TOPICS = "name: mine\nlimit: null\nquestions:\n  - {id: own, text: This house would.}\n"


def test_a_conf_folder_where_one_stands_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "conf" / "experiment" / "mine.yaml", MINE)
    monkeypatch.chdir(tmp_path)
    assert config.compose(["experiment=mine"])["condition"] == "mine"


def test_an_empty_conf_folder_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    assert config.compose() == _composed()


def test_a_folder_named_on_the_command_line_is_searched_in_place_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "conf" / "experiment" / "mine.yaml", MINE)
    write(tmp_path / "other" / "experiment" / "mine.yaml", MINE.replace("mine", "other"))
    monkeypatch.chdir(tmp_path)
    assert config.compose(["experiment=mine"], Path("other"))["condition"] == "other"


def test_a_users_experiment_may_build_on_ours(tmp_path: Path) -> None:
    defaults = "defaults:\n  - /experiment/two_llms_debate/public_bets\n"
    write(tmp_path / "experiment" / "mine.yaml", MINE.replace("condition", f"{defaults}condition"))
    resolved = config.compose(["experiment=mine"], tmp_path)
    assert (resolved["condition"], resolved["game"]["params"]["public_confidence"]) == ("mine", True)


def test_a_users_topics_can_be_chosen_by_name(tmp_path: Path) -> None:
    write(tmp_path / "topics" / "mine.yaml", MY_TOPICS)
    experiment = config.experiment(config.compose(["topics=mine"], tmp_path))
    assert {spec.question.id for spec in experiment.matches} == {"own"}


def test_a_users_file_of_the_same_name_stands_before_ours(tmp_path: Path) -> None:
    write(tmp_path / "topics" / "motions.yaml", MY_TOPICS)
    assert [topic["id"] for topic in config.compose((), tmp_path)["topics"]["questions"]] == ["own"]


def test_a_user_can_change_a_single_prompt_and_keep_the_others(tmp_path: Path) -> None:
    write(tmp_path / "game" / "mine.yaml", "defaults:\n  - debate\n  - _self_\nprompts: {opening: Begin.}\n")
    prompts = config.compose(["game=mine"], tmp_path)["game"]["prompts"]
    assert prompts == composed()["game"]["prompts"] | {"opening": "Begin."}


def test_an_unknown_experiment_lists_the_users_own_too(tmp_path: Path) -> None:
    write(tmp_path / "experiment" / "mine.yaml", MINE)
    with pytest.raises(ConfigError, match=r"\bmine\b.*two_llms_debate/cross_model"):
        config.compose(["experiment=zork"], tmp_path)


@pytest.mark.parametrize("broken", ["condition: [", "\tcondition: x"])
def test_a_users_file_that_is_no_yaml_is_named(tmp_path: Path, broken: str) -> None:
    """Behind the first bug waits another: the YAML error is not translated."""
    path = write(tmp_path / "experiment" / "mine.yaml", broken)
    with pytest.raises(ConfigError, match=path.name):
        config.compose(["experiment=mine"], tmp_path)


def test_a_config_dir_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config-dir .*nowhere is not a folder"):
        config.compose((), tmp_path / "nowhere")


# ------------------------------------------------------------------ mistakes

MISTAKES: dict[str, tuple[str, ...]] = {
    "topics.limt=1": ("topics.limt", "there is no such key", "limit, name, questions"),
    "zork=1": ("zork", "there is no such key", "agents, attempts, budget"),
    "+zork=1": ("zork", "there is no such key", "agents, attempts, budget"),
    "seats.proposition.modle=a/b": ("seats.proposition.modle", "did you mean 'model'"),
    "game.params.zork=1": ("game.params.zork", "there is no such key", "rebuttals"),
    "experiment=zork": ("experiment=zork", "no such experiment", "two_llms_debate/cross_model"),
    "experiment=two_llms_debate/zork": ("experiment=two_llms_debate/zork", "two_llms_debate/cross_model"),
    "schedule=zork": ("schedule=zork", "active, explicit, ladder, random, round_robin, self, swiss"),
    "game=zork": ("game=zork", "debate, matchup, rejudge"),
    "judge=panle": ("judge=panle", "did you mean 'panel'"),
    "topics=zork": ("topics=zork", "file, motions"),
    "agents=zork": ("agents=zork", "simulated, two_llms_debate"),
    "topics=file": ("topics.file",),
    "schedule=explicit": ("matches=FILE.csv",),
    "topics.limit": ("topics.limit",),
    "seed=0,1": ("seed=0,1", "--multirun"),
    "attempts=many": ("attempts", "integer", "'many'"),
    "topics.limit=none": ("topics.limit", "integer", "'none'"),
    "name=../x": ("name", "'../x'", "plain word"),
    "+seats.listener={model: a/b}": ("seats.listener", "no such seat", "proposition, opposition"),
    "+seats.proposition._target_=os.system": ("seats.proposition._target_", "there is no such key"),
    # Not yet named well:
    "seats.judge.model=a/b": ("no such key", "proposition"),
    "zork.limit=1": ("no such key", "topics"),
    "agents=3": ("agents",),
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_on_the_command_line_is_named_with_what_was_allowed(override: str) -> None:
    said = wrong(override)
    assert [word for word in MISTAKES[override] if word not in said] == [], said


WRONG_VALUES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "seats.proposition.modle": ("a/b", ("did you mean 'model'",)),
    "seats.proposition.temperature": ("hot", ("number", "'hot'")),
    "seats.proposition.top_p": (1.1, ("less than or equal to 1", "1.1")),
    "seats.opposition.top_p": (0, ("greater than 0",)),
    "seats.opposition.temperature": (-1, ("greater than or equal to 0", "-1")),
    "seats.opposition.max_output_tokens": (0, ("greater than 0", "0")),
    "game.params.zork": (1, ("there is no such key", "rebuttals")),
    "game.params.tags.zork": (1, ("there is no such key", "private_confidence")),
    "game.params.order": ("zork", ("'simultaneous' or 'sequential'", "'zork'")),
    "game.params.private_confidence": (False, ("'off'", "False")),
    "game.params.rebuttals": ("x", ("integer", "'x'")),
    "judge.rule": ("zork", ("'most_votes' or 'larger_sum'", "'zork'")),
    "judge.ballots": (0, ("greater than or equal to 1", "0")),
    "judge.judges.fair.model": (None, ("string",)),
    "limits.zork": (1, ("there is no such key", "concurrency")),
    "limits.concurrency": (0, ("greater than or equal to 1",)),
    "limits.timeout_s": (-1, ("greater than 0", "-1")),
    "provider.openai.zork": (1, ("there is no such key",)),
    "provider.openai.api": ("zork", ("'zork'", "anthropic")),
    "attempts": (0, ("greater than or equal to 1", "0")),
    "topics.limit": (0, ("greater than or equal to 1", "0")),
    "topics.questions.0.text": ("", ("at least 1 character",)),
    "seed": (0.5, ("integer", "0.5")),
    "seats": (3, ("dictionary", "3")),
    "limits": (3, ("dictionary", "3")),
    "schedule.repeats": (0, ("greater than or equal to 1",)),
}


@pytest.mark.parametrize("key", WRONG_VALUES)
def test_a_wrong_value_is_named_with_its_key_and_what_was_allowed(key: str) -> None:
    value, words = WRONG_VALUES[key]
    said = wrongly(put(key, value))
    assert key.rpartition(".")[2] in said
    assert key.split(".")[0] in said
    assert [word for word in words if word not in said] == [], said


def test_an_unknown_game_or_schedule_lists_those_there_are() -> None:
    assert "'zork'" in (said := wrongly(put("game.name", "zork")))
    assert "debate, matchup, rejudge" in said
    assert "round_robin, self" in wrongly(put("schedule.name", "zork"))


def test_a_helper_is_no_schedule() -> None:
    wrongly(put("schedule.name", "meeting"))


def test_a_tie_goes_to_a_side_that_there_is() -> None:
    assert "proposition" in wrongly(put("judge.tie", "zork"))


def test_two_topics_of_one_id_are_refused() -> None:
    questions = [{"id": "a", "text": "One."}, {"id": "a", "text": "Two."}]
    assert "'a' stands there twice" in wrongly(put("topics.questions", questions), put("topics.limit", None))


def test_an_experiment_without_topics_is_refused() -> None:
    assert "nothing to play" in wrongly(put("topics.questions", []))


def test_a_list_of_matches_needs_the_schedule_that_plays_it() -> None:
    said = wrongly(put("matches", "some.csv"))
    assert "matches=some.csv goes with schedule=explicit, not round_robin" in said


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "..", ".", ".hidden", "", "a b", "a\nb", "-x"])
def test_a_name_that_is_a_path_or_no_word_is_refused(name: str) -> None:
    assert f"name: {name!r} must be a plain word" in wrongly(put("name", name))


@pytest.mark.parametrize("name", ["mine", "2026-08-01", "a.b", "x+y=z,w", "\u00fcber"])
def test_a_name_that_is_a_word_is_taken(name: str) -> None:
    assert edited(base(), put("name", name)).name == name


@pytest.mark.parametrize("key", ["attempts", "seats.proposition.temperature", "judge.rule", "name"])
def test_a_mistake_takes_a_line_without_the_configuration_in_it(key: str) -> None:
    said = wrongly(put(key, "../x"))
    assert "\n" not in said
    assert "{" not in said


def test_several_mistakes_are_all_named() -> None:
    said = wrongly(put("attempts", 0), put("seed", "x"), put("limits.zork", 1))
    assert [line.partition(":")[0] for line in said.splitlines()] == ["seed", "attempts", "limits.zork"]


@pytest.mark.parametrize("condition", ["../../x", "a/b", "/tmp/x"])
def test_a_condition_that_cannot_name_a_run_is_refused(condition: str) -> None:
    assert "condition" in wrongly(put("condition", condition))


def test_a_name_may_be_a_number() -> None:
    assert made("name=2026").name == "2026"


def test_a_name_may_be_quoted() -> None:
    assert made("name='2026'").name == "2026"


# ------------------------------------------------------------------ prompts


@pytest.mark.parametrize("text", ["{{ zork ", "{% if %}", "{% zork %}", "{{ 1 + }}"])
def test_a_prompt_that_is_no_template_is_named(text: str) -> None:
    resolved = composed()
    resolved["game"]["prompts"]["opening"] = text
    with pytest.raises(ConfigError, match="prompt 'opening' is no template"):
        config.experiment(resolved)


NONSENSE = {
    "a fact that is not there": "{{ zork }}",
    "an attribute that is not there": "{{ question.zork.zork }}",
    "what the sandbox forbids": "{{ [].append.__globals__ }}",
}
WORSE_NONSENSE = {
    "a division by zero": "{{ 1 / 0 }}",
    "words that cannot be added": "{{ 1 + 'a' }}",
    "a loop without end": "{% for i in range(10**9) %}x{% endfor %}",
    "a filter that cannot": "{{ question | round }}",
}


def _with(prompt: str, text: str) -> Experiment:
    resolved = composed("topics.limit=1")
    resolved["game"]["prompts"][prompt] = text
    return config.experiment(resolved)


@pytest.mark.parametrize("text", NONSENSE.values(), ids=NONSENSE)
def test_a_prompt_that_cannot_be_filled_in_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="prompt 'opening' cannot be filled in"):
        _with("opening", text)


@pytest.mark.parametrize("text", WORSE_NONSENSE.values(), ids=WORSE_NONSENSE)
def test_a_prompt_that_fails_in_another_way_is_named_too(text: str) -> None:
    with pytest.raises(ConfigError, match="prompt 'opening' cannot be filled in"):
        _with("opening", text)


@pytest.mark.parametrize("prompt", ["debater", "opening", "closing", "private_confidence", "heard", "again"])
def test_a_prompt_that_cannot_be_filled_in_is_refused_before_anything_is_played(prompt: str) -> None:
    with pytest.raises((ConfigError, WordingError), match=prompt):
        _with(prompt, "{{ zork }}")


def test_a_prompt_that_is_missing_is_refused_before_anything_is_played() -> None:
    with pytest.raises((ConfigError, WordingError), match="rebuttal"):
        made("~game.prompts.rebuttal")


@settings(max_examples=10)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@example("\x85\u2028\u2029\ufeff\x00\x1b")
@example("a: b\n- c\n  # d\n\t'\" \n")
@example("1e3")
@example("no")
@example("${seed}")
def test_any_words_survive_the_way_through_a_run_directory(
    tmp_path_factory: pytest.TempPathFactory, words: str
) -> None:
    experiment = edited(base(), put("seats.proposition.system", words))
    folder = tmp_path_factory.mktemp("run") / "played"
    run.begin(folder, experiment, config.sections(experiment), {})
    assert config.load(folder) == dict(experiment.resolved) | {"name": "played"}


def test_recorded_words_stay_as_they_are_when_something_else_is_changed(tmp_path: Path) -> None:
    experiment = edited(base(), put("seats.proposition.system", "It costs ${seed}."))
    run.begin(tmp_path / "played", experiment, config.sections(experiment), {})
    assert config.load(tmp_path / "played", ["seed=1"])["seats"]["proposition"]["system"] == "It costs ${seed}."


# ------------------------------------------------------------------ who sits where


def players(spec: MatchSpec) -> dict[str, str]:
    return {seat: agent.model for seat, agent in spec.players.items()}


@pytest.mark.parametrize(
    "model",
    [
        "openai/gpt-4o",
        "openrouter/qwen/qwq-32b:free",
        "openai/replay-judge/qwen_qwq-32b/0",
        "litellm/bedrock/us.anthropic.claude-3-5-sonnet-20240620-v1:0",
        "openai/ft:gpt-4o-mini-2024-07-18:my-org:custom:id",
        "openai/hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
        "openai/accounts/fireworks/models/llama-v3p1@2024",
    ],
)
def test_a_model_id_is_a_plain_value_on_the_command_line(model: str) -> None:
    specs = made(f"seats.proposition.model={model}", "seats.opposition.model=simulated/rational", "topics.limit=1")
    assert [players(spec) for spec in specs.matches] == [
        {"proposition": model, "opposition": "simulated/rational"},
        {"proposition": "simulated/rational", "opposition": model},
    ]


def test_a_filled_seat_meets_every_agent() -> None:
    specs = made("seats.proposition.model=openai/gpt-4o", "topics.limit=1").matches
    assert [players(spec)["opposition"] for spec in specs if not spec.mirror_of] == [
        "simulated/escalating",
        "simulated/overconfident",
        "simulated/rational",
    ]


def test_a_filled_seat_takes_its_settings_along_when_sides_are_swapped() -> None:
    first, mirror = made(
        "seats.proposition.model=openai/gpt-4o",
        "seats.proposition.temperature=0.5",
        "seats.proposition.system=Be brief.",
        "seats.opposition.model=simulated/rational",
        "topics.limit=1",
    ).matches
    assert first.players["proposition"] == mirror.players["opposition"]
    assert mirror.players["opposition"].system == "Be brief."
    assert mirror.players["opposition"].sampling.temperature == 0.5
    assert mirror.players["proposition"].sampling.temperature is None


def test_the_settings_of_a_seat_without_a_model_are_added_to_whoever_sits_there() -> None:
    specs = made("seats.proposition.temperature=0.7", "topics.limit=1").matches
    assert {spec.players["proposition"].sampling.temperature for spec in specs} == {0.7}
    assert {spec.players["opposition"].sampling.temperature for spec in specs} == {None}
    assert len({spec.players["proposition"].name for spec in specs}) == 3


def test_an_agents_own_settings_stay_where_the_seat_says_nothing() -> None:
    agent = "+agents.rational={temperature: 0.1, top_p: 0.9}"
    specs = made(agent, "seats.proposition.temperature=0.7", "topics.limit=1").matches
    seated = next(s.players["proposition"] for s in specs if s.players["proposition"].name == "rational")
    assert (seated.sampling.temperature, seated.sampling.top_p) == (0.7, 0.9)


def test_one_model_with_two_settings_is_two_agents_with_two_names() -> None:
    specs = made(
        "seats.proposition.model=openai/gpt-4o",
        "seats.opposition.model=openai/gpt-4o",
        "seats.opposition.temperature=0",
        "topics.limit=1",
    ).matches
    assert len(specs) == 2
    assert {agent.name for agent in specs[0].players.values()} == {
        "openai/gpt-4o (proposition)",
        "openai/gpt-4o (opposition)",
    }


def test_one_model_in_both_seats_alike_plays_itself_once_a_topic() -> None:
    specs = made("seats.proposition.model=openai/gpt-4o", "seats.opposition.model=openai/gpt-4o", "topics.limit=2")
    assert len(specs.matches) == 2


@pytest.mark.parametrize("limit", [1, 3])
def test_a_limit_takes_the_first_topics(limit: int) -> None:
    topics = dict.fromkeys(spec.question.id for spec in made(f"topics.limit={limit}").matches)
    assert list(topics) == [motion["id"] for motion in MOTIONS[:limit]]


# ------------------------------------------------------------------ refused parameters


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("openai/o3-mini", None),
        ("openai/gpt-5-mini", None),
        ("openrouter/openai/o3-mini", None),
        ("openai/gpt-4o", 0.5),
        ("openrouter/openai/gpt-4o", 0.5),
        ("anthropic/claude-sonnet-4-5", 0.5),
    ],
)
def test_a_parameter_that_a_model_refuses_is_not_sent(model: str, sent: float | None) -> None:
    experiment = edited(base(), put("agents.one", {"model": model, "temperature": 0.5}))
    assert experiment.matches[0].players["proposition"].sampling.temperature == sent
    told = [f"{model} refuses temperature: 0.5 is not sent"] if sent is None else []
    assert list(experiment.refused) == told


@pytest.mark.parametrize(
    "overrides",
    [
        ["+agents.rational={model: openai/o3-mini, temperature: 0.5}"],
        ["+judge.judges.fair={model: openai/o3-mini, temperature: 0.5}"],
        ["seats.proposition={model: openai/o3-mini, temperature: 0.5}"],
        ["agents.rational.model=openai/o3-mini", "seats.proposition.temperature=0.5"],
    ],
)
def test_what_is_not_sent_is_said_wherever_it_was_set(overrides: list[str]) -> None:
    assert list(made(*overrides, "topics.limit=1").refused) == ["openai/o3-mini refuses temperature: 0.5 is not sent"]


def test_what_a_model_refuses_is_the_users_to_say() -> None:
    experiment = edited(
        base(),
        put("agents.one.temperature", 0.5),
        put("provider.openai.refused", {"one": ["temperature"]}),
    )
    assert list(experiment.refused) == ["openai/one refuses temperature: 0.5 is not sent"]


@pytest.mark.parametrize("whom", ["agents.rational", "judge.judges.fair"])
def test_an_agent_or_judge_is_set_like_a_seat(whom: str) -> None:
    assert made(f"{whom}.temperature=0.5", "topics.limit=1")


# ------------------------------------------------------------------ topics from a file


def topics(path: Path, **how: Any) -> list[tuple[str, str]]:
    return [(q.id, q.text) for q in inputs.questions(Topics(name="file", file=str(path), **how), None)]


def refused_topics(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        topics(path)
    return str(refused.value)


@pytest.mark.parametrize("column", ["text", "topic", "motion"])
def test_motions_stand_in_a_column_of_any_of_three_names(tmp_path: Path, column: str) -> None:
    assert topics(write(tmp_path / "t.csv", f"{column}\nOne.\nTwo.\n")) == [("topic_1", "One."), ("topic_2", "Two.")]


@pytest.mark.parametrize("column", ["id", "topic_id"])
def test_topics_keep_the_ids_that_they_are_given(tmp_path: Path, column: str) -> None:
    assert topics(write(tmp_path / "t.csv", f"{column},text\na,One.\n,Two.\n")) == [("a", "One."), ("topic_2", "Two.")]


def test_a_file_of_topics_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert topics(write(tmp_path / "t.csv", "\ufefftext\nOne.\n")) == [("topic_1", "One.")]


def test_a_cell_may_hold_quotes_commas_and_newlines(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'id,text\r\na,"She said ""no"",\nthen left."\r\n')
    assert topics(path) == [("a", 'She said "no",\nthen left.')]


def test_topics_may_be_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", '{"id": "a", "text": "One, \\"two\\"."}\n\n{"motion": "Drei \u00fcber."}\n')
    assert topics(path) == [("a", 'One, "two".'), ("topic_2", "Drei \u00fcber.")]


def test_a_limit_takes_the_first_topics_of_a_file(tmp_path: Path) -> None:
    assert topics(write(tmp_path / "t.csv", "text\nOne.\nTwo.\n"), limit=1) == [("topic_1", "One.")]


def test_columns_that_mean_nothing_to_us_are_let_be(tmp_path: Path) -> None:
    assert topics(write(tmp_path / "t.csv", "source,text\nelsewhere,One.\n")) == [("topic_1", "One.")]


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(str.strip)


@given(st.lists(cells, min_size=1, max_size=4))
def test_topics_written_as_json_lines_are_read_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "topics.jsonl"
    write(path, "\n".join(json.dumps({"text": text}) for text in texts))
    assert [text for _, text in topics(path)] == texts


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0c"])
def test_a_character_that_is_no_line_break_in_csv_breaks_no_row(tmp_path: Path, character: str) -> None:
    assert topics(write(tmp_path / "t.csv", f"text\nOne{character}two.\n")) == [("topic_1", f"One{character}two.")]


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"])
def test_a_character_that_is_no_line_break_in_json_breaks_no_row(tmp_path: Path, character: str) -> None:
    path = write(tmp_path / "t.jsonl", json.dumps({"text": f"One{character}two."}, ensure_ascii=False) + "\n")
    assert topics(path) == [("topic_1", f"One{character}two.")]


BAD_TOPICS: dict[str, tuple[str, str | bytes, tuple[str, ...]]] = {
    "no column": ("t.csv", "zork,foo\na,b\n", ("t.csv", "row 1", "`text`", "`topic`", "`motion`", "zork, foo")),
    "an empty cell": ("t.csv", "id,text\na,One.\nb,\n", ("t.csv", "row 2", "no motion")),
    "a short row": ("t.csv", "id,text\na,One.\nb\n", ("t.csv", "row 2", "no motion")),
    "semicolons": ("t.csv", "id;text\na;One.\n", ("t.csv", "row 1", "`text`", "id;text")),
    "an open quote": ("t.csv", 'text\n"One.\n', ("t.csv", "no CSV")),
    "a lost key": ("t.jsonl", '{"zork": 1}\n', ("t.jsonl", "row 1", "`text`", "zork")),
    "no JSON": ("t.jsonl", '{"text": "One."}\nTwo.\n', ("t.jsonl", "line 2", "no JSON")),
    "no object": ("t.jsonl", '["One."]\n', ("t.jsonl", "line 1", "no JSON object")),
    "other bytes": ("t.csv", b"text\n\xff\xfe\x00One.\n", ("t.csv", "cannot be read", "utf-8")),
    "Latin-1": ("t.csv", "text\nCaf\u00e9.\n".encode("latin-1"), ("t.csv", "cannot be read", "utf-8")),
    "another name": ("t.txt", "text\nOne.\n", ("t.txt", ".csv", ".jsonl")),
    "an id twice": ("t.csv", "id,text\na,One.\na,Two.\n", ("'a' stands there twice",)),
}


@pytest.mark.parametrize("case", BAD_TOPICS)
def test_topics_that_cannot_be_used_are_refused_by_file_and_place(tmp_path: Path, case: str) -> None:
    name, text, words = BAD_TOPICS[case]
    said = refused_topics(write(tmp_path / name, text))
    assert [word for word in words if word not in said] == [], said


def test_topics_that_are_not_there_are_named_with_where_they_were_looked_for(tmp_path: Path) -> None:
    assert f"topics.file={tmp_path}/zork.csv: there is no such file" in refused_topics(tmp_path / "zork.csv")


def test_a_folder_is_no_file_of_topics(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    assert "there is no such file" in refused_topics(tmp_path / "t.csv")


@pytest.mark.parametrize(("name", "text"), [("t.csv", ""), ("t.csv", "text\n"), ("t.jsonl", "")])
def test_an_empty_file_of_topics_is_named(tmp_path: Path, name: str, text: str) -> None:
    assert name in wrong("topics=file", f"topics.file={write(tmp_path / name, text)}")


def test_a_motion_of_blanks_is_none(tmp_path: Path) -> None:
    assert "row 1 has no motion" in refused_topics(write(tmp_path / "t.csv", "id,text\na,   \n"))


def test_an_id_that_stands_there_twice_is_named_with_its_file(tmp_path: Path) -> None:
    assert "t.csv" in refused_topics(write(tmp_path / "t.csv", "id,text\na,One.\na,Two.\n"))


# ------------------------------------------------------------------ a list of matches


def listed(tmp_path: Path, text: str, *overrides: str, name: str = "matches.csv") -> Sequence[MatchSpec]:
    path = write(tmp_path / name, text)
    resolved = composed("schedule=explicit", "judge=none", *overrides) | {"matches": str(path)}
    return config.experiment(resolved).matches


def refused_list(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        listed(tmp_path, text)
    return str(refused.value)


def test_a_list_seats_agents_by_name_and_models_by_id(tmp_path: Path) -> None:
    (spec,) = listed(tmp_path, "topic,proposition,opposition\nOne.,rational,openrouter/qwen/qwq-32b:free\n")
    assert {seat: (agent.name, agent.model) for seat, agent in spec.players.items()} == {
        "proposition": ("rational", "simulated/rational"),
        "opposition": ("openrouter/qwen/qwq-32b:free",) * 2,
    }


def test_a_match_of_a_list_keeps_its_name(tmp_path: Path) -> None:
    text = "match,topic,proposition,opposition\nfinal,One.,rational,escalating\n,One.,rational,escalating\n"
    assert [spec.name for spec in listed(tmp_path, text)] == ["final", "rational vs escalating on topic_1"]


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    (spec,) = listed(tmp_path, "opposition,more,topic,proposition\nescalating,?,One.,rational\n")
    assert [agent.name for agent in spec.players.values()] == ["rational", "escalating"]


def test_a_list_may_be_json_lines(tmp_path: Path) -> None:
    text = '{"topic": "One.", "proposition": "rational", "opposition": "escalating"}\n'
    assert listed(tmp_path, text, name="matches.jsonl")[0].question.text == "One."


def test_a_row_that_stands_there_twice_is_two_matches(tmp_path: Path) -> None:
    row = "final,One.,rational,escalating\n"
    specs = listed(tmp_path, "match,topic,proposition,opposition\n" + 3 * row)
    assert len({spec.id for spec in specs}) == len({spec.seed for spec in specs}) == 3


def test_a_row_keeps_its_id_when_others_are_added_after_it(tmp_path: Path) -> None:
    head, row = "topic,proposition,opposition\n", "One.,rational,escalating\n"
    (one,) = listed(tmp_path, head + row)
    longer = listed(tmp_path, head + 2 * row + "Two.,rational,escalating\n")
    assert longer[0].id == one.id


def test_a_seat_without_a_model_adds_its_settings_to_a_list_too(tmp_path: Path) -> None:
    text = "topic,proposition,opposition\nOne.,rational,openai/gpt-4o\n"
    (spec,) = listed(tmp_path, text, "seats.opposition.temperature=0.5")
    assert spec.players["opposition"].sampling.temperature == 0.5


BAD_LISTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "no topic": ("proposition,opposition\na,b\n", ("matches.csv", "'topic'", "proposition, opposition")),
    "no seat": ("topic,proposition\nOne.,rational\n", ("matches.csv", "'opposition'", "topic, proposition")),
    "neither": ("zork\n1\n", ("matches.csv", "'topic'", "'proposition'", "'opposition'", "zork")),
    "an empty cell": ("topic,proposition,opposition\nOne.,rational,\n", ("row 1", "opposition")),
    "a short row": ("topic,proposition,opposition\nOne.\n", ("row 1", "proposition", "opposition")),
    "an unknown agent": (
        "topic,proposition,opposition\nOne.,rational,zork\n",
        ("'zork'", "escalating", "provider/model"),
    ),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_a_list_that_cannot_be_played_is_refused_by_what_is_missing(tmp_path: Path, case: str) -> None:
    text, words = BAD_LISTS[case]
    said = refused_list(tmp_path, text)
    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize("text", ["", "topic,proposition,opposition\n", "zork\n"])
def test_a_list_without_rows_is_named(tmp_path: Path, text: str) -> None:
    """What is said instead, `schedule=explicit needs a list of matches`, was done."""
    assert "matches.csv" in refused_list(tmp_path, text)


def test_a_row_with_more_cells_than_columns_is_refused(tmp_path: Path) -> None:
    refused_list(tmp_path, "proposition,opposition,topic\nrational,escalating,This house, which is ours, would.\n")


def test_a_filled_seat_does_not_go_with_a_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"seats\.proposition"):
        listed(
            tmp_path,
            "topic,proposition,opposition\nOne.,rational,escalating\n",
            "seats.proposition.model=simulated/overconfident",
        )


# ------------------------------------------------------------------ identity: what is asked, and what it is called


def choices(path: str, *values: Any) -> st.SearchStrategy[Edit]:
    return st.sampled_from([put(path, value) for value in values])


PROMPTS = tuple(_composed()["game"]["prompts"]) + tuple(_composed()["judge"]["prompts"])
SETTINGS = {
    "system": ("Be brief.", "Be long."),
    "temperature": (0.0, 0.5),
    "top_p": (0.5, 0.9),
    "max_output_tokens": (10, 1000),
    "reasoning_effort": ("low", "high"),
    "seed": (0, 1),
}

asking = st.one_of(
    choices("game.params.rebuttals", 0, 1, 2),
    choices("game.params.order", "simultaneous", "sequential"),
    choices("game.params.private_confidence", "auto", "off", "joint", "before", "after"),
    choices("game.params.public_confidence", False, True),
    choices("game.params.own_confidence", "shown", "hidden"),
    choices("game.params.told", "nothing", "equal_copy", "even_odds"),
    choices("game.params.reasoning", "off", "own", "both_outcomes"),
    choices("game.params.missing_speech", "go_on", "forfeit"),
    choices("game.params.missing_confidence", "go_on", "forfeit"),
    choices("game.params.min_speech_chars", 1, 10**6),
    choices("game.params.scale", "percent", "fraction"),
    choices("game.params.guard", "headings", "literal"),
    choices("game.params.tags.private_confidence", "private_confidence", "bet"),
    choices("game.params.tags.reasoning", "private_reasoning", "why"),
    st.sampled_from(sorted(_composed()["game"]["prompts"])).flatmap(
        lambda name: choices(f"game.prompts.{name}", "One.", "Two: {{ question.text }}")
    ),
    st.sampled_from(sorted(_composed()["judge"]["prompts"])).flatmap(
        lambda name: choices(f"judge.prompts.{name}", "One.", "Two: {{ question.text }}")
    ),
    st.sampled_from(sorted(SETTINGS)).flatmap(lambda name: choices(f"seats.proposition.{name}", *SETTINGS[name])),
    st.sampled_from(sorted(SETTINGS)).flatmap(lambda name: choices(f"agents.one.{name}", *SETTINGS[name])),
    st.sampled_from(sorted(SETTINGS)).flatmap(lambda name: choices(f"judge.judges.fair.{name}", *SETTINGS[name])),
    choices("seats.proposition.model", "openai/o3-mini", "openai/gpt-4o"),
    choices("agents.one.model", "openai/o3-mini", "openai/gpt-4o"),
    choices("judge.judges.fair.model", "openai/o3-mini", "openai/gpt-4o"),
    choices("judge.ballots", 1, 2),
    choices("judge.tags", {"choice": "winner", "probability": "confidence"}, {"choice": "side", "probability": "sure"}),
    choices("attempts", 1, 2, 3),
    choices("seed", 0, 1),
    choices("topics.questions.0.text", "One.", "Two."),
    choices("topics.questions.0.id", "one", "two"),
    choices("topics.limit", 1, 2),
    choices("schedule.repeats", 1, 2),
    choices("schedule.mirrored", False, True),
    choices("schedule.name", "round_robin", "self"),
    choices("provider.openai.refused", {}, {"*": ["temperature", "top_p"]}),
)
"""Edits that may change what some seat is asked."""


def answer(call: Call) -> Completion:
    """A stand-in that is not understood at first, so that everything that can be asked is asked."""
    occasion = call.request.occasion
    if occasion.attempt == 0 and (occasion.ask.step, occasion.ask.slot) == (0, 0):
        return Completion("<")
    form = occasion.ask.form
    assert isinstance(form, Parts)
    return Completion(form.render({name: filled(part, call.seat) for name, part in form.forms.items()}))


def filled(form: Form, seat: str) -> Any:
    match form:
        case Confidence():
            return 0.6
        case Verdict():
            return Chosen("proposition", 0.6)
        case _:
            return f"Said by {seat}."


def asked(experiment: Experiment) -> Counter[str]:
    """Every request of every match, as the digests of what would be sent, seat by seat."""
    setting, requests = Setting(experiment), Counter[str]()
    for number, spec in enumerate(experiment.matches):
        walk = Walk(setting.match(spec))
        wanted = walk.start()
        while wanted:
            call = wanted.pop(0)
            requests[f"{number} {call.seat} {call.digest}"] += 1
            wanted += walk.reply(call.key, answer(call))
    return requests


def identity(experiment: Experiment) -> tuple[Any, ...]:
    """What a ledger is checked against."""
    return [spec.id for spec in experiment.matches], config.sections(experiment)


@settings(max_examples=30)
@given(st.lists(asking, max_size=2), asking)
def test_experiments_in_which_a_seat_is_asked_something_else_have_another_identity(
    common: list[Edit], edit: Edit
) -> None:
    one, other = edited(base(), *common), edited(base(), *common, edit)
    assert asked(one) == asked(other) or identity(one) != identity(other)


@settings(max_examples=8)
@given(st.lists(asking, max_size=3))
def test_the_same_configuration_has_the_same_identity_and_asks_the_same(edits: list[Edit]) -> None:
    one, other = edited(base(), *edits), edited(base(), *edits)
    assert identity(one) == identity(other)
    assert asked(one) == asked(other)


@settings(max_examples=8)
@given(st.lists(asking, max_size=3))
def test_an_experiment_is_the_same_after_the_way_through_experiment_yaml(edits: list[Edit]) -> None:
    one = edited(base(), *edits)
    assert identity(config.experiment(yaml.safe_load(yaml.safe_dump(one.resolved)))) == identity(one)


@pytest.mark.parametrize(
    "edit",
    [
        put("limits.concurrency", 1),
        put("limits.timeout_s", 1.0),
        put("limits.tries", 1),
        put("prices", {}),
        put("name", "other"),
        put("runs", "elsewhere"),
        put("provider.openai.base_url", "http://127.0.0.1:1/v1"),
        put("provider.openai.key_env", "OTHER_KEY"),
        put("condition", "other"),
    ],
    ids=lambda edit: edit.__name__,
)
def test_what_no_seat_is_asked_is_no_part_of_the_identity(edit: Edit) -> None:
    assert identity(edited(base(), edit)) == identity(edited(base()))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_wording_of_every_prompt_is_part_of_the_identity(prompt: str) -> None:
    where = "game" if prompt in _composed()["game"]["prompts"] else "judge"
    one, other = edited(base()), edited(base(), put(f"{where}.prompts.{prompt}", "Another."))
    assert config.sections(one)["prompts"] != config.sections(other)["prompts"]
    assert [spec.id for spec in one.matches] == [spec.id for spec in other.matches]


def test_what_is_judged_again_is_part_of_the_identity(tmp_path: Path) -> None:
    said = {
        "step": 0, "round": 1, "phase": "opening", "seat": "proposition", "part": "speech", "audience": [],
        "value": "Aye.", "text": "Aye.", "shown": "", "status": "ok",
    }  # fmt: skip

    def judged(text: str) -> Experiment:
        given = [said | {"value": text, "text": text}]
        path = write(tmp_path / "given.jsonl", json.dumps({"number": 0, "given": given}))
        resolved = composed("game=rejudge") | {"given": str(path)}
        resolved["game"]["prompts"] = composed()["game"]["prompts"]
        return config.experiment(resolved)

    one, other = judged("Aye."), judged("Nay.")
    assert asked(one) != asked(other)
    assert identity(one) != identity(other)
