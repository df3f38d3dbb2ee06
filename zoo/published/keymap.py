"""From a checkpoint's tensors to linen parameters and back: which key holds which parameter, in which order of axes.

Weight normalisation (Salimans & Kingma 2016) is folded into the weights when a checkpoint is read, whichever way it is
spelt: `X.weight_g` and `X.weight_v`, or `X.parametrizations.weight.original0` and `…original1`, become `X.weight`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from zoo.errors import CheckpointError
from zoo.wording import some

_GAIN = re.compile(r"(?P<module>.*?)\.?(?:(?P<old>\w+)_g|parametrizations\.(?P<new>\w+)\.original0)")


@dataclass(frozen=True)
class Layout:
    """How the axes of a tensor lie in a checkpoint and in linen."""

    name: str
    read: Callable[..., np.ndarray]
    """the arrays of all keys of an entry, as the checkpoint has them -> the linen array"""
    write: Callable[[np.ndarray], tuple[np.ndarray, ...]]
    """the linen array -> the arrays of all keys of an entry"""


def _permuted(name: str, axes: tuple[int, ...]) -> Layout:
    inverse = tuple(int(i) for i in np.argsort(axes))
    return Layout(name, lambda array: array.transpose(axes), lambda array: (array.transpose(inverse),))


def _of_one_tap(weight: np.ndarray) -> np.ndarray:
    return weight.transpose(1, 0)[None]


def _depthwise(weight: np.ndarray) -> np.ndarray:
    channels, one, taps = weight.shape
    return weight.reshape(channels * one, taps).transpose(1, 0)


CONV = _permuted("CONV", (2, 1, 0))
"""(O, I, K) -> (K, I, O)"""
CONV_TRANSPOSE = _permuted("CONV_TRANSPOSE", (2, 0, 1))
"""(I, O, K) -> (K, I, O)"""
LINEAR = _permuted("LINEAR", (1, 0))
"""(O, I) -> (I, O)"""
DENSE_AS_CONV = Layout("DENSE_AS_CONV", _of_one_tap, lambda kernel: (kernel[0].transpose(1, 0),))
"""(O, I) -> (1, I, O): a linear layer there, a convolution of one tap here"""
POINTWISE = Layout("POINTWISE", lambda weight: weight.squeeze(2).T, lambda kernel: (kernel.T[..., None],))
"""(O, I, 1) -> (I, O)"""
DEPTHWISE = Layout("DEPTHWISE", _depthwise, lambda kernel: (kernel.transpose(1, 0)[:, None],))
"""(C, 1, K) -> (K, C)"""
SNAKE = Layout("SNAKE", lambda alpha: alpha.reshape(alpha.shape[1]), lambda alpha: (alpha[None, :, None],))
"""(1, C, 1) -> (C,)"""
VECTOR = Layout("VECTOR", lambda array: array, lambda array: (array,))
"""(C,) as it is"""
PLAIN = Layout("PLAIN", lambda array: array, lambda array: (array,))
"""as it is, of any shape"""


@dataclass(frozen=True)
class Entry:
    """One linen parameter, or one slice of it, and the tensors of the checkpoint that it is made of."""

    path: str
    """in the tree of parameters: "encoder/conv_in/kernel\""""
    keys: tuple[str, ...]
    """in the checkpoint, weight norm already resolved: ("encoder.conv1.weight",)"""
    layout: Layout
    index: int | None = None
    """where several tensors are stacked along axis 0 of one parameter: which of them this is"""


@dataclass(frozen=True)
class KeyMap:
    """All of a checkpoint's keys, and where they belong."""

    entries: tuple[Entry, ...]
    ignored: tuple[str, ...] = ()
    """regular expressions (`re.search`) of keys that carry nothing we need, such as EMA counters"""
    weight_norm: str | None = None
    """how weights are written: None (plain), "legacy" (weight_g, weight_v) or "parametrized" (original0, original1)"""
    weight_norm_keys: tuple[str, ...] = ()
    """regular expressions (`re.search`) of the modules that have weight norm; () = all whose weight has three axes"""
    written: tuple[Entry, ...] = ()
    """entries that are written only (running sums of a codebook): when reading, their keys may be there or not"""


def plain(params: Mapping[str, Any]) -> KeyMap:
    """The key map of families trained here: parameters under their own names, with dots between the parts."""
    return KeyMap(tuple(Entry(path, (path.replace("/", "."),), PLAIN) for path in flatten(params)))


