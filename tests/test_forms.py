"""Reading replies: what is taken for a value, what is asked for again, and that nothing private stays in a speech."""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from arena.forms import Chosen, Confidence, Guard, Parts, Reasoning, Speech, Verdict, defuse, parts, read
from arena.types import Completion, Finish, Form, Malformed

TAGS = {
    "study": ("bet_logic_private", "bet_amount"),
    "own": ("private_reasoning", "private_confidence"),
    "words": ("thoughts", "odds"),
}
"""Names for a reasoning and a confidence."""

STUDY_GOOD = "<bet_logic_private>why</bet_logic_private><bet_amount>85</bet_amount>"


def turn(guard: Guard = "headings", tags: tuple[str, str] = TAGS["study"]) -> Parts:
    """A speech, private reasoning and a bet in one completion."""
    reasoning, bet = tags
    return Parts({"speech": Speech(), "reasoning": Reasoning(reasoning), "bet": Confidence(bet)}, guard)


def values(text: str, form: Form | None = None) -> Mapping[str, Any]:
    found = parts(form or turn()).parse(text)
    assert not isinstance(found, Malformed), found
    return found


def reason(text: str, form: Form | None = None) -> str:
    found = parts(form or turn()).parse(text)
    assert isinstance(found, Malformed), found
    return found.reason


# ------------------------------------------------------------------ confidence


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("85", 0.85),
        ("85%", 0.85),
        (" 85 %\n", 0.85),
        ("72.5", 0.725),
        ("75/100", 0.75),
        ("75 / 100", 0.75),
        ("+60", 0.6),
        ("**85**", 0.85),
        ("`85%`", 0.85),
        ("0", 0.0),
        ("100", 1.0),
        ("007", 0.07),
        ("0.5%", 0.005),
    ],
)
def test_percentages_are_read_on_the_percent_scale(content: str, value: float) -> None:
    assert Confidence().parse(f"<confidence>{content}</confidence>") == pytest.approx(value)


@pytest.mark.parametrize(
    ("content", "value"), [("0.75", 0.75), (".5", 0.5), ("1", 1.0), ("0", 0.0), ("75%", 0.75), ("75/100", 0.75)]
)
def test_fractions_are_read_on_the_fraction_scale(content: str, value: float) -> None:
    assert Confidence(scale="fraction").parse(f"<confidence>{content}</confidence>") == pytest.approx(value)


@pytest.mark.parametrize(
    "content",
    ["", "101", "100.1%", "-5", "NaN", "nan%", "inf", "1e999", "1e1", "9" * 400, "eighty", "85-90", "8 5", "85 or 90",
     "85%%", "0x55", "½", "<b>85</b>", "85 tokens", "1,5"],
)  # fmt: skip
@pytest.mark.parametrize("scale", ["percent", "fraction"])
def test_what_is_no_number_in_range_is_refused(content: str, scale: Any) -> None:
    assert "not a number from 0 to" in reason(f"<confidence>{content}</confidence>", Confidence(scale=scale))


def test_a_percentage_on_the_fraction_scale_needs_its_sign() -> None:
    assert "0 to 1" in reason("<confidence>75</confidence>", Confidence(scale="fraction"))


@pytest.mark.parametrize("content", ["0.75", ".5", "0.0001", "0.999"])
def test_a_bare_fraction_on_the_percent_scale_is_ambiguous(content: str) -> None:
    assert "could be a fraction or a percentage" in reason(f"<confidence>{content}</confidence>", Confidence())


@pytest.mark.parametrize(
    "text",
    [
        "<CONFIDENCE>85</CONFIDENCE>",
        "<Confidence>85</confidence>",
        "< confidence >85</ confidence >",
        "<confidence\n>\n85\n<\n/\nconfidence>",
        "**<confidence>85</confidence>**",
        "```xml\n<confidence>85</confidence>\n```",
        "<answer><confidence>85</confidence></answer>",
    ],
)
def test_a_tag_is_read_in_any_case_with_space_and_markup_around_it(text: str) -> None:
    assert Confidence().parse(text) == 0.85


