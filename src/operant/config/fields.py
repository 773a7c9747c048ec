"""What can be set, read off the schema: the leaves of a config class, and each leaf's expectation in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from inspect import getdoc
from typing import Any

from pydantic import BaseModel

from operant.config.elsewhere import MEANT
from operant.config.suggest import nearest


@dataclass(frozen=True)
class Leaf:
    """One setting: a field of the schema that is not itself a section."""

    path: tuple[str, ...]
    help: str
    default: object
    spec: dict[str, Any]  # the leaf's JSON schema, without the null of an optional
    optional: bool
    outward: bool = False  # it names what lies beyond a run

    @property
    def key(self) -> str:
        """The dotted name, as in `algo.discount`."""
        return ".".join(self.path)

    @property
    def kind(self) -> str:
        """JSON type: integer, number, boolean, string, array or object."""
        return self.spec.get("type", "any")

    @property
    def choices(self) -> list[Any]:
        """The values of an enumeration, empty for anything else."""
        return self.spec.get("enum", [self.spec["const"]] if "const" in self.spec else [])

    @property
    def free(self) -> bool:
        """Whether this is a table with entries of any name (`env.kwargs`)."""
        return self.kind == "object"

    @property
    def expected(self) -> str:
        """What the leaf takes, in words: `a number from 0 to 1`."""
        return _in_words(self.spec) + (", or none" if self.optional else "")


def _in_words(spec: dict[str, Any]) -> str:
    if "enum" in spec:
        return "one of " + ", ".join(map(str, spec["enum"]))
    if "const" in spec:
        return str(spec["const"])
    match spec.get("type"):
        case "integer":
            return "a whole number" + _bounds(spec)
        case "number":
            return "a number" + (_bounds(spec) or " that is finite")
        case "boolean":
            return "true or false"
        case "string":
            return "text"
        case "array":
            return "a list" + (f", each item {_in_words(spec['items'])}" if spec.get("items") else "")
        case "object":
            return "a table"
        case _:
            return "another value"


def _bounds(spec: dict[str, Any]) -> str:
    low, high = spec.get("minimum"), spec.get("maximum")
    above, below = spec.get("exclusiveMinimum"), spec.get("exclusiveMaximum")
    if spec["type"] == "integer" and above is not None:
        low, above = above + 1, None
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    parts = [
        f"{words} {bound:g}"
        for words, bound in (("of at least", low), ("above", above), ("of at most", high), ("below", below))
        if bound is not None
    ]
    return " " + " and ".join(parts) if parts else ""


@cache
def leaves(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Leaf]:
    """Every setting of a config class by its path, in the order of the schema, plain settings before sections."""
    found: dict[tuple[str, ...], Leaf] = {}
    specs = model.model_json_schema()["properties"]
    fields = model.model_fields
    for name in sorted(fields, key=lambda name: section(model, (name,)) is not None):
        if fields[name].exclude:
            continue
        path = (*prefix, name)
        inner = section(model, (name,))
        if inner is not None:
            found |= leaves(inner, path)
            continue
        spec = specs[name]
        branches = spec.get("anyOf", [spec])
        typed = [branch for branch in branches if branch.get("type") != "null"]
        found[path] = Leaf(
            path=path,
            help=fields[name].description or "",
            default=fields[name].get_default(call_default_factory=True),
            spec=typed[0] if len(typed) == 1 else {},
            optional=len(typed) < len(branches),
            outward=name in getattr(model, "outward", ()),
        )
    return found


def section(model: type[BaseModel], path: tuple[str, ...]) -> type[BaseModel] | None:
    """The section class at a path, or None where there is none."""
    for name in path:
        annotation = model.model_fields[name].annotation if name in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return None
        model = annotation
    return model


def title(model: type[BaseModel]) -> str:
    """First line of a section's docstring, without its full stop."""
    return (getdoc(model) or "").split("\n")[0].rstrip(".")


def leaf_of(model: type[BaseModel], path: tuple[str, ...]) -> Leaf | None:
    """The leaf that a path sets: the leaf itself, or the free table that the path is an entry of."""
    known = leaves(model)
    for length in range(len(path), 0, -1):
        leaf = known.get(path[:length])
        if leaf is not None:
            return leaf if leaf.free or length == len(path) else None
    return None


def nearest_keys(model: type[BaseModel], key: str) -> list[str]:
    """The dotted keys that a person who wrote `key` may have meant, at most two, best first.

    Tried in turn: what they certainly meant (`meant_keys`), a close spelling of the whole, one of the last part.
    """
    if meant := meant_keys(model, key):
        return meant
    keys, last = _offered(model), _last(key)
    close = nearest(key.replace("-", "_"), keys)
    if close:
        return close
    parts = nearest(last, [known.rpartition(".")[2] for known in keys])
    return [known for known in keys if known.rpartition(".")[2] in parts][:2]


def meant_keys(model: type[BaseModel], key: str) -> list[str]:
    """The dotted keys that a name can only mean, at most two: those whose last part it is, else another library's word.

    So `discount` is `algo.discount`, and so is `gamma`, however near in spelling another key is.
    """
    keys, last = _offered(model), _last(key)
    if same := [known for known in keys if known.rpartition(".")[2] == last]:
        return same[:2]
    words = MEANT.get(last, "").split()
    found = [known for word in words for known in keys if known == word or f"algo.{known}" == word]
    room = key.partition(".")[0]
    return sorted(found, key=lambda known: known.partition(".")[0] != room)[:1]


def is_unused(model: type[BaseModel], path: tuple[str, ...]) -> bool:
    """Whether an algorithm does not use a setting that it takes, as those of one kind have the same sections."""
    key = ".".join(path)
    return any(key == name or key.startswith(name + ".") for name in getattr(model, "unused", ()))


def _offered(model: type[BaseModel]) -> list[str]:
    return [leaf.key for path, leaf in leaves(model).items() if not is_unused(model, path)]


def _last(key: str) -> str:
    return key.rpartition(".")[2].replace("-", "_").lower()
