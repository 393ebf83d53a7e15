"""The parameters of simulated debaters and judges; `agents.models.simulated` says what each does."""

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
    discernment: float = 1.0
    """As a judge: log-odds in favour of the side that wins in truth (a fair coin a match)."""
    side_lean: float = 0.0
    """As a judge: log-odds added for the side named first."""
    sd_ballot: float = 1.0
    """As a judge, or as a reader of reasoning: noise of what it says."""