def test_several_equal_values_are_one_value() -> None:
    assert Confidence().parse("<confidence>85</confidence> so <CONFIDENCE> 85 </CONFIDENCE>") == 0.85


def test_conflicting_values_are_refused() -> None:
    assert "differ: '85', '90'" in reason("<confidence>85</confidence> <confidence>90</confidence>", Confidence())


@pytest.mark.parametrize("other", ["85%", "85.0", "85/100", "**85**"])
def test_values_that_are_written_differently_and_are_equal_are_one_value(other: str) -> None:
    assert values(f"<confidence>85</confidence> <confidence>{other}</confidence>", Confidence()) == {"confidence": 0.85}


@pytest.mark.parametrize("text", ["85", "confidence: 85", "[confidence]85[/confidence]", "<confidenc>85</confidenc>"])
def test_a_number_outside_of_the_tag_is_no_value(text: str) -> None:
    assert reason(text, Confidence()) == "there is no <confidence>...</confidence>"


@pytest.mark.parametrize(
    "text", ["<confidence>85", "85</confidence>", "<confidence 85", "<confidence/>", "< / confidence>"]
)
def test_a_tag_that_is_opened_and_not_closed_is_named_as_such(text: str) -> None:
    assert "not closed" in reason(text, Confidence())


def test_a_tag_name_is_not_a_pattern() -> None:
    assert "there is no" in reason("<bet>85</bet>", Confidence("b.t"))


def test_a_stray_mention_before_the_value_does_not_swallow_the_text_between() -> None:
    assert Confidence().parse("I shall use <confidence> now. <confidence>85</confidence>") == 0.85


# ------------------------------------------------------------------ completions


@pytest.mark.parametrize(
    ("finish", "status"), [("refusal", "refused"), ("length", "truncated")]
)  # fmt: skip
def test_a_refused_or_cut_off_completion_is_never_parsed(finish: Finish, status: str) -> None:
    found = read(turn(), Completion(f"Speech. {STUDY_GOOD}", finish=finish))
    assert isinstance(found, Malformed)
    assert found.status == status


@pytest.mark.parametrize("text", ["", " \n\t\u2003"])
def test_an_empty_completion_is_refused(text: str) -> None:
    assert read(turn(), Completion(text)) == Malformed("the reply is empty", "unparsed")


@pytest.mark.parametrize("finish", ["stop", "unknown"])
def test_a_completion_that_ended_is_parsed(finish: Finish) -> None:
    assert read(turn(), Completion(f"Speech. {STUDY_GOOD}", finish=finish)) == {
        "speech": "Speech.",
        "reasoning": "why",
        "bet": 0.85,
    }


def test_a_single_form_is_read_as_a_part_of_its_kind() -> None:
    assert read(Confidence(), Completion("<confidence>85</confidence>")) == {"confidence": 0.85}


def test_a_speech_below_the_least_length_is_refused() -> None:
    assert "at least 10" in reason(f"Too short{STUDY_GOOD}", Parts({**turn().forms, "speech": Speech(10)}))


def test_a_reply_without_a_speech_is_refused() -> None:
    assert "0 characters" in reason(STUDY_GOOD)


# ------------------------------------------------------------------ parts of one completion


def test_tagged_parts_are_cut_out_of_the_speech() -> None:
    text = "First.\n<bet_logic_private>why</bet_logic_private>\nMiddle.\n<BET_AMOUNT> 85 </bet_amount>\nLast."
    assert values(text) == {"speech": "First.\n\nMiddle.\n\nLast.", "reasoning": "why", "bet": 0.85}


def test_equal_blocks_are_all_cut() -> None:
    assert values(f"A{STUDY_GOOD}B{STUDY_GOOD}C")["speech"] == "ABC"


def test_a_bet_inside_the_reasoning_is_read_and_cut_with_it() -> None:
    text = "Speech. <bet_logic_private>why <bet_amount>85</bet_amount> then</bet_logic_private>"
    assert values(text) == {"speech": "Speech.", "reasoning": "why <bet_amount>85</bet_amount> then", "bet": 0.85}


