"""The parameters of simulated debaters, judges and respondents; `agents.models.simulated` says what each does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preset:
    """The parameters of a simulated seat; log-odds unless said otherwise."""

    opening: float = 0.0
    drift: float = 0.0
    acceleration: float = 0.0
    sd_model: float = 0.0
    sd_drift: float = 0.0
    sd_seat: float = 0.0
    sd_debate: float = 0.0
    sd_step: float = 0.0
    sd_report: float = 0.0
    shading: float = 0.0
    """Added to what is stated in public."""
    rounding: float = 0.0
    """In percentage points; 0 states what is believed."""
    evidence: float | None = None
    rating: float | None = None
    """As a debater: strength in rating points, 400 to a decade of odds. Its speeches then say what they are worth, which simulated
    judges read and go by."""
    sd_worth: float = 0.0
    """As a debater with a rating: by how much the worth of its speeches differs from debate to debate."""
    discernment: float = 1.0
    """As a judge: log-odds in favour of the side that wins in truth (a fair coin a match); where speeches say what they are
    worth, the weight of the difference between the two sides' speeches."""
    side_lean: float = 0.0
    """As a judge: log-odds added for the side named first."""
    order_lean: float = 0.0
    """Log-odds added for what is shown first: as a judge for the side whose speech stands first in what it is sent, as a
    respondent for the first of two answers."""
    ability: float = 1.0
    """As a respondent: mean log-odds of answering a question right."""
    sd_ability: float = 1.5
    """And their standard deviation over questions."""
    persistence: float = 0.0
    """As a respondent: the probability that a sample repeats its first answer, right or wrong."""
    overstatement: float = 0.0
    """As a respondent: added to the log-odds that it states."""
    sd_comparison: float = 1.0
    """As a respondent: noise of the difference when it says of which answer it is surer."""
    doubt: float = 0.0
    """As a judge: scale of the logistic noise that all its ballots on a match share; with 1 and no other noise the log-odds of
    its ballots are what is said here."""
    sd_ballot: float = 1.0
    """As a judge, or as a reader of reasoning: noise of what it says."""
