"""A model that is served to agents written elsewhere, on this machine, so that they can be trained as they are.

An agent speaks OpenAI's protocol to the address of its episode and knows nothing of training; what it was given and
what the model wrote is recorded as tokens, with the log-probabilities with which they were drawn.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Self

from operant.config.errors import ConfigError, OperantError
from operant.language.model.language_model import LanguageModel
from operant.language.sample.sampling import Completion
from operant.language.serve.http import Server, served
from operant.language.serve.recorder import Recorder

PATIENCE = 60.0
"""Seconds in which a server must have begun."""


class Gateway:
    """A server whose episodes are recorded. It samples with the weights as they are when it is made: one a step.

    A draw depends on (seed, episode, request in the episode, position), whatever else is asked for meanwhile; a request
    that names a seed of its own is drawn by that.

    Args:
        policy: the model; nothing else may use it until `close`.
        seed: of the draws.
        port: where to listen; 0 takes a free one.
        slots: completions written together.
        length: the longest prompt and completion, in tokens.
        name: what requests call the model.

    Raises:
        ConfigError: if the port is taken, or the length is beyond the model's positions.
    """

    def __init__(
        self, policy: LanguageModel, *, seed: int = 0, port: int = 0, slots: int = 16, length: int | None = None,
        name: str = "policy",
    ) -> None:  # fmt: skip
        self.recorder = Recorder()
        self._server = Server(served(name, policy, length), port=port, slots=slots, recorder=self.recorder, seed=seed)
        self._thread = threading.Thread(target=self._server.run, name="gateway", daemon=True)
        self._thread.start()
        until = time.monotonic() + PATIENCE
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                raise OperantError("the gateway did not begin to answer")
            time.sleep(0.005)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def url(self, episode: int) -> str:
        """The address that the agent of an episode is given as its base URL; its key may be any text.

        Raises:
            ConfigError: if the episode's number is no whole number of at least 0.
        """
        if isinstance(episode, bool) or not hasattr(episode, "__index__") or episode < 0:
            raise ConfigError(f"episode is {episode!r}: give a whole number, 0 or more")
        return self._server.url.removesuffix("/v1") + f"/episodes/{episode}/v1"

    def take(self, episode: int) -> list[Completion]:
        """The rows of an episode that has ended; see `Recorder.take`."""
        return self.recorder.take(episode)

    def close(self) -> None:
        """End the server; what is being written is told that it ends."""
        self._server.stop()
        self._thread.join()
