"""Laws of the loss in size and data: what each was drawn from is found again, and nothing else is."""

import math

import numpy as np
import pytest

from operant.data.scaling import FORMS, ScalingLaw, fit_scaling_law, scaling_intervals

N, D = (x.ravel() for x in np.meshgrid(1e3 * 4.0 ** np.arange(5), 4e3 * 4.0 ** np.arange(5)))
TRUE = {
    form: ScalingLaw(
        form=form,
        log_size=math.log(4e4),
        log_data=math.log(9e4),
        alpha=0.31,
        beta=0.44,
        floor=1.7 if form == "floor" else 0.0,
    )
    for form in FORMS
}


def constants(law):
    return [law.log_size, law.log_data, law.alpha, law.beta, law.floor]


def test_forms_are_those_of_the_papers():
    n, d, a, b, e = 4e4, 9e4, 0.31, 0.44, 1.7
    s, t = (n / 2e3) ** a, (d / 3e5) ** b
    assert TRUE["sum"].loss(2e3, 3e5) == pytest.approx(s + t)
    assert TRUE["joint"].loss(2e3, 3e5) == pytest.approx(((n / 2e3) ** (a / b) + d / 3e5) ** b)
    assert TRUE["floor"].loss(2e3, 3e5) == pytest.approx(e + n**a / 2e3**a + d**b / 3e5**b)
    kaplan = ScalingLaw(form="joint", log_size=math.log(8.8e13), log_data=math.log(5.4e13), alpha=0.076, beta=0.095)
    assert kaplan.loss(8.8e13, 1e30) == pytest.approx(1.0)  # without end of data the law in N alone is left


@pytest.mark.parametrize("form", FORMS)
def test_constants_are_found_again(form):
    found = fit_scaling_law(form, N, D, TRUE[form].loss(N, D), starts=4)
    assert constants(found) == pytest.approx(constants(TRUE[form]), rel=1e-3, abs=1e-6)


def test_a_few_losses_that_are_far_off_move_nothing():
    """Huber's: squares would be drawn along."""
    loss = TRUE["floor"].loss(N, D)
    loss[[3, 17]] *= 1.3
    found = fit_scaling_law("floor", N, D, loss, starts=4)
    assert constants(found) == pytest.approx(constants(TRUE["floor"]), rel=0.02)


def test_a_law_without_a_floor_says_too_little_where_there_is_one():
    held = (N > 1e5) | (D > 5e5)
    loss = TRUE["floor"].loss(N, D)
    off = {
        form: np.abs(fit_scaling_law(form, N[~held], D[~held], loss[~held], starts=4).loss(N, D) / loss - 1)[held].max()
        for form in FORMS
    }
    assert off["floor"] < 1e-4
    assert min(off["sum"], off["joint"]) > 10 * off["floor"]
    assert off["sum"] > 0.01


def test_intervals_hold_what_was_fitted_and_shrink_with_noise():
    random, true = np.random.default_rng(0), TRUE["floor"]
    wide = {}
    for noise in (0.001, 0.01):
        loss = true.loss(N, D) * np.exp(noise * random.normal(size=len(N)))
        law = fit_scaling_law("floor", N, D, loss, starts=4)
        found = scaling_intervals(law, N, D, loss, resamples=10)
        wide[noise] = found["floor"][1] - found["floor"][0]
        assert all(low < getattr(law, name) < high for name, (low, high) in found.items())
    assert wide[0.001] < wide[0.01]


def test_what_is_no_loss_is_refused():
    for given in (("cubic", [1.0], [1.0], [1.0]), ("sum", [0.0], [1.0], [1.0]), ("sum", [1.0], [1.0], [math.nan])):
        with pytest.raises(ValueError, match="take sum, joint, floor"):
            fit_scaling_law(*given)
