"""The study "When Two LLMs Debate, Both Think They'll Win" (arXiv:2505.19184) as its authors published it, one JSON file a debate.

The layout is that of the repository pradyuprasad/llms_overconfidence: a folder `experiments/`, and beside it the labels that a
reader gave the private reasoning. The study kept the cleaned speech, the reasoning and the number, not the replies they were
cut from; a number or reasoning that its program could not read was typed in by a person. What the speeches still show of
that is flagged, and is a lower bound.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from arena import frames
from arena.frames import Row
from arena.imports import File, Imported, LeftOut, SourceError, json_files
from arena.types import Ballot, Decision
from arena.wording import digest
from judges.panel import decide

CONDITIONS = {
    "private_bet": "cross_model",
    "private_same_debator": "self_debate",
    "private_same_debator_informed": "informed_self",
    "PUBLIC_SAME_DEBATOR": "public_bets",
    "readteam_debate": "self_redteam",
    "private_self_bet": "multi_round",
}
"""A file's `debate_type`, as the study spells it, to the condition's name. The folder it lies in does not count."""

FLAGS = {
    "zero_bet": "the bet is 0",
    "typed_bet": "an amount that the study's program could not read stands in the speech; a person typed the number",
    "uppercase_bet_tag": "the bet stands in the public speech, in an uppercase tag",
    "second_bet_tag_differs": "a second amount stands in the public speech, and is another",
    "placeholder_reasoning": "a person typed a placeholder for the private reasoning",
    "empty_reasoning": "the private reasoning is empty",
    "short_reasoning": "the private reasoning has less than 100 characters",
    "leaked_reasoning": "the private reasoning stands in the public speech, in an uppercase tag, for the other side to see",
    "reasoning_tag_residue": "pieces of the reasoning's tag, and perhaps the reasoning, stand in the public speech",
    "stub_speech": "the speech has less than 300 characters",
    "typed_ballot": "the judge's text has no verdict that the study's program could read; a person typed it",
}
"""What is known to be wrong with a turn or ballot."""

READER = "google/gemini-2.0-flash-001"
"""The model whose labels of private reasoning the study published."""

TOPICS = {
    "8d90da7ccef9693d12c8abb9": "T1",
    "0859c482d8986ad6444f978d": "T2",
    "05e538a915d5dfa1f4543e75": "T3",
    "297f1440f9b3777af8a6f1c7": "T4",
    "c2cb4133a7c789469a161198": "T5",
    "2d06836f7232bae1d374cb53": "T6",
}
"""The digest of a motion's text to its name, for the six of the study."""

SIDES = ("proposition", "opposition")
Side = Literal["proposition", "opposition"]


def read(path: Path, labels: Path | None = None) -> Imported:
    """Read the study: a clone, its folder `experiments/`, one folder of that, or a tar archive of any of these.

    `labels` is a CSV with a row a label, read in place of the files `bet_analysis_results_*.json` of a clone. A file that
    is no debate of the study, or one that is there already, is left out. Raises `SourceError` where there is no JSON file.
    """
    found = json_files(path)
    analyses = [file for file in found if _stem(file.name).startswith("bet_analysis_results")]
    files = _of_debates([file for file in found if file not in analyses])
    if not files:
        raise SourceError(
            f"{path} has no debates; a clone of the study has a folder experiments/ with one JSON file each"
        )
    left_out: list[LeftOut] = []
    debates = list(_debates(files, left_out))
    given = (
        [label for file in analyses for label in _json_labels(file, left_out)]
        if labels is None
        else list(_csv_labels(labels, left_out))
    )
    readings, strangers = _readings(given, debates, left_out)
    rows = _rows(debates) | {"readings": readings}
    sources = [file.data for file in (*files, *(analyses if labels is None else ()))]
    return Imported(
        tables={name: frames.frame(name, rows[name]) for name in frames.COLUMNS},
        left_out=tuple(left_out),
        flags=FLAGS,
        notes=tuple(_notes(debates, strangers)),
        digest=_digest([*sources, *([labels.read_bytes()] if labels is not None else [])]),
    )


