"""The user's own files: topics, and lists of matches."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from arena.settings import ConfigError, Seated, Settings, Topics
from arena.types import Question, Utterance


def questions(topics: Topics, base: Path | None) -> list[Question]:
    """The topics of a configuration, from its own list or the file it names. Raises `ConfigError`."""
    where, found = "topics", [Question(topic.id, topic.text) for topic in topics.questions]
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
    for number, row in enumerate(table(path), start=1):
        text = next((row[column] for column in ("text", "topic", "motion") if str(row.get(column) or "").strip()), None)
        if text is None:
            raise ConfigError(
                f"{path}: row {number} has no motion; it needs a column `text` (or `topic`, or `motion`), "
                f"found {', '.join(map(str, row)) or 'nothing'}"
            )
        yield Question(str(row.get("id") or row.get("topic_id") or f"topic_{number}"), str(text))


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
    rows = table(find(settings.given, base, "given"))
    return {row["number"]: tuple(_utterance(said) for said in row["given"]) for row in rows}


def _utterance(plain: Mapping[str, Any]) -> Utterance:
    fields = dict(plain)
    fields["audience"] = tuple(fields["audience"])
    return Utterance(**fields)


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