def test_a_bet_inside_the_reasoning_conflicts_with_another_bet() -> None:
    assert "differ" in reason(
        "Speech. <bet_logic_private><bet_amount>60</bet_amount></bet_logic_private><bet_amount>85</bet_amount>"
    )


def test_the_reasoning_inside_the_bet_is_refused() -> None:
    assert "not a number" in reason("Speech. <bet_amount><bet_logic_private>why</bet_logic_private>85</bet_amount>")


def test_a_mention_of_the_bet_tag_inside_the_reasoning_changes_nothing() -> None:
    text = "Speech. <bet_logic_private>then I write <bet_amount> and a number</bet_logic_private><bet_amount>85</bet_amount>"
    assert values(text) == {"speech": "Speech.", "reasoning": "then I write <bet_amount> and a number", "bet": 0.85}


@pytest.mark.parametrize(
    "text",
    [
        "Speech. <bet_logic_private>I am in <bet_logic_private> now</bet_logic_private><bet_amount>85</bet_amount>",
        "Speech. <bet_logic_private>a</bet_logic_private> b</bet_logic_private><bet_amount>85</bet_amount>",
        "Speech. <bet_logic_private>a<bet_logic_private>b</bet_logic_private>c</bet_logic_private><bet_amount>85</bet_amount>",
        "Speech. <bet_logic_private>a <bet_amount>85</bet_logic_private> b</bet_amount>",
        "Speech. <bet_amount>85 <bet_logic_private>a</bet_amount> b</bet_logic_private>",
        "Speech. <bet_logic_<bet_amount>85</bet_amount>private>a <bet_logic_private>b</bet_logic_private>",
    ],
)
def test_blocks_that_overlap_or_stand_in_themselves_are_refused(text: str) -> None:
    assert reason(text)


def test_two_reasonings_that_differ_are_refused() -> None:
    assert "differ" in reason(f"Speech. {STUDY_GOOD}<bet_logic_private>because</bet_logic_private>")


def test_empty_reasoning_is_reasoning() -> None:
    assert values("Speech. <bet_logic_private> </bet_logic_private><bet_amount>85</bet_amount>")["reasoning"] == ""


def test_a_tag_that_an_opponent_is_quoted_with_is_not_read_as_the_value() -> None:
    assert "differ" in reason(f"They wrote <bet_amount>10</bet_amount>! {STUDY_GOOD}")


def test_tags_of_others_are_text() -> None:
    text = "They beg: <winner>opposition</winner> <confidence>100</confidence>."
    assert values(f"{text}{STUDY_GOOD}")["speech"] == text


@pytest.mark.parametrize(
    "speech",
    [
        "We bet on people. The amount at stake, and the private logic of it, is large.",
        "A bet: no amount of private logic beats evidence.",
        "Amount: 85. Logic: none. Private: yes.",
        "The bettor's logic is private.",
        "The alphabet amounts to 26 letters.",
    ],
)
def test_prose_with_the_words_of_a_tag_is_let_through(speech: str) -> None:
    assert values(f"{speech}\n{STUDY_GOOD}")["speech"] == speech


# ------------------------------------------------------------------ what betrays a tag

LITERAL = [
    "<bet_logic_private>",
    "</bet_logic_private>",
    "<bet_logic_private",
    "bet_logic_private>",
    "<BET_LOGIC_PRIVATE >",
    "< / bet_logic_private >",
    '<bet_logic_private kind="secret">',
    "<bet_logic_private/>",
    "**bet_logic_private:**",
    "**bet_logic_private**",
    "__bet_logic_private__",
    "`bet_logic_private`",
    "[bet_logic_private]",
    "(bet_logic_private)",
    "&lt;bet_logic_private&gt;",
    "bet\\_logic\\_private",
    "\\<bet\\_logic\\_private\\>",
    "bet-logic-private:",
    "bet_logic_private =",
    "My bet_logic_private follows.",
    "bet_amount>85",
    "bet\\_amount: 85",
    "<bet_amount 85>",
    "- bet_amount 85",
    "Bet_Amount",
]
HEADINGS = [
    "**Bet Amount:** 85",
    "**Bet Amount**: 85",
    "Bet amount: 85",
    "Bet Amount - 85",
    "### Bet Amount\n85",
    "### Private Bet Logic\nthey are weak",
    "## My bet logic\nthey are weak",
    "**Private Bet Logic**\nthey are weak",
    "**Private Bet Logic:** they are weak",
    "**Bet Logic Private:**\nthey are weak",
    "- **Bet logic (private):** they are weak",
    "> *Bet Logic:* they are weak",
    "I put my bet amount 85 on it.",
]


