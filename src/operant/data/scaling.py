"""How a language model's loss falls with its parameters and with the tokens that it learns from: three laws, fitted.

With two power laws s = (N_c / N)^α and t = (D_c / D)^β the loss in nats a token is, by the form of the law,

- sum: L = s + t
- joint: L = (s^{1/β} + t^{1/β})^β = [(N_c / N)^{α/β} + D_c / D]^β  (Kaplan et al. 2020, arXiv:2001.08361, eq. 1.5)
- floor: L = E + s + t, where A = N_c^α and B = D_c^β  (Hoffmann et al. 2022, arXiv:2203.15556)

NumPy and SciPy are imported inside the functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Form = Literal["sum", "joint", "floor"]
FORMS: tuple[Form, ...] = get_args(Form)
THRESHOLD = 1e-3
"""Errors of log L up to which their squares count, and beyond which they count themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingLaw:
    """A law and its constants: N_c and D_c in parameters and tokens, by their logarithms, and E in nats (0 without)."""

    form: Form
    log_size: float
    log_data: float
    alpha: float
    beta: float
    floor: float = 0.0

    def loss(self, size: ArrayLike, data: ArrayLike) -> NDArray[np.float64]:
        """L of models of so many parameters that learn from so many tokens; shapes broadcast."""
        import numpy as np

        raw = (self.alpha * self.log_size, self.beta * self.log_data, np.log(self.alpha), np.log(self.beta))
        rest = np.log(self.floor) if self.floor > 0.0 else -np.inf
        return np.exp(_log_loss(self.form, (*raw, rest), np.log(size), np.log(data)))


def _log_loss(form: Form, raw: Any, x: Any, y: Any) -> Any:
    """log L at log N and log D; `raw` holds log s and log t at 0, log α, log β and log E."""
    import numpy as np

    alpha, beta = np.exp(raw[2]), np.exp(raw[3])
    s, t = raw[0] - alpha * x, raw[1] - beta * y
    if form == "joint":
        return beta * np.logaddexp(s / beta, t / beta)
    both = np.logaddexp(s, t)
    return np.logaddexp(both, raw[4]) if form == "floor" else both


def fit_scaling_law(
    form: Form, size: ArrayLike, data: ArrayLike, loss: ArrayLike, *, starts: int = 40, seed: int = 0
) -> ScalingLaw:
    """The constants that minimise Σ Huber(log L̂ − log L) with threshold 10⁻³: the best of what many starts lead to.

    Args:
        form: of the law.
        size, data, loss: of each model [n]: its parameters, its tokens, its loss in nats.
        starts: drawn exponents, shares of the two terms and floors to begin from.
        seed: of these.

    Raises:
        ValueError: for another form, lists of different lengths, or what is not positive and finite.
    """
    import numpy as np

    table = np.asarray([np.asarray(v, np.float64).reshape(-1) for v in (size, data, loss)])  # [3, n]
    if form not in FORMS or table.shape[1] < 1 or not (np.isfinite(table).all() and (table > 0.0).all()):
        raise ValueError(f"a law {form!r} of {table.shape[1]} losses: take {', '.join(FORMS)}, and positive numbers")
    random, lowest = np.random.default_rng(seed), np.log(table[2].min())
    begin = np.column_stack([
        random.normal(lowest, 1.0, (starts, 2)), random.uniform(np.log(0.03), np.log(1.5), (starts, 2)),
        lowest + np.log(random.uniform(0.05, 0.99, (starts, 1))),
    ])  # fmt: skip
    return _law(form, table, begin)


def scaling_intervals(
    law: ScalingLaw, size: ArrayLike, data: ArrayLike, loss: ArrayLike, *, level: float = 0.95,
    resamples: int = 200, seed: int = 0,
) -> dict[str, tuple[float, float]]:  # fmt: skip
    """Percentile bootstrap intervals of a fitted law's constants, by name: models are drawn again with replacement, and
    each draw is fitted from that law and from one beside it. Arguments are as those of `fit_scaling_law`."""
    import numpy as np

    table = np.asarray([np.asarray(v, np.float64).reshape(-1) for v in (size, data, loss)])
    random, tail = np.random.default_rng(seed), (1.0 - level) / 2.0
    names = ("log_size", "log_data", "alpha", "beta", "floor")
    found: list[list[float]] = []
    for _ in range(resamples):
        drawn = table[:, random.integers(0, table.shape[1], table.shape[1])]
        x, y = np.log(drawn[:2]).mean(1)
        here = [law.alpha * (law.log_size - x), law.beta * (law.log_data - y), np.log(law.alpha), np.log(law.beta),
                np.log(max(law.floor, 1e-12))]  # fmt: skip
        begin = np.asarray(here) + np.asarray([[0.0], [0.3]])
        again = _law(law.form, drawn, begin)
        found.append([getattr(again, name) for name in names])
    low, high = np.quantile(np.asarray(found), [tail, 1.0 - tail], axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}


def _law(form: Form, table: NDArray[np.float64], begin: NDArray[np.float64]) -> ScalingLaw:
    """The best law that starts [k, 5] lead to; they, and what is searched, count from the mean of log N and log D."""
    import numpy as np
    from scipy.optimize import least_squares

    x, y, target = np.log(table)
    x0, y0, count = x.mean(), y.mean(), 5 if form == "floor" else 4
    low, high = np.asarray([-30.0, -30.0, -7.0, -7.0, -30.0])[:count], np.asarray([9.0, 9.0, 2.0, 2.0, 9.0])[:count]

    def error(raw: NDArray[np.float64]) -> NDArray[np.float64]:
        return cast("NDArray[np.float64]", _log_loss(form, raw, x - x0, y - y0) - target)

    fits = [
        least_squares(error, np.clip(start[:count], low + 1e-6, high - 1e-6), bounds=(low, high), loss="huber",
                      f_scale=THRESHOLD, xtol=1e-10, ftol=1e-10, gtol=1e-12, max_nfev=200)
        for start in begin
    ]  # fmt: skip
    raw = fits[int(np.argmin([one.cost for one in fits]))].x
    alpha, beta = float(np.exp(raw[2])), float(np.exp(raw[3]))
    return ScalingLaw(
        form=form, log_size=float(raw[0] / alpha + x0), log_data=float(raw[1] / beta + y0), alpha=alpha, beta=beta,
        floor=float(np.exp(raw[4])) if form == "floor" else 0.0,
    )  # fmt: skip
