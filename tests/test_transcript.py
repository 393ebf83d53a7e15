"""A transcript is for people: what models say can neither act on a terminal or page nor pass for something else."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from commands import in_process
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from agents.models.registry import Models
from agents.models.scripted import FunctionModel
from arena import api, config
from arena.forms import Chosen, Confidence, Parts, Reasoning, Speech
from arena.history import History, Played
from arena.match import Setting
from arena.replay import walk
from arena.report.transcript import Format, inert, paragraphs, rendered
from arena.types import Answer, Call, Completion, Experiment, Request

FORMATS: tuple[Format, ...] = ("text", "markdown", "html")

PUBLIC, PRIVATE = "Said aloud.", "Kept to myself."


@cache
def _composed() -> dict[str, Any]:
    return config.compose(["topics.limit=1", "game.params.public_confidence=true", "judge.orders=as_spoken"])


def experiment(model: str = "test/it", private: str = "auto", **changes: Any) -> Experiment:
    """One match of a model against its copy before one judge, with a private and a public confidence."""
    resolved = copy.deepcopy(_composed()) | changes
    resolved["game"]["params"]["private_confidence"] = private
    resolved["agents"] = {"it": {"model": model}}
    resolved["judge"]["judges"] = {"judge": {"model": model}}
    resolved["schedule"] |= {"name": "self", "mirrored": False}
    resolved["provider"]["test"] = {"api": "scripted"}
    return config.experiment(resolved)


def reply(request: Request, speech: str, reasoning: str) -> str:
    """A reply in the form that is asked for."""
    form = request.occasion.ask.form
    assert isinstance(form, Parts)
    values: dict[str, Any] = {}
    for name, part in form.forms.items():
        match part:
            case Speech():
                values[name] = speech
            case Reasoning():
                values[name] = reasoning
            case Confidence():
                values[name] = 0.65
            case _:
                values[name] = Chosen("opposition", 0.8)
    return form.render(values)


@cache
def _setting(model: str) -> Setting:
    """Made once: to compile prompts takes longer than to walk a match."""
    return Setting(experiment(model))


class Saying:
    """A record in which everybody always said the same."""

    def __init__(self, speech: str, reasoning: str):
        self.said = (speech, reasoning)

    def answer(self, call: Call) -> Answer:
        return Completion(reply(call.request, *self.said))


def said(speech: str = PUBLIC, reasoning: str = PRIVATE, model: str = "test/it", **changes: Any) -> Played:
    """A match in which that was said."""
    setting = _setting(model) if not changes else Setting(experiment(model, **changes))
    made = setting.experiment
    (spec,) = made.matches
    walked, _ = walk(setting.match(spec), Saying(speech, reasoning))
    return Played(spec, made.condition, made.game, walked, History(spec.id), setting.specs(spec), setting.simulated)


def was_read(played: Played) -> bool:
    return all(utterance.status == "ok" for utterance in played.walk.table.transcript)


# ------------------------------------------------------------------ what stands in it


@pytest.mark.parametrize("kind", FORMATS)
def test_everything_that_was_said_stands_there(kind: Format) -> None:
    page = rendered(said(), kind)
    assert page.count(PUBLIC) == 3 * 2 + 1
    assert page.count(PRIVATE) == 3 * 2
    assert page.count("65 %") == 3 * 2 * 2
    assert "opposition wins" in page.replace("**", "").replace("<b>", "").replace("</b>", "")


def test_what_is_private_is_set_apart_from_what_is_public() -> None:
    kinds = {(p.kind, p.heading.partition(", ")[2]) for p in paragraphs(said()) if p.kind in ("public", "private")}
    assert kinds == {
        ("private", "reasoning, private"),
        ("private", "private confidence"),
        ("public", "speech"),
        ("public", "public confidence"),
        ("private", "rationale, private"),
        ("private", "verdict, private"),
    }


def test_private_parts_stand_behind_a_bar_in_text() -> None:
    lines = rendered(said(reasoning="One.\nTwo."), "text").splitlines()
    assert [line for line in lines if "One." in line or "Two." in line] == ["    ┆ One.", "    ┆ Two."] * 6
    assert "    [proposition, reasoning, private]" in lines
    assert f"│ {PUBLIC}" in lines


def test_private_parts_are_quoted_in_markdown() -> None:
    quoted, depth = [], 0
    for token in MarkdownIt().parse(rendered(said(), "markdown")):
        depth += {"blockquote_open": 1, "blockquote_close": -1}.get(token.type, 0)
        if token.type == "fence" and depth:
            quoted.append(token.content.strip())
    assert set(quoted) == {PRIVATE, PUBLIC, "65 %", "opposition, with 80 %"}
    assert quoted.count(PRIVATE) == 6
    assert quoted.count(PUBLIC) == 1  # the judge's rationale


def test_private_parts_are_sections_of_their_own_in_html() -> None:
    page = rendered(said(), "html")
    assert page.count("<section class=private>") == 6 * 2 + 2
    assert page.count("<section class=public>") == 6 * 2


@pytest.mark.parametrize("kind", FORMATS)
def test_simulated_seats_say_so(kind: Format) -> None:
    page = rendered(said(model="simulated/rational"), kind)
    assert page.count("simulated: no model wrote this") == 3


@pytest.mark.parametrize("kind", FORMATS)
def test_other_seats_do_not(kind: Format) -> None:
    assert "simulated" not in rendered(said(), kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_simulated_seats_of_a_provider_of_another_name_say_so(kind: Format) -> None:
    providers = copy.deepcopy(_composed()["provider"])
    providers["mine"] = providers["simulated"]
    page = rendered(said(model="mine/rational", provider=providers), kind)
    assert "simulated: no model wrote this" in page


@pytest.mark.parametrize("kind", FORMATS)
def test_what_could_not_be_read_is_named_and_not_shown(kind: Format) -> None:
    page = rendered(said(speech="<private_confidence>leak"), kind)
    assert "none (unparsed)" in page
    assert page.count("leak") == 1  # in what the judge says of its ballot, which it alone hears


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("leak", ["<private_confidence>85</private_confidence>", "private_confidence: 85"])
def test_a_private_tag_in_a_speech_that_is_asked_for_alone_is_not_public(when: str, leak: str) -> None:
    """As the thirteen leaks of the study were: the seat knows the tag from its other turns, and uses it here."""
    played = said(speech=f"I am sure. {leak}", private=when)
    assert not [p for p in paragraphs(played) if p.kind == "public" and "85" in p.text]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_match_without_an_outcome_says_so(kind: Format) -> None:
    made = experiment()
    (spec,) = made.matches
    setting = Setting(made)
    history = History(spec.id)
    walked, _ = walk(setting.match(spec), history)
    page = rendered(
        Played(spec, made.condition, made.game, walked, history, setting.specs(spec), setting.simulated), kind
    )
    assert "the match has no outcome yet" in page


# ------------------------------------------------------------------ hostile text

CONTROLS = {
    "colour": "\x1b[31mred\x1b[0m",
    "window title": "\x1b]0;owned\x07",
    "clear screen": "\x1b[2J\x1b[H",
    "hyperlink": "\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\",
    "C1 escape": "\x9b31m",
    "NUL": "a\x00b",
    "backspace": "no\b\byes",
    "carriage return": "shown\roverwritten",
    "right to left": "\u202eabc\u202c",
    "isolate": "\u2066abc\u2069",
    "right-to-left mark": "a\u200fb",
    "zero width": "a\u200bb\ufeff",
    "tag characters": "a\U000e0041\U000e007f",
    "delete": "a\x7fb",
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("where", ["speech", "reasoning"])
def test_control_characters_are_shown_and_not_sent(kind: Format, control: str, where: str) -> None:
    text = CONTROLS[control]
    page = rendered(said(**{where: f"Before {text} after"}), kind)
    assert inert(page) == page
    assert "\ufffd" in page


@pytest.mark.parametrize("kind", FORMATS)
@given(text=st.text(max_size=40))
@settings(max_examples=25)
def test_no_text_whatever_has_a_control_character_left(kind: Format, text: str) -> None:
    page = rendered(said(speech=f"{text}.", reasoning=f"{text}."), kind)
    assert inert(page) == page


@pytest.mark.parametrize("text", ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f52c"])
def test_joiners_that_a_script_needs_are_let_be(text: str) -> None:
    assert inert(text) == text


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs"]), max_size=40))
def test_other_text_is_shown_as_it_is(text: str) -> None:
    assert inert(text) == text


MARKUP = {
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "end of the section": "</div></section><h1>Winner</h1>",
    "end of the page": "</body></html><script>",
    "comment": "<!-- hidden -->",
    "entity": "&lt;b&gt; &#x3c;script&#x3e;",
    "attribute": "\" onmouseover=\"alert(1)' x='",
    "placeholder": "{{title}} {{body}} {{ seat }}",
    "Markdown image": "![x](https://example.com/track.png)",
    "Markdown link": "[x](javascript:alert(1))",
    "Markdown heading": "# Winner\n\n## Closing",
    "Markdown list": "- **outcome**: proposition wins",
    "fence": "```\n# out\n```",
    "longer fence": "````\n# out\n````\n`````````\n# out",
    "tildes": "~~~\n# out\n~~~",
    "quote": "> **proposition, reasoning, private**",
    "reference": "[x]: https://example.com\n\n[x]",
    "rule": "---\n===\n***",
    "HTML block": "<details><summary>x</summary>\n\n# out\n\n</details>",
}


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_comment(self, data: str) -> None:
        self.tags.append("comment")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def plain_page() -> Page:
    return Page(rendered(said(), "html"))


@pytest.mark.parametrize("markup", MARKUP)
@pytest.mark.parametrize("where", ["speech", "reasoning"])
def test_markup_in_what_was_said_is_text_in_html(markup: str, where: str) -> None:
    played = said(**{where: MARKUP[markup]})
    assert was_read(played)
    page, plain = Page(rendered(played, "html")), plain_page()
    assert page.tags == plain.tags
    assert page.attributes == plain.attributes
    assert MARKUP[markup] in page.text


def test_a_page_may_load_and_run_nothing() -> None:
    page = rendered(said(), "html")
    assert "default-src 'none'" in page
    assert set(Page(page).tags).isdisjoint({"script", "img", "link", "iframe", "a", "form"})


def outline(tokens: list[Token]) -> list[str]:
    """The structure of a Markdown document, without its text."""
    return [token.type for token in tokens]


def parsed(page: str) -> list[Token]:
    """A page as it is commonly read: with tables, bare links and HTML."""
    return MarkdownIt("gfm-like", {"linkify": False}).parse(page)


def leaves(tokens: list[Token]) -> list[Token]:
    return [leaf for token in tokens for leaf in (leaves(token.children) if token.children else [token])]


@pytest.mark.parametrize("markup", MARKUP)
@pytest.mark.parametrize("where", ["speech", "reasoning"])
def test_markup_in_what_was_said_is_text_in_markdown(markup: str, where: str) -> None:
    played = said(**{where: MARKUP[markup]})
    assert was_read(played)
    tokens = parsed(rendered(played, "markdown"))
    assert outline(tokens) == outline(parsed(rendered(said(), "markdown")))
    assert MARKUP[markup] in {token.content.removesuffix("\n") for token in tokens if token.type == "fence"}


markup_like = st.text("`~#<>![]()\\&;*|=+-: \n\tab", min_size=1, max_size=40).filter(str.strip)


@settings(max_examples=20)
@given(markup_like, markup_like)
def test_no_text_whatever_changes_the_structure_of_a_markdown_transcript(speech: str, reasoning: str) -> None:
    played = said(speech, reasoning)
    assume(was_read(played))
    assert outline(parsed(rendered(played, "markdown"))) == outline(parsed(rendered(said(), "markdown")))


@settings(max_examples=20)
@given(st.text("<>&\"'/=!-{} \nabi", min_size=1, max_size=40).filter(str.strip))
def test_no_text_whatever_changes_the_structure_of_an_html_transcript(speech: str) -> None:
    played = said(speech, speech)
    assume(was_read(played))
    assert Page(rendered(played, "html")).tags == plain_page().tags


@pytest.mark.parametrize(
    "forged",
    [
        "    | [opposition, private confidence, private]\n    | 1 %",
        "[opposition, speech]\nI concede.",
        "Closing\n-------",
        "outcome: proposition wins (most_votes, margin 1.00)",
    ],
)
def test_a_speech_cannot_pass_for_something_else_in_text(forged: str) -> None:
    honest, page = (rendered(said(speech=f"I begin.{more}"), "text") for more in ("", f"\n{forged}"))
    written = [page.splitlines().count(line) - honest.splitlines().count(line) for line in forged.splitlines()]
    assert not any(written)


def test_a_match_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("match,topic,proposition,opposition\n{{body}},One.,it,it\n")
    changes = {"schedule": {"name": "explicit", "mirrored": False, "repeats": 1}, "matches": str(tmp_path / "m.csv")}
    resolved = copy.deepcopy(_composed()) | changes
    resolved["agents"] = {"it": {"model": "simulated/rational"}}
    made = config.experiment(resolved)
    (spec,) = made.matches
    setting = Setting(made)
    walked, _ = walk(setting.match(spec), Saying(PUBLIC, PRIVATE))
    page = rendered(
        Played(spec, "", made.game, walked, History(spec.id), setting.specs(spec), setting.simulated), "html"
    )
    assert page.count(f"<div>{PRIVATE}</div>") == 6


# ------------------------------------------------------------------ through a run directory, and out of the terminal

HOSTILE = "\x1b[31mred\x1b[0m \u202eevil\u202c \x00 <script>alert(1)</script>\n```\n# out\n![x](https://example.com)"


def play(folder: Path, answer: Callable[[Request], str | Completion]) -> Path:
    made = experiment()
    models = Models(made.providers, 5)
    models.add("test", FunctionModel(answer))
    return asyncio.run(api.play(made, folder, models))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which everything that was said is hostile."""
    return play(tmp_path_factory.mktemp("runs") / "hostile", lambda request: reply(request, HOSTILE, HOSTILE))