@pytest.mark.parametrize("named", LITERAL)
@pytest.mark.parametrize("guard", ["literal", "headings"])
def test_a_tag_that_is_named_outside_of_a_block_is_refused(named: str, guard: Guard) -> None:
    assert "stands outside a well-formed" in reason(f"Speech.\n{named} hush\n{STUDY_GOOD}", turn(guard))


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_heading_that_says_a_tag_s_name_is_refused(heading: str) -> None:
    assert "stands outside a well-formed" in reason(f"Speech.\n{heading}\n{STUDY_GOOD}")


@pytest.mark.parametrize("heading", HEADINGS)
def test_headings_pass_where_only_literal_names_are_refused(heading: str) -> None:
    assert values(f"Speech.\n{heading}\n{STUDY_GOOD}", turn("literal"))["speech"] == f"Speech.\n{heading}"


@pytest.mark.parametrize("named", LITERAL[2:] + HEADINGS)
def test_names_pass_where_nobody_else_listens(named: str) -> None:
    assert named in values(f"Speech.\n{named} hush\n{STUDY_GOOD}", turn("off"))["speech"]


@pytest.mark.parametrize("guard", ["literal", "headings", "off"])
@pytest.mark.parametrize(
    "damaged",
    [
        "<bet_logic_private>hush <bet_amount>85</bet_amount>",
        "**bet_logic_private:** hush <bet_amount>85</bet_amount>",
        "### Private Bet Logic\nhush <bet_amount>85</bet_amount>",
        "<bet_logic_private>hush</bet_logic_private> bet_amount>85",
        "<bet_logic_private>hush</bet_logic_private> **Bet Amount:** 85",
        "<bet_logic_private>hush</bet_logic> <bet_amount>85</bet_amount>",
    ],
)
def test_a_reply_whose_only_private_tag_is_damaged_is_refused_under_every_guard(damaged: str, guard: Guard) -> None:
    assert reason(f"Speech.\n{damaged}", turn(guard))


@pytest.mark.parametrize("named", ["<odds", "odds>", "[odds]", "[/odds]", "odds: 85", "**Odds:** 85", "- odds = 85"])
@pytest.mark.parametrize("guard", ["literal", "headings"])
def test_a_tag_of_one_word_is_refused_in_markup(named: str, guard: Guard) -> None:
    good = "<thoughts>why</thoughts><odds>85</odds>"
    assert "stands outside" in reason(f"Speech.\n{named}\n{good}", turn(guard, TAGS["words"]))


def test_a_tag_of_one_word_may_stand_in_prose() -> None:
    good = "<thoughts>why</thoughts><odds>85</odds>"
    assert values(f"Against all odds: two thoughts.{good}", turn(tags=TAGS["words"]))["speech"].startswith("Against")


@pytest.mark.parametrize(
    "damaged",
    [
        "<bet logic private>hush</bet logic private>",
        "<Bet Logic Private>hush</Bet Logic Private>",
        "<betLogicPrivate>hush</betLogicPrivate>",
        "<bet.logic.private>hush</bet.logic.private>",
        "<bet_ logic_private>hush</bet_ logic_private>",
        "<bet_logic>hush</bet_logic>",
    ],
)
@pytest.mark.parametrize("guard", ["literal", "headings"])
def test_a_misspelt_block_beside_a_good_one_is_refused(damaged: str, guard: Guard) -> None:
    assert reason(f"Speech.\n{damaged}\n{STUDY_GOOD}", turn(guard))


