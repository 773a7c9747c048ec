"""Tensors in, tensors out; imports torch and nothing of ours.

`scan` holds the one recursion, `advantage` its coefficients, `baseline` what stands in for a critic, `objective` the
losses, `comparison` and `preference` those on judged answers, `reduce` what counts as one, `divergence` and `logprob`
distributions, `bellman` one-step targets.
"""

from operant.math.quick_start import spare_compiler

spare_compiler()