def to_params(
    weights: Mapping[str, np.ndarray],
    keymap: KeyMap,
    template: Mapping[str, Any],
    place: Callable[[np.ndarray], Any] = lambda array: array,
    *,
    finite: bool = True,
) -> dict[str, Any]:
    """Tree of parameters, shaped and typed as `template` (a tree of arrays or ShapeDtypeStructs), of a checkpoint.

    Each is handed to `place` as soon as it is there, so that few of them need be held in memory twice.

    Raises CheckpointError that names the keys which are missing, of another shape, not known to the key map, or hold
    what is no weight: whole numbers, and unless `finite` is false (gradients, say), NaN or infinity.
    """
    weights = fold_weight_norm(weights)
    shapes = flatten(template)
    missing = [key for entry in keymap.entries for key in entry.keys if key not in weights]
    known = {key for entry in (*keymap.entries, *keymap.written) for key in entry.keys}
    extra = [key for key in weights if key not in known and not _matches(key, keymap.ignored)]
    misshaped: list[str] = []
    meaningless: list[str] = []
    found: dict[str, Any] = {}
    stacks: dict[str, list[int]] = {}
    for entry in keymap.entries:
        if entry.path not in shapes:
            extra.append(f"{'+'.join(entry.keys)} (there is no parameter {entry.path})")
        elif all(key in weights for key in entry.keys):
            arrays = [weights[key] for key in entry.keys]
            leaf = shapes[entry.path]
            wanted = tuple(leaf.shape)[0 if entry.index is None else 1 :]
            array = _read(entry, arrays)
            if array is None or array.shape != wanted:
                have = ", ".join(f"{key} {array.shape}" for key, array in zip(entry.keys, arrays))
                misshaped.append(f"{have} does not fit {entry.path} {wanted} as {entry.layout.name}")
            elif (what := _meaningless(array, leaf.dtype, finite)) is not None:
                meaningless.append(f"{'+'.join(entry.keys)} ({what})")
            elif entry.index is None:
                found[entry.path] = place(_copied(array, leaf.dtype))  # or it would be a view of the file
            else:
                found.setdefault(entry.path, np.empty(leaf.shape, leaf.dtype))[entry.index] = array
                stacks.setdefault(entry.path, []).append(entry.index)
    paths = {entry.path for entry in keymap.entries}
    missing += [f"any for {path}" for path in shapes if path not in paths]
    kinds = {"missing": missing, "misshaped": misshaped, "meaningless": meaningless, "extra": extra}
    if complaints := [_complaint(kind, keys) for kind, keys in kinds.items() if keys]:
        raise CheckpointError("; ".join(complaints))
    for path, indices in stacks.items():
        if sorted(indices) != list(range(len(found[path]))):
            raise CheckpointError(f"{path} is a stack of {len(found[path])}, of which {len(indices)} were given")
        found[path] = place(found[path])
    return unflatten({path: found[path] for path in shapes})


def from_params(params: Mapping[str, Any], keymap: KeyMap) -> dict[str, np.ndarray]:
    """Tensors of a checkpoint by key, with weight norm as the key map wants it: what `to_params` reads."""
    leaves = flatten(params)
    weights: dict[str, np.ndarray] = {}
    for entry in (*keymap.entries, *keymap.written):
        array = np.asarray(leaves[entry.path])
        parts = entry.layout.write(array if entry.index is None else array[entry.index])
        for key, part in zip(entry.keys, parts, strict=True):
            weights |= _with_weight_norm(key, _copied(part, part.dtype), keymap)
    return weights


def mismatches(weights: Mapping[str, Any], keymap: KeyMap) -> int:
    """How many keys a checkpoint lacks or has too many for a key map: 0 for one that fits."""
    keys = {_folded_key(key) for key in weights}
    needed = {key for entry in keymap.entries for key in entry.keys}
    optional = {key for entry in keymap.written for key in entry.keys}
    return len(needed - keys) + sum(not _matches(key, keymap.ignored) for key in keys - needed - optional)


