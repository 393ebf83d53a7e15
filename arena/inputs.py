"""The user's own files: topics, and lists of matches."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from arena.settings import ConfigError, Settings, Topics
from arena.types import Question


def questions(topics: Topics, base: Path | None) -> list[Question]:
    questions = [Question(topic.id, topic.text) for topic in topics.questions]
    if topics.file:
        questions = [
            Question(str(row.get("id") or row.get("topic_id") or f"topic_{number}"), text)
            for number, row, text in _topic_rows(find(topics.file, base, "topics.file"))
        ]
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise ConfigError(f"topics: the id {question.id!r} stands there twice")
        seen.add(question.id)
    return questions[: topics.limit]


def _topic_rows(path: Path) -> Iterable[tuple[int, Mapping[str, Any], str]]:
    for number, row in enumerate(table(path), start=1):
        text = next((row[column] for column in ("text", "topic", "motion") if row.get(column)), None)
        if text is None:
            raise ConfigError(
                f"{path}: row {number} has no motion; it needs a column `text` (or `topic`, or `motion`), "
                f"found {', '.join(map(str, row)) or 'nothing'}"
            )
        yield number, row, str(text)


def match_rows(settings: Settings, seats: Iterable[str], base: Path | None) -> list[Mapping[str, Any]]:
    if settings.matches is None:
        return []
    if settings.schedule.name != "explicit":
        raise ConfigError(f"matches={settings.matches} goes with schedule=explicit, not {settings.schedule.name}")
    path = find(settings.matches, base, "matches")
    rows = list(table(path))
    missing = [column for column in ("topic", *seats) if rows and column not in rows[0]]
    if missing:
        raise ConfigError(
            f"{path} has no column {' and none '.join(map(repr, missing))}; a list of matches has the columns "
            f"match (if you like), topic, {', '.join(seats)}; found {', '.join(map(str, rows[0]))}"
        )
    return rows


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
        for number, line in enumerate(filter(str.strip, text.splitlines()), start=1):
            try:
                row = json.loads(line)
            except ValueError as problem:
                raise ConfigError(f"{path}: line {number} is no JSON: {problem}") from problem
            if not isinstance(row, dict):
                raise ConfigError(f"{path}: line {number} is no JSON object")
            yield row
    elif path.suffix == ".csv":
        try:
            yield from csv.DictReader(text.splitlines(keepends=True), strict=True)
        except csv.Error as problem:
            raise ConfigError(f"{path} is no CSV: {problem}") from problem
    else:
        raise ConfigError(f"{path}: the name of a table ends in .csv or .jsonl")
