"""Explicit: the matches of a list, as they stand."""

from __future__ import annotations

from arena.meetings import Field, Meeting, ScheduleError
from arena.types import Question


def meetings(field: Field) -> list[Meeting]:
    """One meeting a row and repeat. A row has `topic` (a topic's id, or the motion itself), a column per seat with an
    agent's name or a model id, and, if it likes, `match`. Raises `ScheduleError` that names the row."""
    if not field.rows:
        raise ScheduleError("schedule=explicit needs a list of matches: matches=FILE.csv")
    known = {question.id: question for question in field.questions} | {q.text: q for q in field.questions}
    named: dict[str, Question] = {}
    plan: list[Meeting] = []
    for number, row in enumerate(field.rows, start=1):
        empty = [column for column in ("topic", *field.candidates) if not str(row.get(column) or "").strip()]
        if empty:
            raise ScheduleError(f"row {number} of the list of matches has no {' and no '.join(empty)}")
        topic = str(row["topic"])
        question = known.get(topic)
        if question is None:
            question = Question(str(row.get("topic_id") or f"topic_{len(named) + 1}"), topic)
            known[topic] = question
        if named.setdefault(question.id, question).text != question.text:
            raise ScheduleError(f"row {number} of the list of matches: topic_id {question.id!r} stands for two motions")
        players = {seat: str(row[seat]).strip() for seat in field.candidates}
        name = str(row["match"]) if row.get("match") else None
        plan += [Meeting(players, question, repeat, name) for repeat in range(field.repeats)]
    return plan
