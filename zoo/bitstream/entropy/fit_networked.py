"""Fits the integer arrays of `zoo.bitstream.entropy.networked` to codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zoo.bitstream.entropy import contexts, fit_ordered, networked, ordered, tables, train_network
from zoo.bitstream.entropy.contexts import N_KINDS
from zoo.bitstream.entropy.merging import merge
from zoo.bitstream.entropy.networked import N_CLUSTERS, N_FIRST, N_SECOND, N_SIGN_CELLS, SIGNED_DISTANCE
from zoo.bitstream.entropy.ordered import of_pass
from zoo.bitstream.entropy.surroundings import INPUT_MAX, Surroundings
from zoo.bitstream.entropy.train_network import Samples
from zoo.nn.bottlenecks import SymbolFormat

_ENOUGH = 400_000
"""symbols from which on a network is tried"""
_TRAINED_ON = 4_000_000
_COUNTED = 12_000_000
"""symbols on which tables are estimated"""
_HELD_OUT = 8
"""one part in so many decides whether the network is used"""
_COMPARED = 1_000_000
"""symbols on which that is decided"""
_MARGIN = 0.995
_RANKED = 200_000
"""scores by which thresholds are chosen"""
_BATCH = 8
"""packets at a time"""
_PRIOR = 0.02

Parts = list[list[np.ndarray]]
"""packets of codes (N, F, Q), one list for each row of tables"""


def fit_if_better(symbols: SymbolFormat, parts: Parts) -> dict[str, np.ndarray]:
    """Arrays of a network, or those of `fit_ordered` where there are few codes or it foretells others no worse."""
    if _n_symbols(parts) < _ENOUGH:
        return fit_ordered.fit(symbols, parts)
    cuts = [_cut(packets) for packets in parts]
    known, others = [known for known, _ in cuts], [others for _, others in cuts]
    networks = fit(symbols, known)
    if networks is None:
        return fit_ordered.fit(symbols, parts)
    plain = fit_ordered.fit(symbols, known)
    others = _some(others, _COMPARED)

    def bits(coder: ordered.ScalarCoder) -> float:
        return sum(coder.bits(packet.astype(np.int32), row) for row, part in enumerate(others) for packet in part)

    if bits(networked.NetworkCoder(symbols, networks)) > _MARGIN * bits(ordered.ScalarCoder(symbols, plain)):
        return fit_ordered.fit(symbols, parts)
    return _with_tables(symbols, parts, networks)


def _n_symbols(parts: Parts) -> int:
    return sum(packet.size for packets in parts for packet in packets)


def _cut(packets: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """All but the last part in _HELD_OUT of the streams, and that."""
    wanted = -(-sum(len(packet) for packet in packets) // _HELD_OUT)
    known, others = list(packets), list[np.ndarray]()
    while wanted > 0 and known:
        packet = known.pop()
        n = min(len(packet), wanted)
        others.append(packet[len(packet) - n :])
        if n < len(packet):
            known.append(packet[: len(packet) - n])
        wanted -= n
    return known, others


def _some(parts: Parts, n_symbols: int) -> Parts:
    """Streams drawn from all rows alike, of about so many symbols."""
    share = n_symbols / max(_n_symbols(parts), 1)
    rng = np.random.default_rng(0)
    return [
        [packet[rng.random(len(packet)) < share] for packet in packets] if share < 1 else packets for packets in parts
    ]


def fit(symbols: SymbolFormat, parts: Parts) -> dict[str, np.ndarray] | None:
    """Arrays as in `networked.template` from packets of codes int32 (N, F, Q); None if all symbols are zero."""
    of_dims = np.stack([_of_dims(symbols, packets) for packets in parts])
    sizes, signs = list[Samples](), list[Samples]()
    for row, packets in enumerate(_some(parts, _TRAINED_ON)):
        for around, step, tokens, negative, signed, chosen in _walk(symbols, packets, of_dims[row]):
            place, kept = row * N_KINDS + step.kind, chosen.ravel()
            sizes.append(Samples.at(place, around.inputs(step)[:, kept], tokens.ravel()[kept]))
            around.see(step, tokens)
            if step.distance == SIGNED_DISTANCE and signed.any():
                inputs = np.concatenate(around.sign_inputs(step, signed))
                signs.append(Samples.at(2 * row + step.parity, inputs, negative[signed]))
            around.see_signs(step, negative)
    if not signs:
        return None
    arrays = {"of_dims": of_dims}
    arrays |= train_network.sizes(Samples.of(sizes), len(parts), ordered.tokens(symbols).n)
    arrays |= train_network.signs(Samples.of(signs), len(parts))
    return _with_tables(symbols, parts, {name: np.asarray(array, np.int32) for name, array in arrays.items()})


def _with_tables(symbols: SymbolFormat, parts: Parts, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with tables that are counted on these packets."""
    rows = [_tables(symbols, packets, arrays, row) for row, packets in enumerate(_some(parts, _COUNTED))]
    return arrays | {name: np.stack([found[name] for found in rows]).astype(np.int32) for name in rows[0]}