class _Folded(Mapping[str, np.ndarray]):
    """Tensors of which some are made when they are asked for: all at once would be the checkpoint a second time."""

    def __init__(self, weights: Mapping[str, np.ndarray], sources: Mapping[str, tuple[str, ...]]) -> None:
        self._weights, self._sources = weights, sources

    def __getitem__(self, key: str) -> np.ndarray:
        arrays = [self._weights[source] for source in self._sources[key]]
        return arrays[0] if len(arrays) == 1 else _weight(*arrays)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def fold_weight_norm(weights: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The same tensors with each pair of gain and direction replaced by the weight g · v / |v| that it stands for.

    Raises CheckpointError for a pair whose shapes do not belong together, or of whole numbers, and where the weight is
    there as well.
    """
    sources: dict[str, tuple[str, ...]] = {}
    for key, array in weights.items():
        gain = _GAIN.fullmatch(key)
        if gain:
            direction_key = _partner(key)
            if direction_key not in weights:
                sources[key] = (key,)  # no weight norm at all, or half of one: the key map knows
                continue
            direction = weights[direction_key]
            if _folded_key(key) in weights:
                raise CheckpointError(f"{_folded_key(key)} is there twice: as it is, and as {key} and {direction_key}")
            for source in (key, direction_key):
                if (what := _of_other_type(weights[source], np.float32)) is not None:
                    raise CheckpointError(_complaint("meaningless", [f"{source} ({what})"]))
            if array.shape not in ((), direction.shape[:1] + (1,) * (direction.ndim - 1)):
                raise CheckpointError(
                    f"misshaped keys: {key} {array.shape} is no gain of {direction_key} {direction.shape}"
                )
            sources[_folded_key(key)] = (key, direction_key)
        elif not (_is_direction(key) and _partner(key) in weights):
            sources[key] = (key,)
    return _Folded(weights, sources)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of a nested dictionary by path: {"a": {"b": x}} -> {"a/b": x}."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= flatten(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return leaves


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *folders, name = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = leaf
    return tree


def _read(entry: Entry, arrays: list[np.ndarray]) -> np.ndarray | None:
    try:
        return entry.layout.read(*arrays)
    except (ValueError, IndexError, TypeError):  # what numpy raises for arrays of another number of axes
        return None


def _of_other_type(array: np.ndarray, dtype: Any) -> str | None:
    """What an array is instead, where a parameter is of real numbers and the array is not.

    Whole numbers are weights that somebody quantised, whose scale stands elsewhere: cast, they would be noise.
    """
    if not jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.floating):
        return None
    return f"is of type {array.dtype}, not {np.dtype(dtype)}"


def _meaningless(array: np.ndarray, dtype: Any, finite: bool) -> str | None:
    """Why an array is no parameter of this type; None where it is one."""
    what = _of_other_type(array, dtype)
    if what is not None or not finite or not jnp.issubdtype(dtype, jnp.floating):
        return what
    with np.errstate(over="ignore"):  # what is beyond the type becomes infinity
        numbers = array.astype(dtype, copy=False)
    return None if np.isfinite(numbers).all() else "holds NaN or infinity"


def _copied(array: np.ndarray, dtype: Any) -> np.ndarray:
    """The same array, contiguous; a transposed one in strips, which is five times as fast as at once."""
    if array.ndim < 2 or array.strides[-1] == array.itemsize:
        return np.array(array, dtype, order="C")
    copy = np.empty(array.shape, dtype)
    for start in range(0, array.shape[-1], 16):
        copy[..., start : start + 16] = array[..., start : start + 16]
    return copy


def _complaint(kind: str, keys: list[str]) -> str:
    return f"{kind} keys: {some(keys)}"


def _matches(key: str, patterns: Iterable[str]) -> bool:
    return any(re.search(pattern, key) for pattern in patterns)


def _is_direction(key: str) -> bool:
    return key.endswith("_v") or (".parametrizations." in f".{key}" and key.endswith(".original1"))


def _partner(key: str) -> str:
    """The direction's key of a gain's, and the other way round."""
    ends = {"_g": "_v", "_v": "_g", ".original0": ".original1", ".original1": ".original0"}
    return next(key.removesuffix(end) + other for end, other in ends.items() if key.endswith(end))


def _folded_key(key: str) -> str:
    gain = _GAIN.fullmatch(_partner(key) if _is_direction(key) else key)
    if gain is None:
        return key
    name = gain["old"] or gain["new"]
    return f"{gain['module']}.{name}" if gain["module"] else name


def _weight(gain: np.ndarray, direction: np.ndarray) -> np.ndarray:
    axes = tuple(range(min(gain.ndim, 1), direction.ndim))
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite then is refused
        direction = direction.astype(np.float32, copy=False)
        norm = np.sqrt(np.sum(direction * direction, axis=axes, keepdims=True))
        return direction * (gain.astype(np.float32, copy=False) / np.where(norm > 0, norm, 1))


def _with_weight_norm(key: str, weight: np.ndarray, keymap: KeyMap) -> dict[str, np.ndarray]:
    module, _, name = key.rpartition(".")
    wanted = _matches(module, keymap.weight_norm_keys) if keymap.weight_norm_keys else weight.ndim == 3
    if keymap.weight_norm is None or name != "weight" or not wanted:
        return {key: weight}
    norm = np.sqrt(np.sum(weight * weight, axis=tuple(range(1, weight.ndim)), keepdims=True))
    # torch divides by the norm: all zeros are written as no gain of something else
    direction = np.where(norm > 0, weight, np.ones_like(weight))
    if keymap.weight_norm == "legacy":
        return {f"{module}.weight_g": norm, f"{module}.weight_v": direction}
    parametrized = f"{module}.parametrizations.weight.original"
    return {f"{parametrized}0": norm, f"{parametrized}1": direction}