def _of_debates(files: list[File]) -> list[File]:
    """The files that should be debates: a clone has settings beside them, in JSON too."""
    inside = [file for file in files if "experiments" in PurePosixPath(file.name).parts[:-1]]
    # What is wrong with a whole archive or folder concerns all that is in it.
    return [*inside, *(file for file in files if not file.name.endswith(".json"))] if inside else files


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _digest(contents: Iterable[bytes]) -> str:
    """Of the contents, whatever their order."""
    each = sorted(hashlib.sha256(data).digest() for data in contents)
    return hashlib.sha256(b"".join(each)).hexdigest()


# ------------------------------------------------------------------ a file's layout

Count = Annotated[int, Field(ge=0, le=2**53)]
Percent = Annotated[int, Field(ge=0, le=100)]
Word = Annotated[str, StringConstraints(min_length=1)]


class _Layout(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Motion(_Layout):
    topic_description: Word


class _Output(_Layout):
    speeches: dict[str, str | Literal[-1]]
    """Phase to speech; -1 is how the study's program marks one that was not given yet."""


class _Bet(_Layout):
    side: Side
    speech_type: str
    amount: Percent
    thoughts: str


class _Ballot(_Layout):
    model: Word
    winner: Side
    confidence: Percent
    logic: str


class _Tokens(_Layout):
    successful_calls: Count
    failed_calls: Count
    successful_prompt_tokens: Count
    successful_completion_tokens: Count
    failed_prompt_tokens: Count
    failed_completion_tokens: Count


class _File(_Layout):
    motion: _Motion
    debate_type: str
    proposition_model: Word
    opposition_model: Word
    proposition_output: _Output
    opposition_output: _Output
    debator_bets: list[_Bet]
    judge_results: list[_Ballot] = []
    debator_token_counts: dict[Word, _Tokens] = {}
    judge_token_counts: dict[Word, _Tokens] = {}


class _Wrong(ValueError):
    """Why a file or label is left out."""


def _parsed(kind: type[_File] | TypeAdapter[Any], data: bytes) -> Any:
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return kind.validate_json(data) if isinstance(kind, TypeAdapter) else kind.model_validate_json(data)
    except ValidationError as problem:
        raise _Wrong(_explained(problem)) from problem


def _explained(problem: ValidationError) -> str:
    """The first thing that is wrong, and how many more there are."""
    first, *more = problem.errors(include_url=False, include_context=False, include_input=False)
    if first["type"] == "json_invalid":
        return f"broken JSON: {first['msg'].removeprefix('Invalid JSON: ')}"
    place = ".".join(str(part)[:40] for part in first["loc"])
    also = f", and {len(more)} more like that" if more else ""
    return f"an unknown layout: {place or 'the whole'}: {first['msg']}{also}"


# ------------------------------------------------------------------ debates


@dataclass(frozen=True)
class _Turn:
    """A speech, and the bet and reasoning that came with it."""

    round: int
    phase: str
    side: Side
    speech: str
    bet: _Bet

    @cached_property
    def flags(self) -> tuple[str, ...]:
        return tuple(_flags(self.speech, self.bet.thoughts.strip(), self.bet.amount))

    def flagged(self, words: Sequence[str]) -> str | None:
        return ",".join(flag for flag in self.flags if flag in words) or None


@dataclass(frozen=True, slots=True)
class _Debate:
    """A debate of the study."""

    match_id: str
    name: str
    file: str
    condition: str
    phases: tuple[str, ...]
    turns: tuple[_Turn, ...]
    held: _File
    started_at: datetime | None

    @property
    def models(self) -> dict[str, str]:
        return {"proposition": self.held.proposition_model, "opposition": self.held.opposition_model}

    @property
    def motion(self) -> str:
        return self.held.motion.topic_description

    @property
    def topic_id(self) -> str:
        known = digest(self.motion)
        return TOPICS.get(known, f"topic_{known[:12]}")


def _debates(files: Iterable[File], left_out: list[LeftOut]) -> Iterator[_Debate]:
    """The debates of the files, each once."""
    by_id: dict[str, str] = {}
    by_content: dict[str, str] = {}
    for file in files:
        try:
            debate = _debate(file)
            content = digest(debate.held.model_dump())
            for already, key in ((by_id, debate.match_id), (by_content, content)):
                if key in already:
                    raise _Wrong(f"a duplicate of {already[key]}")
        except _Wrong as problem:
            left_out.append(LeftOut(file.name, str(problem)))
            continue
        by_id[debate.match_id] = by_content[content] = file.name
        yield debate


def _debate(file: File) -> _Debate:
    if file.problem is not None:
        raise _Wrong(file.problem)
    held: _File = _parsed(_File, file.data)
    condition = CONDITIONS.get(held.debate_type)
    if condition is None:
        raise _Wrong(f"debate_type is {held.debate_type[:40]!r}; the study has {', '.join(CONDITIONS)}")
    name = _stem(file.name)
    phases = _phases(condition, held)
    return _Debate(
        match_id=f"{condition}--{name.replace(':', '_')}",
        name=name,
        file=file.name,
        condition=condition,
        phases=tuple(phases.values()),
        turns=tuple(_turns(held, phases)),
        held=held,
        started_at=_started(name),
    )


def _phases(condition: str, held: _File) -> dict[str, str]:
    """The study's names of phases to ours, in order."""
    given = set(held.proposition_output.speeches)
    rebuttals = ["rebuttal"]
    if condition == "multi_round":
        rebuttals = [f"rebuttal_{number}" for number in range(1, max(len(given) - 1, 2))]
    phases = ["opening", *rebuttals, "closing"]
    for side, output in zip(SIDES, (held.proposition_output, held.opposition_output), strict=True):
        if set(output.speeches) != set(phases):
            found = ", ".join(sorted(phase[:40] for phase in output.speeches)) or "none"
            raise _Wrong(
                f"the {side}'s speeches are {found}; a debate of type {held.debate_type} has {', '.join(phases)}"
            )
    return {phase: _phase(phase) for phase in phases}


def _phase(phase: str) -> str:
    return "rebuttal" if phase == "rebuttal_1" else phase


def _turns(held: _File, phases: Mapping[str, str]) -> Iterator[_Turn]:
    bets: dict[tuple[str, str], _Bet] = {}
    for bet in held.debator_bets:
        if bet.speech_type not in phases:
            raise _Wrong(f"a bet is on {bet.speech_type[:40]!r}, of which there is no speech")
        if (bet.side, bet.speech_type) in bets:
            raise _Wrong(f"the {bet.side} has two bets on its {bet.speech_type}")
        bets[bet.side, bet.speech_type] = bet
    outputs: dict[Side, _Output] = {"proposition": held.proposition_output, "opposition": held.opposition_output}
    for round_, (source, phase) in enumerate(phases.items(), start=1):
        for side, output in outputs.items():
            speech, bet = output.speeches[source], bets.get((side, source))
            if speech == -1 or bet is None:
                what = "bet on its " if bet is None else ""
                raise _Wrong(f"it was not played to its end: the {side} has no {what}{source}")
            yield _Turn(round_, phase, side, speech, bet)


def _started(name: str) -> datetime | None:
    """The time that ends a file's name. The study does not say of which zone it is; it stands as UTC."""
    stamp = re.search(r"_(\d{8}_\d{6})$", name, re.ASCII)
    try:
        return datetime.strptime(stamp.group(1), "%Y%m%d_%H%M%S").replace(tzinfo=UTC) if stamp else None
    except ValueError:
        return None


# ------------------------------------------------------------------ flags

# The study's program reads an amount in lowercase tags, then in uppercase ones, with digits alone between; it cuts the
# lowercase ones from the speech. So what is left of either shows what it could not read, or read and did not cut.
_UPPERCASE_BET = re.compile(r"<BET_AMOUNT>(\d{1,9})</BET_AMOUNT>", re.ASCII)
_BET_TAG = re.compile(r"bet_amount|BET_AMOUNT")
_UPPERCASE_REASONING = re.compile(r"<BET_LOGIC_PRIVATE>")
_REASONING_TAG = re.compile(r"logic_private", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"n/?a|none|\d+|\W*bet_\w+\W*|</?\w+>", re.IGNORECASE | re.ASCII)

_OF_SPEECH = ("stub_speech", "uppercase_bet_tag", "second_bet_tag_differs", "leaked_reasoning", "reasoning_tag_residue")
_OF_REASONING = ("placeholder_reasoning", "empty_reasoning", "short_reasoning")
_OF_BET = ("zero_bet", "typed_bet")


def _flags(speech: str, reasoning: str, amount: int) -> Iterator[str]:
    if amount == 0:
        yield "zero_bet"
    # The study's program cut larger amounts down to 100.
    shown = {min(int(digits), 100) for digits in _UPPERCASE_BET.findall(speech)}
    if _BET_TAG.search(_UPPERCASE_BET.sub("", speech)):
        yield "typed_bet"
    if amount in shown:
        yield "uppercase_bet_tag"
    if shown - {amount}:
        yield "second_bet_tag_differs"
    if not reasoning:
        yield "empty_reasoning"
    elif _PLACEHOLDER.fullmatch(reasoning):
        yield "placeholder_reasoning"
    elif len(reasoning) < 100:
        yield "short_reasoning"
    if _UPPERCASE_REASONING.search(speech):
        yield "leaked_reasoning"
    elif _REASONING_TAG.search(speech):
        yield "reasoning_tag_residue"
    if len(speech.strip()) < 300:
        yield "stub_speech"


def _typed(ballot: _Ballot) -> bool:
    """Whether the judge's text has no verdict that the study's program could read."""
    winners = re.findall(r"<winnerName>(\w+)</winnerName>", ballot.logic)
    return (
        not winners or winners[-1].lower() not in SIDES or not re.search(r"<confidence>\d+</confidence>", ballot.logic)
    )


# ------------------------------------------------------------------ rows


def _rows(debates: Sequence[_Debate]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {name: [] for name in frames.COLUMNS}
    panels = _panels(debates)
    repeats: Counter[Any] = Counter()
    for debate in sorted(debates, key=lambda debate: (debate.started_at is None, debate.started_at, debate.name)):
        meeting = (debate.condition, debate.motion, *debate.models.values())
        ballots = list(_ballots(debate, panels[debate.condition]))
        rows["matches"].append(_match(debate, ballots, repeats[meeting]))
        rows["seats"] += _seats(debate, ballots)
        rows["utterances"] += [*_utterances(debate), *_rationales(debate, ballots)]
        rows["confidences"] += _confidences(debate)
        rows["verdicts"] += [_verdict(debate, cast) for cast in ballots]
        rows["calls"] += _calls(debate, ballots)
        repeats[meeting] += 1
    return rows


def _panels(debates: Iterable[_Debate]) -> dict[str, Counter[str]]:
    """Condition to the ballots that it plans of each judge: those of the debate that has most."""
    panels: dict[str, Counter[str]] = {}
    for debate in debates:
        seen = Counter(ballot.model for ballot in debate.held.judge_results)
        if seen.total() > panels.setdefault(debate.condition, seen).total():
            panels[debate.condition] = seen
    return panels


@dataclass(frozen=True, slots=True)
class _Cast:
    """A ballot that was planned; `said` is None where it was never cast."""

    judge: str
    number: int
    said: _Ballot | None

    @property
    def seat(self) -> str:
        return f"{self.judge}/{self.number}"


def _ballots(debate: _Debate, panel: Mapping[str, int]) -> Iterator[_Cast]:
    cast: Counter[str] = Counter()
    for ballot in debate.held.judge_results:
        cast[ballot.model] += 1
        yield _Cast(ballot.model, cast[ballot.model], ballot)
    for judge, planned in panel.items():
        for number in range(cast[judge] + 1, planned + 1):
            yield _Cast(judge, number, None)


def _decision(debate: _Debate) -> Decision:
    """By the rule that the study states, the larger sum of confidences. Its program breaks a tie at random; here it stands."""
    ballots = [Ballot(said.model, said.winner, said.confidence / 100) for said in debate.held.judge_results]
    return decide(ballots, 0, rule="larger_sum", tie="draw")


def _match(debate: _Debate, ballots: Sequence[_Cast], repeat: int) -> Row:
    decision = _decision(debate)
    never = [cast.seat for cast in ballots if cast.said is None]
    typed = [cast.seat for cast in ballots if cast.said is not None and _typed(cast.said)]
    notes = [
        *([f"ballots never cast: {', '.join(never)}"] if never else []),
        *([f"verdicts typed by a person: {', '.join(typed)}"] if typed else []),
    ]
    return {
        "match_id": debate.match_id,
        "name": debate.name,
        "game": "debate",
        "condition": debate.condition,
        "topic_id": debate.topic_id,
        "topic": debate.motion,
        "repeat": repeat,
        "status": "finished",
        "decision": decision.how,
        "winner": decision.winner,
        "margin": decision.margin,
        "notes": "; ".join(notes),
        "started_at": debate.started_at,
    }


def _seats(debate: _Debate, ballots: Iterable[_Cast]) -> Iterator[Row]:
    for side, model in debate.models.items():
        yield {"match_id": debate.match_id, "seat": side, "role": "debater", "agent": model, "model": model}
    for cast in ballots:
        yield {
            "match_id": debate.match_id,
            "seat": cast.seat,
            "role": "judge",
            "agent": cast.judge,
            "model": cast.judge,
        }


def _utterances(debate: _Debate) -> Iterator[Row]:
    bet = "public_confidence" if debate.condition == "public_bets" else "private_confidence"
    for turn in debate.turns:
        # With two rebuttals, the study's opposition had read the proposition's speech of the same round.
        step = 2 * (turn.round - 1) + SIDES.index(turn.side) if debate.condition == "multi_round" else turn.round - 1
        model = debate.models[turn.side]
        placeholder = turn.flagged(("placeholder_reasoning",)) is not None
        said = (
            ("speech", "public", turn.speech, _OF_SPEECH, "ok"),
            ("reasoning", "private", turn.bet.thoughts, _OF_REASONING, "unparsed" if placeholder else "ok"),
            (bet, bet.partition("_")[0], str(turn.bet.amount), _OF_BET, _status(turn)),
        )
        for part, audience, text, flags, status in said:
            yield {
                "match_id": debate.match_id,
                "step": step,
                "round": turn.round,
                "phase": turn.phase,
                "seat": turn.side,
                "agent": model,
                "model": model,
                "part": part,
                "audience": audience,
                "status": status,
                "text": text,
                "chars": len(text),
                "flags": turn.flagged(flags),
            }


def _rationales(debate: _Debate, ballots: Iterable[_Cast]) -> Iterator[Row]:
    rounds = len(debate.phases)
    for cast in ballots:
        if cast.said is None:
            continue
        yield {
            "match_id": debate.match_id,
            "step": 2 * rounds if debate.condition == "multi_round" else rounds,
            "round": rounds,
            "phase": "verdict",
            "seat": cast.seat,
            "agent": cast.judge,
            "model": cast.judge,
            "part": "rationale",
            "audience": "private",
            "status": "ok",
            "text": cast.said.logic,
            "chars": len(cast.said.logic),
            "flags": "typed_ballot" if _typed(cast.said) else None,
        }


def _confidences(debate: _Debate) -> Iterator[Row]:
    models = debate.models
    for turn in debate.turns:
        other = SIDES[1 - SIDES.index(turn.side)]
        yield {
            "match_id": debate.match_id,
            "condition": debate.condition,
            "topic_id": debate.topic_id,
            "round": turn.round,
            "phase": turn.phase,
            "seat": turn.side,
            "agent": models[turn.side],
            "model": models[turn.side],
            "opponent": models[other],
            "about": "own_side_wins",
            "audience": "public" if debate.condition == "public_bets" else "private",
            "elicitation": "verbalised",
            "value": turn.bet.amount / 100,
            "status": _status(turn),
            "raw": str(turn.bet.amount),
            "reasoning": turn.bet.thoughts,
            "flags": ",".join(turn.flags) or None,
        }


def _status(turn: _Turn) -> str:
    """A bet that a person typed was not read; the number that was published stands all the same."""
    return "unparsed" if "typed_bet" in turn.flags else "ok"


def _verdict(debate: _Debate, cast: _Cast) -> Row:
    return {
        "match_id": debate.match_id,
        "judge": cast.judge,
        "model": cast.judge,
        "ballot": cast.number,
        "choice": cast.said.winner if cast.said else None,
        "probability": cast.said.confidence / 100 if cast.said else None,
        "order": "as_spoken",
        "status": "ok" if cast.said else "failed",
    }


def _calls(debate: _Debate, ballots: Iterable[_Cast]) -> Iterator[Row]:
    """A row a model and role, which is all that the study counted; its seat is the first that the model has in that role."""
    first: dict[str, dict[str, str]] = {"debater": {}, "judge": {}}
    for side, model in debate.models.items():
        first["debater"].setdefault(model, side)
    for cast in ballots:
        first["judge"].setdefault(cast.judge, cast.seat)
    counted = {"debater": debate.held.debator_token_counts, "judge": debate.held.judge_token_counts}
    slot = 0
    for step, (role, models) in enumerate(counted.items()):
        for model, tokens in models.items():
            yield {
                "match_id": debate.match_id,
                "step": step,
                "slot": slot,
                "call": 0,
                "attempt": 0,
                "calls": tokens.successful_calls,
                "seat": first[role].get(model),
                "model": model,
                "provider_model": model,
                "input_tokens": tokens.successful_prompt_tokens + tokens.failed_prompt_tokens,
                "output_tokens": tokens.successful_completion_tokens + tokens.failed_completion_tokens,
                "tries": tokens.successful_calls + tokens.failed_calls,
                "status": "ok" if tokens.successful_calls else "failed",
            }
            slot += 1


# ------------------------------------------------------------------ labels of private reasoning


@dataclass(frozen=True, slots=True)
class _Label:
    """What the study's reader made of one bet's reasoning."""

    file: str
    debate: str
    folder: str | None
    """The folder of the debate, where a match's id does not say."""
    side: str
    phase: str
    bet: str
    stated: bool | None
    implied: str | None
    assessment: str | None
    degree: str | None
    strategic: bool | None


class _Alignment(_Layout):
    numeric_confidence_present: bool | None = None
    internal_confidence: str | None = None
    assessment: str | None = None
    degree: str | None = None


class _Strategic(_Layout):
    present: str | None = None


class _Analysis(_Layout):
    betting_alignment: _Alignment = _Alignment()
    strategic_betting: _Strategic = _Strategic()


class _Labelled(_Layout):
    debate_id: str
    side: str
    speech_type: str
    raw_bet_amount: int
    analysis: _Analysis


_ANY_ROWS: TypeAdapter[list[Any]] = TypeAdapter(list[Any])


def _json_labels(file: File, left_out: list[LeftOut]) -> Iterator[_Label]:
    """The labels of a file `bet_analysis_results_<folder>.json`."""
    try:
        if file.problem is not None:
            raise _Wrong(file.problem)
        rows: list[Any] = _parsed(_ANY_ROWS, file.data)
    except _Wrong as problem:
        left_out.append(LeftOut(file.name, str(problem)))
        return
    folder = _stem(file.name).removeprefix("bet_analysis_results").removeprefix("_")
    for number, plain in enumerate(rows, start=1):
        place = f"{file.name}, label {number}"
        try:
            row = _Labelled.model_validate(plain)
        except ValidationError as problem:
            left_out.append(LeftOut(place, _explained(problem)))
            continue
        aligned = row.analysis.betting_alignment
        yield _Label(
            place,
            row.debate_id,
            folder,
            row.side,
            row.speech_type,
            str(row.raw_bet_amount),
            aligned.numeric_confidence_present,
            aligned.internal_confidence,
            aligned.assessment,
            aligned.degree,
            _yes(row.analysis.strategic_betting.present),
        )


_COLUMNS = (
    "debate_id", "side", "speech_type", "bet", "numeric_confidence_present", "internal_confidence_text", "assessment",
    "degree", "strategic_betting_present",
)  # fmt: skip


def _csv_labels(path: Path, left_out: list[LeftOut]) -> Iterator[_Label]:
    """The labels of a CSV. Raises `SourceError` for a file that is none."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise SourceError(f"{path} cannot be read as a CSV of labels: {problem}") from problem
    if missing := [column for column in _COLUMNS if column not in (rows[0] if rows else {})]:
        raise SourceError(f"{path} is no CSV of labels: it has no column {', '.join(missing)}")
    for number, row in enumerate(rows, start=1):
        if any(row[column] is None for column in _COLUMNS):
            left_out.append(LeftOut(f"{path.name}, row {number}", "it has too few cells"))
            continue
        yield _Label(
            f"{path.name}, row {number}",
            row["debate_id"],
            None,
            row["side"],
            row["speech_type"],
            row["bet"],
            _yes(row["numeric_confidence_present"]),
            row["internal_confidence_text"],
            row["assessment"] or None,
            row["degree"] or None,
            _yes(row["strategic_betting_present"]),
        )


def _yes(word: str | None) -> bool | None:
    return {"yes": True, "true": True, "no": False, "false": False}.get((word or "").strip().lower())


def _readings(labels: Iterable[_Label], debates: Sequence[_Debate], left_out: list[LeftOut]) -> tuple[list[Row], int]:
    """Rows of the labels, and how many are of debates that are not here."""
    known: dict[tuple[str | None, str], _Debate] = {}
    for debate in debates:
        known[None, debate.match_id] = known[PurePosixPath(debate.file).parent.name, debate.name] = debate
    ballots: Counter[tuple[str, int, str]] = Counter()
    rows: list[Row] = []
    strangers = 0
    for label in labels:
        debate = known.get((label.folder, label.debate))
        if debate is None:
            strangers += 1
            continue
        try:
            turn = _labelled(label, debate)
        except _Wrong as problem:
            left_out.append(LeftOut(label.file, str(problem)))
            continue
        key = (debate.match_id, turn.round, turn.side)
        ballots[key] += 1
        rows.append(
            {
                "match_id": debate.match_id,
                "round": turn.round,
                "phase": turn.phase,
                "seat": turn.side,
                "model": debate.models[turn.side],
                "reader": READER,
                "reader_model": READER,
                "ballot": ballots[key],
                "implied": _number(label.implied),
                "stated": label.stated,
                "strategic": label.strategic,
                "assessment": label.assessment,
                "degree": label.degree,
                "status": "unparsed" if label.assessment is None else "ok",
                "raw": label.implied,
            }
        )
    return rows, strangers


def _labelled(label: _Label, debate: _Debate) -> _Turn:
    for turn in debate.turns:
        if (turn.side, turn.phase) == (label.side, _phase(label.phase)):
            if label.bet != str(turn.bet.amount):
                raise _Wrong(f"it is of a bet of {label.bet[:40]}; {debate.name} has {turn.bet.amount} there")
            return turn
    raise _Wrong(f"{debate.name} has no {label.phase[:40]!r} of {label.side[:40]!r}")


def _number(text: str | None) -> float | None:
    """The implied confidence, where the text is one number of percent; a range is none."""
    found = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*%?\s*", text or "", re.ASCII)
    return float(found.group(1)) / 100 if found and float(found.group(1)) <= 100 else None


# ------------------------------------------------------------------ what cannot be known


def _notes(debates: Sequence[_Debate], strangers: int) -> Iterator[str]:
    if not debates:
        return
    turns = [turn for debate in debates for turn in debate.turns]
    full = sum(turn.bet.amount == 100 for turn in turns)
    yield (
        f"The study's program cut bets above 100 down to 100 and did not mark them; {full} of {len(turns)} bets are 100, and "
        "may have been more."
    )
    yield (
        "Replies were not kept and typed-in numbers were not marked: the flags rest on what is left in the speeches, so there "
        "are as many typed numbers as are flagged, or more."
    )
    if timeless := sum(debate.started_at is None for debate in debates):
        yield f"{timeless} debates have no time in their file's name."
    yield "Times are from the files' names, which do not say their zone; they stand as UTC."
    if any(debate.held.debator_token_counts for debate in debates):
        yield "Tokens are totals of a model in a debate; no cost was recorded."
    if uncounted := sum(not debate.held.debator_token_counts for debate in debates):
        yield f"{uncounted} debates have no count of calls and tokens."
    if strangers:
        yield f"{strangers} labels of private reasoning are of debates that are not here."
