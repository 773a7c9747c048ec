"""The name of before: `operant.algo.tabular` is `operant.tabular`. It still works, and says so."""

import sys
import warnings

from operant import tabular

warnings.warn("operant.algo.tabular is operant.tabular now", DeprecationWarning, stacklevel=2)
sys.modules[f"{__name__}.tabular"] = tabular
