"""What code of a person's own changes in the whole process, and what is put back when it is done.

Modules of users set torch's default type or device, NumPy's reaction to a division by zero, a handler of Ctrl-C. What
the library does must not depend on it. Left as they are: environment variables, by which simulators are told what to
do; the working folder, in which they may keep what they read (paths of ours are absolute before they run); and the
global generators, which nothing here draws from.
"""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from operant.config.errors import is_ctrl_c

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
"""Those by which a person or a system ends a run."""


@contextmanager
def undisturbed() -> Generator[None]:
    """Run code of a person's own; put back what it changed in the process, also where it raises."""
    before, filters = _state(), [*warnings.filters]
    streams = sys.stdout, sys.stderr, warnings.showwarning
    main = threading.current_thread() is threading.main_thread()  # no other thread may set a handler
    handlers = [signal.getsignal(number) for number in SIGNALS] if main else []
    try:
        yield
    except KeyboardInterrupt as stop:
        if is_ctrl_c(stop):
            handlers = []  # whoever raised it may have made the next one the last
        raise
    finally:
        after = _state()
        if after != before:
            for name, (module, get, put, default) in PIECES.items():
                was = before[name] if name in before else default and default(sys.modules.get(module))
                if name in after and was is not None and getattr(sys.modules[module], get)() != was:
                    put(sys.modules[module], was)
        sys.stdout, sys.stderr, warnings.showwarning = streams
        for number, handler in zip(SIGNALS, handlers, strict=False):
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        if warnings.filters != filters:  # what it does not want to hear of stays unsaid, but nothing becomes an error
            kept: Any = [one for one in warnings.filters if one[0] != "error" or one in filters]
            warnings.filters = kept


def _device(torch: Any, device: Any) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)  # a mode that says cpu costs time at each call


PIECES: dict[str, tuple[str, str, Callable[[Any, Any], object], Callable[[Any], Any] | None]] = {
    "reactions": ("numpy", "geterr", lambda numpy, value: numpy.seterr(**value), None),
    "dtype": ("torch", "get_default_dtype", lambda torch, value: torch.set_default_dtype(value), lambda t: t.float32),
    "device": ("torch", "get_default_device", _device, lambda torch: torch.device("cpu")),
    "gradients": ("torch", "is_grad_enabled", lambda torch, value: torch.set_grad_enabled(value), lambda torch: True),
    "threads": ("torch", "get_num_threads", lambda torch, value: torch.set_num_threads(value), None),
    "exact": (
        "torch", "are_deterministic_algorithms_enabled",
        lambda torch, value: torch.use_deterministic_algorithms(value), lambda torch: False,
    ),
}  # fmt: skip
"""Its package, how it is read there and set, and what it is where the code itself imported the package first."""


def _state() -> dict[str, Any]:
    """What is set now in those packages that are imported whole."""
    found: dict[str, Any] = {}
    for name, (module, get, _, _) in PIECES.items():
        read = getattr(sys.modules.get(module), get, None)
        if read is not None:
            found[name] = read()
    return found
