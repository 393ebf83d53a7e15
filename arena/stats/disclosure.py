"""What a seat says that it believes, against what it believes: shading, and whether it goes with winning."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arena.stats.clustered import clustered_mean
from arena.stats.estimate import Estimate
from arena.stats.logistic import Logistic, logistic


def shading(private: ArrayLike, public: ArrayLike, debates: ArrayLike) -> Estimate:
    """Mean public minus private confidence of the same seat and round, in probability; above 0 is bluster, below modesty.

    A row is a seat's round, `debates` says of which debate; pass one phase's rows for that phase. n counts debates;
    tested against 0, cluster-robust by debate. Raises `ValueError` on NaN and on values outside [0, 1].
    """
    shown, believed = _checked("public", public), _checked("private", private)
    if shown.shape != believed.shape:
        raise ValueError(f"{shown.size} public confidences have {believed.size} private ones; one each is needed")
    # 0.8 - 0.7 is 0.1 in hundredths, whatever binary fractions make of it.
    return clustered_mean(np.round(shown - believed, 12), debates, test="cluster-robust t by debate, public = private")


def predicts_winning(shaded: ArrayLike, first_won: ArrayLike) -> Logistic:
    """Whether the side that shades its confidence up more than the other wins more.

    A row is a debate with a winner: `shaded` (debates, 2) is public minus private confidence of either side, in probability,
    `first_won` is 1 where the first side won. The slope is in log-odds of its winning per unit of difference between the
    sides (divide by 10 for ten points); the intercept is its advantage where both shade alike. A prediction, no cause: who
    expects to lose may shade differently. See `arena.stats.logistic`. Raises `ValueError` on NaN.
    """
    sides = np.asarray(shaded, dtype=float)
    if sides.ndim != 2 or sides.shape[1] != 2:
        raise ValueError(f"shadings of shape {sides.shape}; each debate needs that of both sides, (debates, 2)")
    difference = np.round(sides[:, 0] - sides[:, 1], 12)
    each = np.arange(difference.size)
    return logistic(first_won, difference, each, "score test over debates, winning unrelated to shading")


def _checked(name: str, values: ArrayLike) -> NDArray[np.float64]:
    confidences = np.asarray(values, dtype=float)
    if missing := int(np.isnan(confidences).sum()):
        raise ValueError(
            f"{missing} of {confidences.size} {name} confidences are NaN; drop and count what is missing first"
        )
    if outside := int(((confidences < 0) | (confidences > 1)).sum()):
        raise ValueError(f"{outside} of {confidences.size} {name} confidences are outside [0, 1]")
    return confidences
