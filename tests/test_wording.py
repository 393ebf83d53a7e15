"""Prompts: templates that are filled in with facts and can do nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.types import Question
from arena.wording import Wording, WordingError, digest

MOTION = Question("q", "This house would.")


def fill(template: str, **facts: Any) -> str:
    return Wording({"it": template}).render("it", facts)


def refusal(template: str, **facts: Any) -> str:
    with pytest.raises(WordingError) as refused:
        fill(template, **facts)
    return str(refused.value)


def test_a_prompt_is_filled_in_and_blank_at_neither_end() -> None:
    assert fill("\n  The motion: {{ question.text }}\n\n", question=MOTION) == "The motion: This house would."


def test_a_line_that_holds_a_statement_alone_leaves_no_blank_line() -> None:
    assert fill("a\n  {% if on %}\nb\n  {% endif %}\nc", on=True) == "a\nb\nc"


def test_a_missing_prompt_is_named_with_those_there_are() -> None:
    with pytest.raises(WordingError, match=r"no prompt 'closing'; there are judge, opening"):
        Wording({"opening": "a", "judge": "b"}).render("closing", {})


@pytest.mark.parametrize(
    "template", ["{{ seat", "{% if seat %}", "{% endfor %}", "{{ seat | no_such_filter }}", "{% what %}"]
)
def test_what_is_no_template_is_refused_before_anything_is_played(template: str) -> None:
    with pytest.raises(WordingError, match="prompt 'opening' is no template"):
        Wording({"opening": template})


@pytest.mark.parametrize(
    "template", ["{{ set }}", "{{ question.txt }}", "{% if nobody %}x{% endif %}", "{{ form['a'] }}"]
)
def test_a_fact_that_is_not_there_is_an_error_and_not_a_blank(template: str) -> None:
    assert "prompt 'it' cannot be filled in" in refusal(template, question=MOTION, seat="judge", form={})


@pytest.mark.parametrize(
    "template",
    [
        "{{ question.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ question.__init__.__globals__ }}",
        "{{ act.__globals__ }}",
        "{{ act.__code__ }}",
        "{{ question['__class__'] }}",
        "{{ question | attr('__class__') }}",
        "{{ '{0.__class__}'.format(question) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ listed.append(1) }}",
    ],
)
def test_a_template_that_reaches_out_of_its_box_is_refused(template: str) -> None:
    def act() -> None: ...

    assert "prompt 'it' cannot be filled in" in refusal(template, question=MOTION, act=act, listed=[])


@pytest.mark.parametrize(
    "text", ["{{ seat }}", "{{", "{% raw %}", "{# gone #}", "{{ 7 * 7 }}", "}}", "{% if", "<b>&amp;'\""]
)
def test_what_is_filled_in_is_never_itself_rendered(text: str) -> None:
    assert fill("[{{ question.text }}]", question=Question("q", text), seat="x") == f"[{text}]"


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_filled_in_as_it_is(text: str) -> None:
    assert fill("[{{ text }}]", text=text) == f"[{text}]"


@pytest.mark.parametrize(
    "template",
    [
        "{{ 100 * value }}",
        "{{ '%g' % seat }}",
        "{{ 1 // 0 }}",
        "{{ seat() }}",
        "{% include 'secret' %}",
        "{% import 'os' as os %}",
        "{% for i in range(10000000) %}x{% endfor %}",
    ],
)
def test_a_template_that_fails_in_any_other_way_names_the_prompt(template: str) -> None:
    assert "prompt 'it'" in refusal(template, value=None, seat="judge")


def test_a_digest_depends_on_the_value_and_not_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2, "ü"]}) == digest({"b": [2, "ü"], "a": 1}) != digest({"a": 1, "b": ["ü", 2]})


def test_a_lone_surrogate_has_a_digest() -> None:
    assert digest("\ud800") != digest("\ud801")