@pytest.mark.parametrize("kind", FORMATS)
def test_log_show_sends_no_control_character(hostile: Path, capsys: pytest.CaptureFixture[str], kind: Format) -> None:
    match_id = str(api.load(hostile).matches["match_id"].iloc[0])
    shown = in_process(capsys)("log", "show", hostile, match_id, "--format", kind)
    assert (shown.code, inert(shown.out)) == (0, shown.out)
    assert "red" in shown.out


@pytest.mark.parametrize("command", [["log", "ls"], ["log", "verify"], ["resume"], ["resume", "--json"]])
def test_no_other_command_sends_any(hostile: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    name, *options = command if command[0] != "log" else [" ".join(command)]
    shown = in_process(capsys)(*name.split(), hostile, *options)
    assert shown.code == 0
    assert inert(shown.out + shown.err) == shown.out + shown.err


def test_tables_keep_what_was_said_to_the_letter(hostile: Path) -> None:
    spoken = api.load(hostile).utterances.query("part == 'speech'")["text"]
    assert set(spoken) == {HOSTILE}


def test_verify_sends_no_control_character_when_a_table_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = play(tmp_path / "run", lambda request: reply(request, "\x1b]0;owned\x07", "\x1b[31m"))
    path = run / "tables" / "utterances.parquet"
    table = api.load(run).utterances
    table.loc[0, "text"] = "\x1b[2J"
    table.to_parquet(path, index=False)
    shown = in_process(capsys)("log", "verify", run)
    assert shown.code == 1
    assert inert(shown.out) == shown.out


def test_half_a_character_is_kept_out_of_the_tables(tmp_path: Path) -> None:
    run = play(tmp_path / "run", lambda request: reply(request, "Cut \ud83d off.", PRIVATE))
    assert len(api.load(run).utterances) == 26
