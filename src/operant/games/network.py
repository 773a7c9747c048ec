"""A network that plays a board: a prior over actions and a value, alone or guided by search."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from operant.config.errors import ConfigError
from operant.control.mlp import MLP
from operant.games.board import Board, game
from operant.games.kernels import States
from operant.math.quick_start import undrawn
from operant.run.disk import fits_memory, save_tensors
from operant.run.schemas import NUMBER, read_json
from operant.search.tree import Found, Reply, Root, Search, tree_search

SPEC: dict[str, tuple[type, ...]] = {
    "game": (str,), "options": (dict,), "network": (str,), "hidden": (list,), "channels": (int,), "blocks": (int,),
    "simulations": (int,), "explore": NUMBER, "kind": (str,),
}  # fmt: skip
FLOOR = 1e-9
"""The least prior of a legal action: the search takes 0 for one that is not legal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSpec:
    """The shape of a network and its game; `policy.json` beside its numbers."""

    game: str
    options: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
    network: Literal["mlp", "residual"] = "mlp"
    hidden: tuple[int, ...] = (128, 128)
    channels: int = 32
    blocks: int = 3
    simulations: int = 100
    explore: float = 2.5
    kind: Literal["board"] = "board"


class Residual(nn.Module):
    """Convolutions of 3 × 3 with skips, then one layer."""

    def __init__(self, planes: int, rows: int, columns: int, out: int, spec: BoardSpec) -> None:
        super().__init__()
        c = spec.channels
        self.first = undrawn(nn.Conv2d, planes, c, 3, padding=1)
        self.pairs = nn.ModuleList(undrawn(nn.Conv2d, c, c, 3, padding=1) for _ in range(2 * spec.blocks))
        self.last = undrawn(nn.Linear, c * rows * columns, out)

    def forward(self, x: Tensor) -> Tensor:
        """[N, P, R, C] → [N, out]."""
        x = torch.relu(self.first(x))
        for k in range(0, len(self.pairs), 2):
            x = torch.relu(x + self.pairs[k + 1](torch.relu(self.pairs[k](x))))
        return self.last(x.flatten(1))


class BoardPolicy(nn.Module):
    """Logits of all actions and a value to the mover; a move is the best of a search that they guide.

    Args:
        spec: its shape, and how hard it searches.
        generator: where the weights come from.
    """

    def __init__(self, spec: BoardSpec, generator: torch.Generator) -> None:
        super().__init__()
        self.spec, self.board = spec, game(spec.game, **spec.options)
        board = self.board
        if spec.network == "mlp":
            sizes = (board.planes * board.rows * board.columns, *spec.hidden, board.actions + 1)
            self.net: nn.Module = MLP(sizes, "relu", out_gain=0.1, generator=generator)
        else:
            self.net = Residual(board.planes, board.rows, board.columns, board.actions + 1, spec)
            for name, x in self.net.named_parameters():
                gain = 0.1 if name.startswith("last") else 2.0**0.5
                nn.init.orthogonal_(x, gain, generator=generator) if x.ndim > 1 else nn.init.zeros_(x)

    def forward(self, planes: Tensor, legal: Tensor) -> tuple[Tensor, Tensor]:
        """Planes [N, P, R, C] and legal actions [N, A] bool → log-probabilities [N, A] and values [N] in (−1, 1).

        Log-probabilities are −1e9 or less where an action is not legal.
        """
        out = self.net(planes if self.spec.network == "residual" else planes.flatten(1))
        return torch.log_softmax(out[:, :-1].masked_fill(~legal, -1e9), -1), torch.tanh(out[:, -1])

    @torch.inference_mode()
    def evaluate(self, states: States) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Priors [N, A], above 0 exactly where an action is legal, and values [N] to the mover."""
        legal = self.board.legal(states)
        logp, value = self(torch.from_numpy(self.board.encode(states)), torch.from_numpy(legal))
        prior = np.where(legal, np.maximum(logp.exp().double().numpy(), FLOOR), 0.0)
        return prior, value.double().numpy()

    def search(self, states: States, search: Search, generator: np.random.Generator | None = None) -> Found:
        """What a search from open positions finds."""
        return tree_search(Root(*self.evaluate(states), states), model_of(self.board, self.evaluate), search, generator)

    def decide(self, states: States, *, generator: np.random.Generator | None = None) -> NDArray[np.int64]:
        """[N] the best action of a search; drawn by visits where `generator` is given."""
        found = self.search(states, Search(simulations=self.spec.simulations, explore=self.spec.explore))
        return found.best() if generator is None else found.sample(1.0, generator)

    def forget(self, rows: Any = None) -> None:
        """A position says all; there is nothing to forget."""

    def told(self, reward: Any) -> None:
        """What was paid does not matter."""

    def attention(self) -> AbstractContextManager[Callable[[], None]]:
        """It reads nothing."""
        return nullcontext(lambda: None)

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `policy.json` into `folder`."""
        save_tensors({k: x.detach().cpu().clone() for k, x in self.state_dict().items()}, folder / "model.safetensors")
        (folder / "policy.json").write_text(json.dumps(asdict(self.spec), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> BoardPolicy:
        """Read what `save` wrote.

        Raises:
            ConfigError: if a file is missing or is not of such a policy.
        """
        try:
            raw: Any = read_json(folder / "policy.json", SPEC)
            sizes = [raw[k] for k in ("channels", "blocks", "simulations")] + [*raw["hidden"]]
            known = raw["kind"] == "board" and raw["network"] in ("mlp", "residual") and 0 < raw["explore"] < math.inf
            if not known or any(type(n) is not int or not 1 <= n <= 2**16 for n in sizes):
                raise ValueError("policy.json: of another kind, or with sizes that are none")
            tensors = load_file(fits_memory(folder / "model.safetensors"))
            wide = [*zip(raw["hidden"], raw["hidden"][1:], strict=False)]
            inner = (
                18 * raw["channels"] ** 2 * raw["blocks"] if raw["network"] != "mlp" else sum(a * b for a, b in wide)
            )
            if inner > sum(x.numel() for x in tensors.values()):
                raise ValueError("policy.json: a larger network than model.safetensors holds")
            made = cls(BoardSpec(**raw | {"hidden": tuple(raw["hidden"])}), torch.Generator())
            made.load_state_dict(tensors)
        except (ConfigError, OSError, LookupError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise ConfigError(f"{folder}: not a readable policy ({error})") from error
        return made


def model_of(board: Board, evaluate: Any) -> Any:
    """A board as the model that a search asks; `evaluate(states)` gives priors [N, A] and values [N] to the mover."""

    def model(states: NDArray[Any], actions: NDArray[Any]) -> Reply:
        after = board.play(states, actions)
        over = board.over(after)
        prior, value = evaluate(after)
        return Reply(board.outcome(after) * board.mover(states), np.where(over, 0.0, -1.0), prior, value, after)

    return model