def _of_dims(symbols: SymbolFormat, packets: list[np.ndarray]) -> np.ndarray:
    """How large the magnitudes of each dimension are, how often they are not zero, and where it stands (3, Q)."""
    n_dims, centres = symbols.n_codebooks, symbols.zeros
    total, nonzero, n = np.zeros(n_dims), np.zeros(n_dims), 0
    for codes in packets:
        magnitudes = np.minimum(np.abs(codes.astype(np.int32) - centres), 1023)
        total += magnitudes.sum((0, 1))
        nonzero += (magnitudes > 0).sum((0, 1))
        n += codes.shape[0] * codes.shape[1]
    found = [
        8 * np.log2(1 + 16 * total / max(n, 1)),
        64 * nonzero / max(n, 1),
        np.arange(n_dims) * 100 // max(n_dims, 1),
    ]
    return np.clip(np.rint(np.stack(found)), 0, INPUT_MAX).astype(np.int32)


def _walk(
    symbols: SymbolFormat, packets: list[np.ndarray], of_dims: np.ndarray
) -> Iterator[tuple[Surroundings, contexts.Pass, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Surroundings, pass, tokens, which symbols are negative, have a sign, and are coded, of all passes and packets."""
    classes, centres = ordered.tokens(symbols), symbols.zeros
    for packet in packets:
        for start in range(0, len(packet), _BATCH):
            numbers = packet[start : start + _BATCH].astype(np.int32) - centres
            bands = ordered.bands_used(numbers)
            found, negative = classes.of[np.abs(numbers)], numbers < 0
            signed = ordered.signed(found, symbols.n_unsigned)
            inside = np.arange(numbers.shape[2])[None, None] < contexts.BAND_DIMS * bands[:, None, None]
            around = Surroundings(found.shape, classes, of_dims)
            for step in contexts.passes(found.shape[1]):
                mine = of_pass(found, step)
                chosen = np.broadcast_to(inside[:, :, step.parity :: 2], mine.shape)
                yield around, step, mine, of_pass(negative, step), of_pass(signed, step), chosen


def _tables(
    symbols: SymbolFormat, packets: list[np.ndarray], arrays: dict[str, np.ndarray], row: int
) -> dict[str, np.ndarray]:
    """Thresholds and frequencies of one row of arrays, given its networks."""
    classes, networks = ordered.tokens(symbols), networked.Foretelling(arrays, row)
    n_bands = ordered.n_bands(symbols.n_codebooks)
    scores, observed, sign_scores, negatives = [np.zeros((2, 0), np.float32)], [np.zeros(0, np.uint8)], [], []
    band_counts = np.zeros(n_bands + 1)
    for packet in packets:
        bands = ordered.bands_used(packet.astype(np.int32) - symbols.zeros)
        band_counts += np.bincount(bands, minlength=n_bands + 1)
    for around, step, tokens, negative, signed, chosen in _walk(symbols, packets, arrays["of_dims"][row]):
        found = networks.sizes(around.inputs(step), step.kind)
        scores.append(found[:, chosen.ravel()])
        observed.append(tokens[chosen].astype(np.uint8))
        around.see(step, tokens)
        if step.distance == SIGNED_DISTANCE and signed.any():
            sign_scores.append(networks.signs(*around.sign_inputs(step, signed), step.parity))
            negatives.append(negative[signed])
        around.see_signs(step, negative)
    joined, symbols_seen = np.concatenate(scores, 1), np.concatenate(observed)
    first, second = _thresholds(joined[0], N_FIRST), _thresholds(joined[1], N_SECOND)
    cells = networked.size_cells(joined, first, second)
    n_cells = N_FIRST * N_SECOND
    seen = np.bincount(cells * classes.n + symbols_seen, minlength=n_cells * classes.n)
    counts = seen.astype(np.float64).reshape(n_cells, classes.n)
    labels = merge(_filled(counts), N_CLUSTERS)
    merged = np.zeros((N_CLUSTERS, classes.n))
    np.add.at(merged, labels, counts)
    sign_thresholds, sign_tables = _sign_tables(
        np.concatenate([*sign_scores, np.zeros(0, np.float32)]), np.concatenate([*negatives, np.zeros(0, bool)])
    )
    return {
        "bands": tables.fit(band_counts[None] + 0.5, (n_bands + 1,))[0],
        "first_thresholds": first,
        "second_thresholds": second,
        "clusters": labels,
        "tokens": tables.fit(merged, (classes.n,) * N_CLUSTERS, prior=_PRIOR),
        "sign_thresholds": sign_thresholds,
        "signs": sign_tables,
    }


def _thresholds(scores: np.ndarray, n_cells: int) -> np.ndarray:
    """Ascending thresholds (n_cells − 1,), none twice: half-way between equal steps and equal shares of the scores."""
    ranked = np.sort(scores[:: max(1, len(scores) // _RANKED)]) if len(scores) else np.arange(2.0)
    low, high = np.quantile(ranked, (0.0005, 0.9995))
    place = np.clip((ranked - low) / max(high - low, 1), 0, 1) + np.linspace(0, 1, len(ranked))
    edges = np.rint(np.interp(2 * np.arange(1, n_cells) / n_cells, place, ranked)).astype(np.int64)
    return np.maximum.accumulate(edges - np.arange(len(edges))) + np.arange(len(edges))


def _sign_tables(scores: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds (N_SIGN_CELLS − 1,) and frequencies (N_SIGN_CELLS, 2) of signs, mirrored about a score of zero."""
    half = N_SIGN_CELLS // 2
    top = max(float(np.quantile(np.abs(scores), 0.995)) if scores.size else 0.0, half)
    edges = np.rint(np.arange(half) * top / half).astype(np.int64)
    thresholds = np.concatenate([-edges[:0:-1], edges]) + (np.arange(N_SIGN_CELLS - 1) >= half - 1)
    # a score above zero says negative
    cells = np.searchsorted(edges[1:], np.abs(scores), side="left")
    agrees = (scores > 0) == negative
    shares = np.array([[agrees[cells == i].sum() + 8, (cells == i).sum() + 16] for i in range(half)], np.float64)
    likely = shares[:, 0] / shares[:, 1]
    rows = np.concatenate([np.stack([likely, 1 - likely], 1)[::-1], np.stack([1 - likely, likely], 1)])
    return thresholds, tables.fit(1e6 * rows, (2,) * N_SIGN_CELLS)


def _filled(counts: np.ndarray) -> np.ndarray:
    """Counts (cells, A) of which no cell is empty: each has a trace of the nearest first score's."""
    pooled = counts.reshape(N_FIRST, N_SECOND, -1).sum(1)
    known = np.flatnonzero(pooled.sum(-1) > 0)
    if not len(known):
        return counts + 1
    nearest = known[np.argmin(np.abs(np.arange(N_FIRST)[:, None] - known[None]), axis=1)]
    shape = pooled[nearest] / pooled[nearest].sum(-1, keepdims=True)
    filled: np.ndarray = counts + 0.5 * np.repeat(shape, N_SECOND, axis=0)
    return filled
