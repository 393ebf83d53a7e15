"""The user's own files: topics, and lists of matches."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from arena.meetings import Encounter
from arena.settings import ConfigError, Item, Seated, Settings, Topic, Topics
from arena.types import Question, Utterance

AnItem = TypeVar("AnItem", bound=Item)


def questions(topics: Topics, base: Path | None) -> list[Question]:
    """The topics of a configuration, from its own list or the file it names. Raises `ConfigError`."""
    where, found = "topics", [topic.question() for topic in topics.questions]
    if topics.file:
        path = find(topics.file, base, "topics.file")
        where, found = str(path), list(_from_rows(path))
        if not found:
            raise ConfigError(f"{path} has no topics: it has no rows")
    seen: set[str] = set()
    for question in found:
        if question.id in seen:
            raise ConfigError(f"{where}: the id {question.id!r} stands there twice")
        seen.add(question.id)
    return found[: topics.limit]


def _from_rows(path: Path) -> Iterable[Question]:
    """A question a row; rows with the same `set` are one set of questions, and sets come last."""
    sets: dict[str, list[Item]] = {}
    for name, item in _rows(path):
        if name is None:
            yield item.question()
        else:
            sets.setdefault(name, []).append(item)
    for name, items in sets.items():
        yield _valid(Topic, {"id": name, "text": name, "items": items}, str(path)).question()


def _rows(path: Path) -> Iterable[tuple[str | None, Item]]:
    """Each row's set, where it is in one, and its question."""
    for number, row in enumerate(table(path), start=1):
        text = next((row[column] for column in ("text", "topic", "motion") if str(row.get(column) or "").strip()), None)
        if text is None:
            raise ConfigError(
                f"{path}: row {number} has no motion; it needs a column `text` (or `topic`, or `motion`), "
                f"found {', '.join(map(str, row)) or 'nothing'}"
            )
        fields = {"id": row.get("id") or row.get("topic_id") or f"topic_{number}", "text": str(text)}
        fields |= {
            column: _several(row[column]) for column in ("options", "answer") if row.get(column) not in (None, "")
        }
        yield str(row["set"]) if row.get("set") else None, _valid(Item, fields, f"{path}: row {number}")


def _valid(kind: type[AnItem], fields: Mapping[str, Any], where: str) -> AnItem:
    try:
        return kind.model_validate(fields)
    except ValidationError as problem:
        said = "; ".join(error["msg"].removeprefix("Value error, ") for error in problem.errors())
        raise ConfigError(f"{where}: {said}") from problem


def _several(cell: Any) -> list[str]:
    """The values in a cell: a list, or words parted by `|`."""
    return [str(value).strip() for value in (cell if isinstance(cell, list) else str(cell).split("|"))]


def match_rows(settings: Settings, seats: Collection[str], base: Path | None) -> list[Mapping[str, Any]]:
    """The rows of the list of matches, where the configuration names one. Raises `ConfigError`."""
    if settings.matches is None:
        return []
    if settings.schedule.name != "explicit":
        raise ConfigError(f"matches={settings.matches} goes with schedule=explicit, not {settings.schedule.name}")
    for seat in seats:
        if settings.seats.get(seat, Seated()).model:
            raise ConfigError(f"seats.{seat}.model: the list of matches says who sits there; leave one of them away")
    path = find(settings.matches, base, "matches")
    rows = list(table(path))
    columns = ", ".join(("topic", *seats))
    if not rows:
        raise ConfigError(f"{path} has no rows; a list of matches has the columns match (if you like), {columns}")
    missing = [column for column in ("topic", *seats) if column not in rows[0]]
    if missing:
        raise ConfigError(
            f"{path} has no column {' and none '.join(map(repr, missing))}; a list of matches has the columns "
            f"match (if you like), {columns}; found {', '.join(map(str, rows[0]))}"
        )
    return rows


def given(settings: Settings, base: Path | None) -> dict[int, tuple[Utterance, ...]] | None:
    """What lies on the table before each match, by its number in the plan, where matches are judged again."""
    if settings.given is None:
        return None
    return {
        row["number"]: tuple(_utterance(said) for said in row["given"])
        for row in table(find(settings.given, base, "given"))
        if row["given"] is not None
    }


def decided(settings: Settings, base: Path | None) -> list[Mapping[str, Any]]:
    """The meetings, as records hold them, that a schedule decided on whose matches are judged again; else none."""
    if settings.given is None:
        return []
    return [row["meeting"] for row in table(find(settings.given, base, "given")) if "meeting" in row]


def _utterance(plain: Mapping[str, Any]) -> Utterance:
    fields = dict(plain)
    fields["audience"] = tuple(fields["audience"])
    return Utterance(**fields)


def joined(settings: Settings, base: Path | None) -> tuple[Encounter, ...]:
    """What was played in the tournament that this one joins."""
    if settings.joined is None:
        return ()
    return tuple(Encounter(**row) for row in table(find(settings.joined, base, "joined")))


def find(name: str, base: Path | None, key: str) -> Path:
    """A file that the configuration names. Raises `ConfigError`."""
    for path in (base / name, Path(name)) if base else (Path(name),):
        if path.is_file():
            return path
    raise ConfigError(f"{key}={name}: there is no such file (looked from {Path.cwd()})")


def table(path: Path) -> Iterable[Mapping[str, Any]]:
    """The rows of a CSV or JSONL file. Raises `ConfigError`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} cannot be read: {problem}") from problem
    if path.suffix in (".jsonl", ".ndjson"):
        for number, line in enumerate(filter(str.strip, text.split("\n")), start=1):
            try:
                row = json.loads(line)
            except ValueError as problem:
                raise ConfigError(f"{path}: line {number} is no JSON: {problem}") from problem
            if not isinstance(row, dict):
                raise ConfigError(f"{path}: line {number} is no JSON object")
            yield row
    elif path.suffix == ".csv":
        try:
            for number, row in enumerate(csv.DictReader(io.StringIO(text, newline=""), strict=True), start=1):
                if None in row:
                    raise ConfigError(
                        f"{path}: row {number} has more cells than there are columns; is a comma unquoted?"
                    )
                yield row
        except csv.Error as problem:
            raise ConfigError(f"{path} is no CSV: {problem}") from problem
    else:
        raise ConfigError(f"{path}: the name of a table ends in .csv or .jsonl")