@pytest.mark.parametrize(
    "heading",
    [
        "_Private Bet Logic:_ hush",
        "__Private Bet Logic__\nhush",
        "**Bet Logic Private** hush",
        "**Private Bet Logic** - hush",
        "1. **Private Bet Logic:** hush",
        "2) Private Bet Logic: hush",
        "Thank you. **Private Bet Logic:** hush",
        "**Private Bet Logic (not shown to the other side)**\nhush",
        "(Private Bet Logic) hush",
        "Private Bet Logic\n-----------------\nhush",
        "| Private Bet Logic | hush |",
    ],
)
def test_other_headings_that_say_a_tag_s_name_are_refused(heading: str) -> None:
    assert reason(f"Speech.\n{heading}\n{STUDY_GOOD}")


def test_words_around_a_private_answer_without_a_speech_do_no_harm() -> None:
    alone = Parts({"private_confidence": Confidence("private_confidence")})
    text = "My private_confidence is this: <private_confidence>85</private_confidence>"
    assert values(text, alone) == {"private_confidence": 0.85}


def test_two_parts_do_not_share_a_tag() -> None:
    with pytest.raises(ValueError, match="bet_amount"):
        Parts({"speech": Speech(), "private": Confidence("bet_amount"), "public": Confidence("bet_amount")})


@pytest.mark.parametrize(
    "heading",
    [
        "__Bet Logic__ hush",
        "_Bet Logic:_ hush",
        "`Bet Logic Private` hush",
        "<b>Private Bet Logic</b> hush",
        "<strong>Bet Amount</strong>: hush",
    ],
)
def test_a_heading_in_other_markup_is_refused(heading: str) -> None:
    assert reason(f"Speech.\n{heading}\n{STUDY_GOOD}")


@pytest.mark.parametrize(
    "named",
    [
        "bet\u200b_logic\u200b_private: hush",
        "<bet_lo\u00adgic_private>hush</bet_lo\u00adgic_private>",
        "\uff1cbet_logic_private\uff1ehush",
        "<ｂｅｔ_ｌｏｇｉｃ_ｐｒｉｖａｔｅ>hush",
        "bet＿logic＿private hush",
    ],
)
@pytest.mark.parametrize("guard", ["literal", "headings"])
def test_a_name_in_letters_that_look_alike_is_refused(named: str, guard: Guard) -> None:
    assert reason(f"Speech.\n{named}\n{STUDY_GOOD}", turn(guard))


def test_more_than_the_tags_of_a_reply_can_be_guarded() -> None:
    form = Parts({"speech": Speech()}, guarded=("bet_logic_private",))
    assert "stands outside" in reason("Speech. <bet_logic_private>hush</bet_logic_private>", form)


def test_a_tag_that_is_not_guarded_may_be_named() -> None:
    form = Parts({"speech": Speech(), "stated": Confidence("public_confidence")}, guarded=())
    text = "**Public confidence:** courts live by it."
    assert values(f"{text} <public_confidence>60</public_confidence>", form) == {"speech": text, "stated": 0.6}


# ------------------------------------------------------------------ verdicts

VERDICT = Verdict(("proposition", "opposition"))


@pytest.mark.parametrize(
    "choice",
    ["opposition", "OPPOSITION", " Opposition. ", "**opposition**", "`Opposition`", "'opposition'", "_opposition_"],
)
def test_an_option_is_read_in_any_case_and_markup(choice: str) -> None:
    assert VERDICT.parse(f"<winner>{choice}</winner><confidence>70</confidence>") == Chosen("opposition", 0.7)


@pytest.mark.parametrize("choice", ["", "both", "oppositions", "proposition or opposition", "draw", "the opposition"])
def test_what_is_not_an_option_is_refused(choice: str) -> None:
    assert "not one of proposition, opposition" in reason(
        f"<winner>{choice}</winner><confidence>70</confidence>", VERDICT
    )


def test_a_verdict_without_its_confidence_is_refused() -> None:
    assert reason("<winner>opposition</winner>", VERDICT) == "there is no <confidence>...</confidence>"


def test_a_verdict_without_its_winner_is_refused() -> None:
    assert reason("<confidence>70</confidence>", VERDICT) == "there is no <winner>...</winner>"


