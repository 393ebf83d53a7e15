"""How many calls at once an account can take: found by trying, from refusals and from replies that slow down. It reads no clock."""

from __future__ import annotations

from math import log2
from statistics import fmean, median
from typing import Literal

START = 32
"""Calls at once to begin with."""
MOST_CUT = 0.5
PAST = 1.1
"""How far beyond the remembered ceiling growth is cautious."""
SLOW = 2.0
"""Replies this many times slower than they can be mean a queue: the server is at work on half of the calls, the others wait."""
TRIAL = 0.75
"""What is left of the limit, at most, when it is tried whether fewer calls are answered faster."""
SOONEST_TRIAL, RAREST_TRIAL = 2, 64
"""Rounds between two such tries, the second while they find nothing."""
FEWEST = 16
"""Replies that are needed to say that they are slow."""
USUAL = 0.25
"""The largest share of refusals that may come whatever we do. A server that turns away the calls beyond what it can take, and
no more than this share of them, turns none away at half as many."""
ENOUGH = 80
"""Outcomes that are needed to say which share of them are refusals."""
DOUBT = 0.9
"""What is kept of such a share when more is refused than it explains."""

Reason = Literal["refused", "slow"]


class Congestion:
    """The limit of one account, in [1, ceiling].

    It counts in rounds: as many outcomes as calls are let through at once, of calls that left after the last change, so that
    what a change did is known before the next one and a burst of refusals counts once. It doubles a round until something
    pushes back; a refused round cuts it to the share that was taken. Then it grows by a quarter of what it lost, by one, and
    slower still around the ceiling that it remembers; past that it doubles again.

    Where as large a share was refused at half the limit, refusals do not come of how many calls there are: the limit is put back,
    and cut again only for a larger share.

    Replies are compared with the fastest of the same model and about the same length. Where a round is `SLOW`, the
    limit is cut as a trial: if the next replies are faster, the queue was ours; if not, the server is slow whatever we do,
    which becomes what is expected of it, and the limit is put back.
    """

    def __init__(self, ceiling: int):
        self.ceiling = ceiling
        self.limit = float(min(ceiling, START))
        self.reason: Reason | None = None
        """Why it was cut last; None as long as it was not."""
        self._remembered = float("inf")
        self._since = 0.0
        """Calls that left before do not count: they met another limit."""
        self._asked = self.limit
        """Outcomes that make a round."""
        self._outcomes = 0
        self._refused = 0
        self._grew = False
        self._slowness: list[float] = []
        self._shares: dict[int, tuple[float, float]] = {}
        """Outcomes and refusals of late, by the limit they met: two steps for each doubling."""
        self._crowded = False
        """Whether replies are slow enough to grow no further."""
        self._fastest: dict[tuple[str, int], float] = {}
        self._trial: tuple[float, float, float] | None = None
        """Limit and ceiling before a trial, and how slow replies were."""
        self._pause = SOONEST_TRIAL
        self._rounds_to_trial = 0

    @property
    def at_once(self) -> int:
        return int(self.limit)

    def answered(self, now: float, left: float, in_flight: int, model: str, latency_s: float, tokens: int) -> None:
        """A call that left at `left` was answered with so many tokens; `in_flight` counts it."""
        # A reply of twice the length takes longer, and not twice as long: those within a factor of two are compared.
        alike = model, tokens.bit_length()
        fastest = self._fastest.get(alike)
        if fastest is None:
            fastest = self._fastest[alike] = latency_s
        elif latency_s < fastest:
            # A part of the way, so that one odd reply is no measure for all others.
            self._fastest[alike] = fastest + 0.1 * (latency_s - fastest)
        if left < self._since:
            return
        self._outcomes += 1
        self._slowness.append(latency_s / fastest if fastest > 0 else 1.0)
        if not self._crowded and self._trial is None and in_flight * 2 >= self.limit:
            self._grow()
        if self._outcomes >= self._asked:
            self._round(now, in_flight)

    def refused(self, now: float, left: float, in_flight: int) -> None:
        """A call that left at `left` was turned away because there were too many; `in_flight` counts it."""
        if left < self._since:
            return
        self._outcomes += 1
        self._refused += 1
        if self._outcomes >= self._asked or self._refused >= max(1.0, self.limit / 4):
            self._round(now, in_flight)

    def _grow(self) -> None:
        if self.limit > self._remembered * PAST + 1:
            self._remembered = float("inf")
        lost = self._remembered - self.limit
        step = 1.0 if lost == float("inf") else (max(1.0, lost / 4) if lost > 1 else 0.25) / self.limit
        self._grew = True
        self.limit = min(float(self.ceiling), self.limit + step)

    def _round(self, now: float, in_flight: int) -> None:
        step = int(2 * log2(self.limit))
        if self._refused:
            usual = self._share(step - 3, step - 2)
            # Of a round that is not over, at least this share was turned away.
            outcomes = max(self._outcomes, self.limit)
            share = self._refused / outcomes
            if self._refused > usual * outcomes + 2 * (usual * outcomes) ** 0.5:
                self._trial = None
                self._count(step)
                here, above = self._share(step - 1, step), self._share(step + 2, step + 3)
                if 0 < above <= USUAL and here >= above / 2:
                    self._put_back(now)
                else:
                    self._doubt(step - 3, step - 2)
                    # A little below what was taken, or it would be refused again at once.
                    self._cut(now, max(MOST_CUT, 0.98 - share + usual), "refused")
                return
        if len(self._slowness) < FEWEST:
            self._asked += FEWEST
            return
        self._count(step)
        most = 3 * median(self._slowness)  # a few that stall say nothing of the others
        slowness = fmean(min(slow, most) for slow in self._slowness)
        self._crowded = slowness > 0.9 * SLOW
        self._rounds_to_trial -= 1
        used = in_flight * 2 >= self.limit
        if self._trial is not None:
            self._judge(now, slowness)
        elif self._crowded and self.at_once == 1:
            # One at a time makes no queue: the server is as slow as that, whatever we do.
            self._expect(slowness)
            self._crowded = False
            self._begin(now)
        elif slowness > SLOW and self._rounds_to_trial <= 0 and not self._grew and used:
            self._trial = self.limit, self._remembered, slowness
            self._cut(now, max(MOST_CUT, min(TRIAL, SLOW / slowness)), "slow")
        else:
            self._begin(now)

    def _count(self, step: int) -> None:
        """Take the round into the shares."""
        outcomes, refused = self._shares.get(step, (0.0, 0.0))
        kept = 0.5 if outcomes > 4 * ENOUGH else 1.0
        self._shares[step] = kept * outcomes + self._outcomes, kept * refused + self._refused

    def _doubt(self, *steps: int) -> None:
        """Forget some of what is known of some limits, so that it is found out anew where it often explains too little."""
        for step in self._shares.keys() & set(steps):
            outcomes, refused = self._shares[step]
            self._shares[step] = DOUBT * outcomes, DOUBT * refused

    def _share(self, *steps: int) -> float:
        """Which share is refused at some limits; nothing where that is not known, or more than is ever usual."""
        outcomes, refused = (
            sum(found) for found in zip(*(self._shares.get(step, (0.0, 0.0)) for step in steps), strict=True)
        )
        return refused / outcomes if outcomes >= ENOUGH and refused <= USUAL * outcomes else 0.0

    def _put_back(self, now: float) -> None:
        """Go back to where as large a share was refused."""
        self.limit = min(float(self.ceiling), 2 * self.limit)
        self._remembered, self.reason = float("inf"), None
        self._begin(now)

    def _judge(self, now: float, slowness: float) -> None:
        """Whether the trial made replies faster, by enough of what a queue of ours would have become shorter."""
        assert self._trial is not None
        limit, remembered, before = self._trial
        self._trial = None
        if slowness <= before * (1 - 0.5 * (1 - self.limit / limit)):
            self._pause = SOONEST_TRIAL
            self._rounds_to_trial = 0
            self._begin(now)
            return
        self._expect(slowness)
        self.limit, self._remembered, self._crowded, self.reason = limit, remembered, False, None
        self._rounds_to_trial = self._pause
        self._pause = min(2 * self._pause, RAREST_TRIAL)
        self._begin(now)

    def _expect(self, slowness: float) -> None:
        """Take replies as slow as these for usual."""
        # Room is left for one more trial, should it become slower still.
        usual = max(1.0, slowness / (0.6 * SLOW))
        self._fastest = {alike: fastest * usual for alike, fastest in self._fastest.items()}

    def _cut(self, now: float, factor: float, reason: Reason) -> None:
        self._remembered = self.limit
        self.limit = max(1.0, self.limit * factor)
        self.reason = reason
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._since = now
        self._asked = self.limit
        self._outcomes = self._refused = 0
        self._grew = False
        self._slowness.clear()
