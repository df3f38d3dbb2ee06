"""Fits classifiers to labelled vectors; takes the extra `recognise`.

How strongly a classifier is held back, and how many principal components it sees, is chosen by cross-validation inside
the training clips, from the same few possibilities for all features.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from zoo import arguments
from zoo.console import extras
from zoo.errors import ZooError
from zoo.recognise.classifier import FURTHEST, KINDS, Classifier, Preprocessing
from zoo.recognise.labelled import stratified

STRENGTHS = {"logistic": (0.003, 0.03, 0.3), "svm": (0.0003, 0.003, 0.03)}
"""of linear classifiers: scikit-learn's C, for vectors whose squares add up to ENERGY on average"""
COMPONENTS = (64, None)
"""principal components that are kept; None = all"""
ENERGY = 64.0
INNER_FOLDS = 4
WIDTH = 256
STEPS, BATCH, LEARNING_RATE, WEIGHT_DECAY, DROPOUT, SMOOTHING = 400, 64, 1e-3, 1e-2, 0.3, 0.1
"""of the dense net"""


def fit(
    kind: str, vectors: np.ndarray, labels: Sequence[str] | np.ndarray, groups: np.ndarray | None = None, seed: int = 0
) -> Classifier:
    """A classifier of vectors (N, V) with labels (N,); clips of one of the `groups` (N,) are never on both sides.

    Raises ZooError for a kind that there is not, for vectors that are not finite, where there are not as many labels
    and groups as vectors, and where packages are missing.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        said = " ".join(repr(kind).split())[:80]
        raise ZooError(f"unknown classifier {said}; there are {', '.join(KINDS)}")
    extras.require("recognise")
    vectors, labels, groups = _checked(vectors, labels, groups)
    if not 0 <= (seed := arguments.whole(seed, "seed")) < 2**32:
        raise ZooError(f"seed must lie between 0 and {2**32 - 1}, got {seed}")
    if not np.isfinite(vectors).all():
        raise ZooError("features are not finite: the codec may be damaged")
    names = tuple(sorted(set(labels)))
    numbers = np.searchsorted(np.array(names), np.array(labels))
    from threadpoolctl import threadpool_limits

    # matrices this small are not worth a second thread, which on a busy machine makes a fit forty times slower
    with threadpool_limits(1):
        strength, n_components = _choose("logistic" if kind == "dense" else kind, vectors, numbers, groups, seed)
        preprocessing = preprocess(vectors, n_components)
        layers = _layers(kind, preprocessing(vectors), numbers, strength=strength, seed=seed)
    return Classifier(kind, names, preprocessing, layers)


def _checked(vectors: Any, labels: Any, groups: Any) -> tuple[np.ndarray, list[str], np.ndarray | None]:
    """What a classifier is fitted to, each of N; raises ZooError, naming it, for anything else."""
    found = arguments.as_array(vectors, "vectors")
    if found.ndim != 2 or 0 in found.shape:
        raise ZooError(f"vectors must be (N, V) and not empty, got shape {found.shape}")
    listed = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if not isinstance(listed, list | tuple) or not all(isinstance(one, str | int) for one in listed):
        raise ZooError(f"labels must be a class for each vector, got {' '.join(repr(labels).split())[:80]}")
    numbers = None if groups is None else arguments.as_array(groups, "groups")
    for name, shape in (("labels", (len(listed),)), ("groups", None if numbers is None else numbers.shape)):
        if shape not in (None, (len(found),)):
            raise ZooError(f"{name} must be one for each of {len(found)} vectors, got shape {shape}")
    return found, [str(label) for label in listed], numbers


def preprocess(vectors: np.ndarray, n_components: int | None = None) -> Preprocessing:
    """Standardisation and principal components of vectors (N, V): all that N vectors span, or `n_components`."""
    vectors = np.asarray(vectors, np.float64)
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    changes = deviation > 1e-5 * np.maximum(np.abs(mean), 1e-5)
    scale = np.where(changes, 1 / np.where(changes, deviation, 1.0), 0.0)
    standard = np.clip((vectors - mean) * scale, -FURTHEST, FURTHEST)
    centre = standard.mean(axis=0)
    _, sizes, directions = np.linalg.svd(standard - centre, full_matrices=False)
    n = max(1, int((sizes > 1e-5 * sizes[0]).sum()) if sizes[0] else 1)
    n = n if n_components is None else min(n, n_components)
    energy = float(np.square(sizes[:n]).sum()) / len(vectors)
    basis = directions[:n].T * np.sqrt(ENERGY / max(energy, 1e-12))
    # rows one behind the other, as a file has them: products of another layout are rounded otherwise
    arrays = (np.ascontiguousarray(array, np.float32) for array in (mean, scale, centre, basis))
    return Preprocessing(*arrays)


def _choose(
    kind: str, vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int
) -> tuple[float, int | None]:
    """The strength and number of components with which most clips are recognised; the strictest of equals."""
    known = groups is not None and len(set(groups.tolist())) > 1
    inner = np.asarray(groups) if known else stratified(labels, INNER_FOLDS, seed)
    hits = {(strength, n): 0 for n in COMPONENTS for strength in STRENGTHS[kind]}
    for fold in sorted(set(inner.tolist()))[:INNER_FOLDS]:
        train, test = inner != fold, inner == fold
        if len(set(labels[train].tolist())) < 2:
            continue
        for n in COMPONENTS:
            if n is not None and n >= min(vectors[train].shape):
                continue
            preprocessing = preprocess(vectors[train], n)
            seen, tried = preprocessing(vectors[train]), preprocessing(vectors[test])
            for strength in STRENGTHS[kind]:
                ((kernel, bias),) = _layers(kind, seen, labels[train], strength=strength, seed=seed)
                guesses = np.unique(labels[train])[np.argmax(tried @ kernel + bias, axis=1)]
                hits[strength, n] += int((guesses == labels[test]).sum())
    if not any(hits.values()):
        return STRENGTHS[kind][1], None
    return max(hits, key=lambda choice: hits[choice])


Layer = tuple[np.ndarray, np.ndarray]


def _layers(kind: str, x: np.ndarray, labels: np.ndarray, *, strength: float, seed: int) -> tuple[Layer, ...]:
    """Affine layers that give a score for each label there is, in ascending order."""
    present, numbers = np.unique(labels, return_inverse=True)
    if len(present) == 1:
        return ((np.zeros((x.shape[1], 1), np.float32), np.zeros(1, np.float32)),)
    if kind == "dense":
        return _dense(x, numbers, len(present), seed)
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    model = (
        LogisticRegression(C=strength, max_iter=500) if kind == "logistic" else LinearSVC(C=strength, random_state=seed)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that has not quite converged is tried like any other
        model.fit(x, numbers)
    kernel, bias = model.coef_.T, model.intercept_
    if len(present) == 2:  # one plane, of which the classes are the two sides
        kernel, bias = np.concatenate([-kernel, kernel], axis=1) / 2, np.concatenate([-bias, bias]) / 2
    return ((np.ascontiguousarray(kernel, np.float32), np.ascontiguousarray(bias, np.float32)),)


class _Dense(nn.Module):
    n_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for _ in range(2):
            x = nn.Dropout(DROPOUT, deterministic=not train)(nn.relu(nn.Dense(WIDTH)(x)))
        return nn.Dense(self.n_classes)(x)


def _dense(x: np.ndarray, labels: np.ndarray, n_classes: int, seed: int) -> tuple[Layer, ...]:
    """A net of two hidden layers, trained by AdamW on `labels` with cross-entropy."""
    rng = np.random.default_rng(seed)
    needed = STEPS * BATCH
    order = np.concatenate([rng.permutation(len(x)) for _ in range(-(-needed // len(x)))])[:needed].reshape(
        STEPS, BATCH
    )
    # to few sizes, so that what is compiled for one fold serves the others; what is added is never drawn
    rows = -(-len(x) // 128) * 128 - len(x)
    padded = np.pad(x.astype(np.float32), ((0, rows), (0, -x.shape[1] % 64)))
    params = _trained(n_classes, padded, np.pad(labels, (0, rows)), order, jax.random.key(seed))
    found = [(np.asarray(params[f"Dense_{i}"]["kernel"]), np.asarray(params[f"Dense_{i}"]["bias"])) for i in range(3)]
    return ((found[0][0][: x.shape[1]], found[0][1]), *found[1:])


@functools.partial(jax.jit, static_argnums=0)
def _trained(n_classes: int, x: jax.Array, labels: jax.Array, order: jax.Array, key: jax.Array) -> Any:
    import optax

    model = _Dense(n_classes)
    optimiser = optax.adamw(optax.cosine_decay_schedule(LEARNING_RATE, STEPS), weight_decay=WEIGHT_DECAY)
    keys = jax.random.split(key, STEPS + 1)
    params = model.init(keys[0], x[:1], False)["params"]
    targets = optax.smooth_labels(jax.nn.one_hot(labels, n_classes), SMOOTHING)

    def loss(params: Any, rows: jax.Array, key: jax.Array) -> jax.Array:
        logits = model.apply({"params": params}, x[rows], True, rngs={"dropout": key})
        return optax.softmax_cross_entropy(logits, targets[rows]).mean()

    def step(carry: Any, inputs: Any) -> Any:
        params, state = carry
        updates, state = optimiser.update(jax.grad(loss)(params, *inputs), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, optimiser.init(params)), (order, keys[1:]))
    return params