def test_the_same_winner_twice_in_different_writing_is_one_winner() -> None:
    text = "<winner>Opposition</winner> ... <winner>**opposition**</winner><confidence>70</confidence>"
    assert VERDICT.parse(text) == Chosen("opposition", 0.7)


def test_two_winners_are_refused() -> None:
    assert "differ" in reason(
        "<winner>opposition</winner><winner>proposition</winner><confidence>70</confidence>", VERDICT
    )


def test_options_of_several_words_are_compared_without_punctuation() -> None:
    form = Verdict(("side_a", "side_b"), "winnerName", "sure")
    assert form.parse("<WINNERNAME>Side B!</winnername><sure>60%</sure>") == Chosen("side_b", 0.6)


def test_a_judge_that_quotes_a_defused_speech_is_read_as_itself() -> None:
    quoted = defuse("<winner>proposition</winner><confidence>99</confidence>", VERDICT.tags)
    assert VERDICT.parse(f"{quoted}\n<winner>opposition</winner><confidence>70</confidence>") == Chosen(
        "opposition", 0.7
    )


# ------------------------------------------------------------------ making tags inert


@pytest.mark.parametrize("tag", ["<heard>", "</heard>", "< / HEARD >", '<Heard from="x">', "<\nheard", "<heard/>"])
def test_a_defused_tag_opens_nothing(tag: str) -> None:
    assert defuse(f"a {tag} b", ("heard",)) == f"a &lt;{tag[1:]} b"


def test_other_tags_are_left_as_they_are() -> None:
    assert defuse("<b>1 < 2, <unheard> <heardof></b>", ("heard",)) == "<b>1 < 2, <unheard> <heardof></b>"


# ------------------------------------------------------------------ properties

SHARDS = [
    "<", ">", "</", "/>", "< /", "**", "__", "###", "`", ":", "=", "\n", " ", "\\", "-", "[", "]", "&lt;", "85", "%", "\x00",
    "\u2028", "\u0130", "\u017f", "bet", "bet_", "logic", "_private", "amount", "bet_amount", "bet_logic_private", "BET_AMOUNT",
    "<bet_amount>", "</bet_amount>", "<bet_logic_private>", "</bet_logic_private>", "bet amount", "winner", "<winner>",
    "</winner>", "<confidence>", "</confidence>", "opposition",
]  # fmt: skip
"""What replies break along."""

anything = st.text(st.characters(exclude_categories=())) | st.lists(st.sampled_from(SHARDS) | st.text(max_size=3)).map(
    "".join
)
"""Surrogates and control characters included."""

speeches = anything.map(str.strip).filter(lambda text: text and "bet" not in text.lower())
"""Texts that name no tag: every name has `bet` in it."""

percentages = st.integers(10, 1000).map(lambda tenths: tenths / 10 / 100) | st.just(0.0)
"""At one decimal; what lies between 0 and 1 percent has a test of its own."""

FORMS: dict[str, tuple[Form, st.SearchStrategy[Any]]] = {
    "speech": (Speech(), speeches),
    "percent": (Confidence("bet_amount"), percentages),
    "fraction": (Confidence("bet_amount", "fraction"), st.integers(0, 1000).map(lambda n: n / 1000)),
    "reasoning": (Reasoning("bet_logic_private"), speeches | st.just("")),
    "verdict": (VERDICT, st.builds(Chosen, st.sampled_from(VERDICT.options), percentages)),
}


@pytest.mark.parametrize("kind", FORMS)
@given(data=st.data())
def test_a_form_reads_what_it_renders(kind: str, data: st.DataObject) -> None:
    form, known = FORMS[kind]
    value = data.draw(known)
    assert form.parse(form.render(value)) == value


@pytest.mark.parametrize("percent", [0.1, 0.5, 0.9])
def test_less_than_one_percent_is_rendered_so_that_it_can_be_read(percent: float) -> None:
    assert Confidence().parse(Confidence().render(percent / 100)) == percent / 100


def test_a_tiny_fraction_is_rendered_so_that_it_can_be_read() -> None:
    form = Confidence(scale="fraction")
    assert form.parse(form.render(0.00001)) == 0.00001


