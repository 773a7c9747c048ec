"""What training changes, as the run folder sees it: something to save, to load and to look over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from operant.run.actor import Policy


class Kept(Protocol):
    """What a run needs besides its networks to go on, and no policy does: one file of tensors in every checkpoint."""

    def tensors(self) -> Mapping[str, Tensor]:
        """All of it as it is now, by name."""
        ...

    def prepared(self, tensors: Mapping[str, Tensor], file: Path) -> Callable[[], None]:
        """See that tensors read from `file` fit; what is returned, when called, takes them over.

        Raises:
            ConfigError: if they do not fit; names the file.
        """
        ...


@runtime_checkable
class Filed(Protocol):
    """As `Kept`, but of files of its own, those that do not change any more shared with the checkpoints before."""

    def size(self) -> int:
        """Bytes that a checkpoint writes of it."""
        ...

    def shared(self) -> int:
        """Bytes of the files that checkpoints share."""
        ...

    def save(self, folder: Path, name: str) -> None:
        """Write it into `folder`, in files that begin with `name`."""
        ...

    def read(self, folder: Path, name: str) -> Callable[[], None]:
        """See that what was saved fits; what is returned, when called, takes it over.

        Raises:
            ConfigError: if it does not fit; names the file.
        """
        ...


@runtime_checkable
class Sharing(Protocol):
    """Of what is `Learned`, that whose checkpoints share files."""

    def shared(self) -> int:
        """Bytes of these files."""
        ...


class Learned(Protocol):
    """All that training changes: what a checkpoint holds, and what must stay finite.

    Its files are `model.safetensors` and `policy.json`, the policy, and `optim.safetensors`, what the learning rule
    keeps besides; and one of each `Kept`.
    """

    @property
    def agent(self) -> Policy:
        """The policy as it stands."""
        ...

    @property
    def parameters(self) -> int:
        """How many numbers are learnt."""
        ...

    def size(self) -> int:
        """Bytes of its tensors."""
        ...

    def save(self, folder: Path) -> None:
        """Write its files into `folder`, bit for bit; equal contents give equal files."""
        ...

    def load(self, folder: Path) -> None:
        """Become what was saved.

        Raises:
            ConfigError: if a file cannot be read or is of another learner; nothing was changed then.
        """
        ...

    def finite(self) -> bool:
        """Whether no number is NaN or infinite."""
        ...

    def named(self) -> Mapping[str, Tensor]:
        """Everything that `finite` looks at, by name."""
        ...