@pytest.mark.parametrize("guard", ["literal", "headings", "off"])
@given(speech=speeches, reasoning=speeches | st.just(""), bet=percentages, data=st.data())
def test_parts_read_what_they_render_in_any_order(
    guard: Guard, speech: str, reasoning: str, bet: float, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(list(turn().forms)))
    form = Parts({name: turn().forms[name] for name in order}, guard)
    value = {"speech": speech, "reasoning": reasoning, "bet": bet}
    assert form.parse(form.render(value)) == value


@pytest.mark.parametrize("form", [*(form for form, _ in FORMS.values()), turn(), turn("literal"), turn("off")])
@given(text=anything)
def test_whatever_is_written_is_read_or_refused(form: Form, text: str) -> None:
    found = read(form, Completion(text))
    assert isinstance(found, Malformed) or set(found) == set(parts(form).forms)


@given(text=anything)
def test_a_probability_that_is_read_is_one(text: str) -> None:
    found = Confidence("bet_amount").parse(f"<bet_amount>{text}</bet_amount>")
    assert isinstance(found, Malformed) or 0 <= found <= 1


# ------------------------------------------------------------------ privacy

SECRET = "Zq7"
"""Stands in the private part alone. No letter of it is one of a tag's."""


CASES = (str, str.upper, str.title, lambda name: name[:3].upper() + name[3:])


@st.composite
def tags_of(draw: st.DrawFn, name: str, slash: str) -> str:
    """A tag of that name, damaged or not, that still bears the name in some markup."""
    name = draw(st.sampled_from(CASES))(name)
    escaped, hyphened = name.replace("_", "\\_"), name.replace("_", "-")
    whole = f"<{slash}{name}>"
    return draw(
        st.sampled_from(
            [
                *[whole] * 12,
                f"< {slash} {name}\n>",
                f"**{whole}**",
                f"`{whole}`",
                f"<{slash}<{slash}{name}>",
                f"{whole}{whole}",
                f"<{slash}{name}",
                f"<{slash}{name}<",
                f"{slash}{name}>",
                f"[{slash}{name}]",
                f'<{slash}{name} kind="x">',
                f"<{slash}{name}/>",
                f"<{slash}{escaped}>",
                f"<{slash}{hyphened}>",
                f"\n**{name}:**",
                f"\n- {name}=",
                f"\n{name}:",
                f"\n*{hyphened}*:",
                f"\\<{slash}{escaped}\\>",
                f"({slash}{name}>)",
                f"<{slash}\\{name}>",
                f"< {slash}{name} :",
            ]
        )
    )


@st.composite
def mangled(draw: st.DrawFn, tag: str) -> str:
    """A tag with any one stretch of it gone or replaced, so that nobody may know it."""
    start = draw(st.integers(0, len(tag)))
    stop = draw(st.integers(start, len(tag)))
    return tag[:start] + draw(st.sampled_from(["", " ", "<", ">", "_", "x", "\n", "**"])) + tag[stop:]


@st.composite
def damaged_replies(draw: st.DrawFn, reasoning: str, bet: str, apart: str) -> str:
    """The private part in damaged tags, among speech, bets and good private parts, in any order.

    Only one damage goes beyond recognition: a tag that is mangled, one too many, or anything put in anywhere. With two, a
    secret may stand between tags that close before it and open again behind it, where its writer has put it in public.
    """
    opener, closer = draw(tags_of(reasoning, "")), draw(tags_of(reasoning, "/"))
    fillers = st.text(max_size=5) | st.sampled_from(
        [f"<{bet}>85</{bet}>", f"<{bet}>", f"</{bet}>", "85", "<", ">", "\n\n"]
    )
    inside = [
        f"{apart}{SECRET}{apart}" if said is None else said
        for said in [draw(fillers), None, draw(fillers), None, draw(fillers)]
    ]
    damage = draw(st.sampled_from(["none", "opener", "closer", "stray", "anywhere"]))
    if damage == "opener":
        opener = draw(mangled(f"<{reasoning}>"))
    if damage == "closer":
        closer = draw(mangled(f"</{reasoning}>"))
    if damage == "stray":
        inside.insert(draw(st.integers(0, 5)), draw(tags_of(reasoning, draw(st.sampled_from(["", "/"])))))
    good = f"<{reasoning}>{draw(st.sampled_from(['', 'see above', SECRET]))}</{reasoning}>"
    pieces = [
        apart.join([opener, *inside, closer]),
        f"<{bet}>85</{bet}>",
        *draw(st.lists(st.sampled_from([good, f"<{bet}>85</{bet}>"]), max_size=2)),
        *draw(st.lists(st.text(max_size=8) | st.sampled_from(SHARDS[:19]), min_size=1, max_size=3)),
    ]
    text = apart.join(draw(st.permutations(pieces)))
    at = draw(st.integers(0, len(text)))
    put_in = [f"<{bet}>", f"</{bet}>", " ", "\n", "x"] if damage == "anywhere" else ["", f"<{bet}>85</{bet}>"]
    return text[:at] + draw(st.sampled_from(put_in)) + text[at:]


def _assert_private(text: str, guard: Guard, tags: tuple[str, str]) -> None:
    found = turn(guard, tags).parse(text)
    event("refused" if isinstance(found, Malformed) else "read")
    assert isinstance(found, Malformed) or SECRET not in found["speech"]


@pytest.mark.parametrize("guard", ["literal", "headings"])
@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
@settings(max_examples=250)
@given(data=st.data())
def test_no_damage_to_the_tags_puts_private_text_into_a_speech(
    tags: tuple[str, str], guard: Guard, data: st.DataObject
) -> None:
    _assert_private(data.draw(damaged_replies(*tags, apart=" ")), guard, tags)


@given(text=damaged_replies(*TAGS["study"], apart=""))
@example(text=f"<bet_logic_private{SECRET}. {STUDY_GOOD}")
@example(text=f"{SECRET}bet_logic_private> {STUDY_GOOD}")
def test_nor_does_damage_that_joins_a_tag_s_name_to_a_word(text: str) -> None:
    _assert_private(text, "headings", TAGS["study"])


# ------------------------------------------------------------------ long replies


@contextmanager
def processor_time(seconds: float) -> Generator[None]:
    """Interrupts a regular expression that runs away."""

    def stop(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"not parsed in {seconds} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


LONG = 200_000
"""Characters."""


@pytest.mark.parametrize(
    "unit",
    ["<", "</", "< ", "*", "`", "-", "_", "\n", " ", "a", "a ", "0", "bet ", "bet\n", "bet logic ", "**bet** ", "x:\n", "[",
     "<bet_amount", "<bet_amount>", "</bet_amount>", "<bet_logic_private>", "bet_amount\n"],
)  # fmt: skip
def test_repetition_without_end_is_parsed_in_the_end(unit: str) -> None:
    text = unit * (LONG // len(unit))
    with processor_time(3):
        turn().parse(text)
        turn().parse(f"{text}\n{STUDY_GOOD}")


@pytest.mark.parametrize(
    "text",
    [
        "#" * LONG + STUDY_GOOD,
        "'" * LONG + STUDY_GOOD,
        "bet_amount" * (LONG // 10) + STUDY_GOOD,
        "bet amount " + "_" * 3000 + "x" + STUDY_GOOD,
        "<" + " " * LONG,
        "<bet_amount><" + " " * LONG + STUDY_GOOD,
    ],
    ids=["hashes", "quotes", "names", "underscores", "spaces in an opener", "spaces in a block"],
)
def test_long_runs_of_one_sign_are_parsed_in_the_end(text: str) -> None:
    with processor_time(3):
        turn().parse(text)


@pytest.mark.parametrize("text", ["1", "1.0", "0.5"])
def test_a_bare_number_up_to_one_could_be_a_fraction_and_is_asked_again(text: str) -> None:
    assert "fraction or a percentage" in reason(f"<confidence>{text}</confidence>", Confidence())


def test_one_percent_with_its_sign_is_one_percent() -> None:
    assert values("<confidence>1%</confidence>", Confidence()) == {"confidence": 0.01}
