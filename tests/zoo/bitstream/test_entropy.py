"""Entropy coder: exact round trips, the format's reference decoder, sizes against the ideal, damaged payloads."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.zoo.reference import payload as reference
from zoo.bitstream import entropy
from zoo.bitstream.entropy import contexts, tables, unordered
from zoo.bitstream.entropy.coder import Decoder, Encoder, model
from zoo.bitstream.entropy.merging import entropy_bits, merge
from zoo.errors import BitstreamError, ZooError
from zoo.nn.bottlenecks import SymbolFormat

some = settings(max_examples=25, deadline=None, derandomize=True)
few = settings(max_examples=8, deadline=None, derandomize=True)

seeds = st.integers(0, 2**20)
alphabets = st.lists(st.integers(1, 300), min_size=1, max_size=20)


def random_rows(rng, shape):
    """Frequencies (*shape, n) of very uneven kinds."""
    rows = np.stack(
        [rng.dirichlet(np.full(shape[-1], rng.choice([0.01, 0.3, 5]))) for _ in range(math.prod(shape[:-1]))]
    )
    return tables.fit(1e6 * rows, (shape[-1],) * len(rows)).reshape(shape)


def random_model(symbols, seed):
    """A model whose arrays are of the right form and otherwise as wild as can be."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, array in entropy.template(symbols).items():
        if name in ("bands", "tokens"):
            arrays[name] = random_rows(rng, array.shape)
        else:
            high = {
                "base": 4000, "weights": 600, "clusters": 64, "frame_costs": 256, "code_costs": 256,
                "frame_clusters": unordered.n_clusters(symbols), "code_clusters": unordered.n_clusters(symbols),
            }.get(name, 20_000)  # fmt: skip
            arrays[name] = rng.integers(0, high, array.shape).astype(array.dtype)
    if "thresholds" in arrays:
        arrays["thresholds"].sort(axis=-1)
    return entropy.EntropyModel(symbols, arrays)


def random_codes(symbols, shape, seed):
    """Codes (N, F, q), more or less concentrated, with passages of nothing and streams of few dimensions."""
    rng = np.random.default_rng(seed)
    sizes = np.array(symbols.codebook_sizes[: shape[2]])
    zeros = np.where(np.arange(shape[2]) < symbols.n_unsigned, 0, sizes // 2)
    if not symbols.ordered:
        return rng.integers(0, sizes, shape).astype(np.int32)
    scale = rng.choice([0.1, 1.0, 30.0], (shape[0], 1, 1)) * rng.random((shape[1], 1))
    numbers = np.rint(rng.laplace(size=shape) * scale)
    numbers[:, :, rng.integers(0, shape[2] + 1) :] *= rng.random() < 0.5
    return np.clip(numbers + zeros, 0, sizes - 1).astype(np.int32)


def drawn(ordered, sizes, n_streams, n_frames, seed):
    """A model of one or several levels, one of them, and codes of it."""
    unsigned = seed // 2 % (len(sizes) + 1) if ordered else 0
    symbols = formats(ordered, sizes, 2 if ordered else len(sizes), unsigned)
    level = seed % symbols.n_levels
    codes = random_codes(symbols, (n_streams, n_frames, symbols.n_codes(level)), seed)
    return random_model(symbols, seed), level, codes


def formats(ordered, sizes, n_levels=1, unsigned=0):
    return SymbolFormat(tuple(sizes), n_levels, ordered and n_levels > 1, ordered=ordered, n_unsigned=unsigned)


def refer(coder, payload, n_streams, n_frames, level):
    """The reference decoder's codes."""
    symbols = coder.symbols
    arrays = {name: array.tolist() for name, array in coder.arrays.items()}
    q = symbols.n_codes(level)
    if symbols.ordered:
        row = level if symbols.tables_per_level else 0
        return reference.decode_scalars(
            payload, symbols.codebook_sizes, arrays, row, n_streams, n_frames, q, symbols.n_unsigned
        )
    return reference.decode_names(payload, symbols.codebook_sizes, arrays, n_streams, n_frames, q)


@some
@given(st.booleans(), alphabets, st.integers(1, 3), st.integers(1, 90), seeds)
def test_codes_come_back_exactly_and_cost_what_bits_says(ordered, sizes, n_streams, n_frames, seed):
    coder, level, codes = drawn(ordered, sizes, n_streams, n_frames, seed)
    payload = coder.encode(codes, level)
    decoded = coder.decode(payload, n_streams=n_streams, n_frames=n_frames, level=level)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, codes)
    ideal = coder.bits(codes, level) / 8
    assert len(payload) <= 1.0005 * ideal + 1.2
    # zeros at the end of a payload are not written: codes that are all zero may cost nothing, whatever they should
    assert len(payload) >= ideal - 1 or not codes.any()


@some
@given(st.booleans(), alphabets, st.integers(1, 2), st.integers(1, 20), seeds)
def test_the_reference_decoder_reads_the_same(ordered, sizes, n_streams, n_frames, seed):
    coder, level, codes = drawn(ordered, sizes, n_streams, n_frames, seed)
    payload = coder.encode(codes, level)
    assert refer(coder, payload, n_streams, n_frames, level) == codes.tolist()


@few
@given(st.booleans(), st.binary(max_size=40), seeds)
def test_any_bytes_are_codes_that_encode_to_them_or_refused(ordered, noise, seed):
    symbols = formats(ordered, (31, 32, 1, 255))
    coder = random_model(symbols, seed)
    rng = np.random.default_rng(seed)
    whole = coder.encode(random_codes(symbols, (2, 9, 4), seed))
    flipped = bytearray(whole or b"\1")
    flipped[rng.integers(len(flipped))] ^= 1 << int(rng.integers(8))
    damaged = [bytes(flipped), noise, whole + b"\0", whole + noise + b"\1", bytes(200), b"\xff" * 200]
    for payload in damaged + [whole[:n] for n in range(len(whole))]:
        try:
            codes = coder.decode(payload, n_streams=2, n_frames=9)
        except BitstreamError:
            with pytest.raises(reference.Refused):
                refer(coder, payload, 2, 9, 0)
        else:
            assert coder.encode(codes) == payload
            assert refer(coder, payload, 2, 9, 0) == codes.tolist()


@pytest.mark.parametrize("ordered", [True, False])
def test_no_codes_are_no_bytes(ordered):
    coder = random_model(formats(ordered, (5, 5)), 0)
    for shape in ((0, 4, 2), (3, 0, 2)):
        assert coder.encode(np.zeros(shape, np.int32)) == b""
        assert coder.bits(np.zeros(shape, np.int32)) == 0
        assert coder.decode(b"", n_streams=shape[0], n_frames=shape[1]).shape == shape
        with pytest.raises(BitstreamError, match="nothing to code"):
            coder.decode(b"\1", n_streams=shape[0], n_frames=shape[1])


def test_arrays_of_another_model_are_refused():
    symbols = formats(True, (5, 5))
    arrays = entropy.Fitter(symbols).fit().arrays
    with pytest.raises(ZooError, match="thresholds is int32"):
        entropy.EntropyModel(symbols, arrays | {"thresholds": arrays["thresholds"][:, 1:]})
    with pytest.raises(ZooError, match="weights is int64"):
        entropy.EntropyModel(symbols, arrays | {"weights": arrays["weights"].astype(np.int64)})
    with pytest.raises(ZooError, match="expected arrays"):
        entropy.EntropyModel(formats(False, (5, 5)), arrays)


def test_codes_of_another_model_are_refused():
    coder = random_model(formats(False, (5, 7, 3), 3), 0)
    for wrong in (np.zeros((1, 4, 2)), np.zeros((4, 3)), np.full((1, 4, 3), -1), np.full((1, 4, 3), 3)):
        for use in (coder.encode, coder.bits):
            with pytest.raises(ZooError, match="entropy coder"):
                use(wrong, 2)
    coder.encode(np.zeros((1, 4, 2)), 1)


# What the contexts give: on codes of which the best possible cost is known.


def swelling(n_packets, n_dims, seed):
    """Scalars whose scale wanders over time and dimensions as sound does, and the bits they cost if it were known."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(0.25 * rng.standard_normal((n_packets, 75, 1)), axis=1) + rng.normal(0, 1, (n_packets, 1, 1))
    tilt = np.linspace(2, -2, n_dims) + np.cumsum(0.15 * rng.standard_normal((n_packets, 1, n_dims)), axis=2)
    scale = np.exp(walk + tilt)
    scale = np.clip(scale, 1e-2, 1e2)
    numbers = np.clip(np.rint(rng.laplace(size=scale.shape) * scale), -511, 511)
    magnitude = np.abs(numbers)
    at_least = np.where(magnitude > 0, 0.5 * np.exp(-(magnitude - 0.5) / scale), 0.5)
    beyond = 0.5 * np.exp(-(magnitude + 0.5) / scale)
    likelihood = np.where(magnitude > 0, at_least - beyond, 1 - 2 * beyond)
    return (numbers + 511).astype(np.int32), -np.log2(likelihood).sum()


@functools.cache
def fitted_to_swelling():
    fitter = entropy.Fitter(formats(True, (1023,) * 48))
    fitter.update(swelling(60, 48, 0)[0])
    return fitter.fit()


def test_contexts_of_scalars_come_near_the_cost_of_known_scales():
    coder = fitted_to_swelling()
    codes, known = swelling(12, 48, 1)
    static = tables.fit(tables.count(swelling(60, 48, 0)[0].reshape(-1, 48), (1023,) * 48), (1023,) * 48)
    bits = sum(coder.bits(packet[None]) for packet in codes)
    assert bits < 1.06 * known
    assert bits < 0.9 * tables.ideal_bits(codes.reshape(-1, 48), static)


def test_silence_costs_next_to_nothing_and_noise_of_any_size_a_bounded_amount():
    coder = fitted_to_swelling()
    assert coder.bits(np.full((1, 75, 48), 511)) < 24
    assert len(coder.encode(np.full((4, 75, 48), 511))) <= 6
    noise = np.random.default_rng(0).integers(0, 1023, (1, 75, 48)).astype(np.int32)
    assert coder.bits(noise) < 1.25 * 10 * noise.size
    np.testing.assert_array_equal(coder.decode(coder.encode(noise), n_streams=1, n_frames=75), noise)


def test_a_silent_stream_beside_a_loud_one_costs_next_to_nothing():
    coder = fitted_to_swelling()
    loud = swelling(1, 48, 2)[0]
    both = np.concatenate([loud, np.full_like(loud, 511)])
    assert coder.bits(both) < coder.bits(loud) + 16
    np.testing.assert_array_equal(coder.decode(coder.encode(both), n_streams=2, n_frames=75), both)


def chained(n_packets, seed, size=32):
    """Names: the first codebook stays in a group of four for a while, the second follows the first, the third none."""
    rng = np.random.default_rng(seed)
    codes = np.zeros((n_packets, 75, 3), np.int64)
    group = rng.integers(size // 4, size=n_packets)
    for t in range(75):
        group = np.where(rng.random(n_packets) < 0.1, rng.integers(size // 4, size=n_packets), group)
        codes[:, t, 0] = 4 * group + rng.integers(4, size=n_packets)
    codes[..., 1] = (codes[..., 0] // 8 * 8 + rng.integers(8, size=(n_packets, 75))) % size
    codes[..., 2] = rng.integers(size, size=(n_packets, 75))
    return codes.astype(np.int32)


def test_contexts_of_names_find_what_depends_on_what_and_leave_the_rest_alone():
    symbols = formats(False, (32, 32, 32), 3)
    fitter = entropy.Fitter(symbols)
    fitter.update(chained(200, 0), 2)
    coder = fitter.fit()
    codes = chained(40, 1)
    bits = [coder.bits(codes[:, :, :q], q - 1) / codes[..., 0].size for q in (1, 2, 3)]
    stay = 0.9 + 0.1 / 8
    best = 2 - stay * math.log2(stay) - 7 / 8 * 0.1 * math.log2(0.1 / 8)
    assert best < bits[0] < 1.04 * best + 0.1
    assert 3 < bits[1] - bits[0] < 3.1
    assert 5 < bits[2] - bits[1] < 5.02


@pytest.mark.parametrize("ordered", [True, False])
def test_codes_without_structure_cost_no_more_than_static_tables(ordered):
    sizes = (16,) * 6
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(16, 0.5), 6)
    codes = np.stack([rng.choice(16, (100, 75), p=row) for row in p], -1).astype(np.int32)
    if ordered:  # of equal signs, which are not modelled
        codes = np.stack([8 + rng.integers(-3, 4, (100, 75)) for _ in sizes], -1).astype(np.int32)
    fitter = entropy.Fitter(formats(ordered, sizes, 1))
    fitter.update(codes[:80])
    static = tables.fit(tables.count(codes[:80].reshape(-1, 6), sizes), sizes)
    bits = fitter.fit().bits(codes[80:])
    assert bits < 1.02 * tables.ideal_bits(codes[80:].reshape(-1, 6), static)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_model_without_data_codes_everything(ordered):
    symbols = formats(ordered, (300, 7, 1))
    coder = entropy.Fitter(symbols).fit()
    codes = random_codes(symbols, (2, 30, 3), 0)
    np.testing.assert_array_equal(coder.decode(coder.encode(codes), n_streams=2, n_frames=30), codes)


def test_long_frames_are_coded_as_short_ones():
    symbols = SymbolFormat((256, 16, 16), n_levels=2, n_always=1, subframes=5)
    short = SymbolFormat((256, 16, 16))
    arrays = random_model(short, 0).arrays
    assert [symbols.n_codes(level) for level in range(2)] == [10, 15]
    codes = random_codes(short, (2, 3 * 5, 3), 0)
    # codebook by codebook, and in each the subframes in their order
    long = codes.reshape(2, 3, 5, 3).transpose(0, 1, 3, 2).reshape(2, 3, 15)
    coder = entropy.EntropyModel(symbols, arrays)
    payload = coder.encode(long, 1)
    assert payload == entropy.EntropyModel(short, arrays).encode(codes)
    np.testing.assert_array_equal(coder.decode(payload, n_streams=2, n_frames=3, level=1), long)
    lower = coder.decode(coder.encode(long[..., :10], 0), n_streams=2, n_frames=3, level=0)
    np.testing.assert_array_equal(lower, long[..., :10])
    with pytest.raises(ZooError, match="range"):
        coder.encode(np.where(np.arange(15) == 7, 16, long), 1)


def test_levels_have_tables_of_their_own():
    symbols = formats(True, (255,) * 4, 2)
    fitter = entropy.Fitter(symbols)
    rng = np.random.default_rng(0)
    quiet, loud = (127 + np.rint(scale * rng.laplace(size=(40, 75, 4))).astype(np.int32) for scale in (0.3, 9.0))
    fitter.update(quiet, 0)
    fitter.update(loud, 1)
    coder = fitter.fit()
    assert coder.bits(quiet, 0) < 0.8 * coder.bits(quiet, 1)
    assert coder.bits(loud, 1) < 0.8 * coder.bits(loud, 0)


@pytest.mark.parametrize("symbols", [
    SymbolFormat((1023,) * 384, 8, True, ordered=True),
    SymbolFormat((1023,) * 1024, ordered=True),
    SymbolFormat((1024,) * 8, 8),
    SymbolFormat((1024,) * 12, 12),
    SymbolFormat((1024,) * 32, 32),
])  # fmt: skip
def test_arrays_take_at_most_a_megabyte(symbols):
    assert sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for a in entropy.template(symbols).values()) <= 1_000_000


# Its parts.


@some
@given(st.integers(1, 200))
def test_every_frame_is_coded_once_between_known_ones(n_frames):
    known: set[tuple[int, int]] = set()
    for step in contexts.passes(n_frames):
        for t in range(*step.frames.indices(n_frames)):
            assert (t, step.parity) not in known
            if step.distance:
                assert {(t - step.distance, 0), (t - step.distance, 1)} <= known
                assert t + step.distance >= n_frames or (t + step.distance, 1) in known
        known |= {(t, step.parity) for t in range(*step.frames.indices(n_frames))}
    assert known == {(t, parity) for t in range(n_frames) for parity in (0, 1)}


@some
@given(st.integers(1, 40_000))
def test_tokens_cover_every_magnitude_in_classes_of_powers_of_two(largest):
    classes = contexts.tokens(largest)
    magnitudes = np.arange(largest + 1)
    token = classes.of[: largest + 1]
    low = magnitudes - classes.base[token]
    assert (low >= 0).all()
    assert (low < 1 << classes.raw_bits[token]).all()
    np.testing.assert_array_equal(classes.base[1:], (classes.base + (1 << classes.raw_bits))[:-1])
    assert (1 << classes.raw_bits <= np.maximum(classes.base // 4, 1)).all()


@some
@given(st.lists(st.integers(0, 30), max_size=200), seeds)
def test_the_coder_writes_the_shortest_bytes_that_mean_the_symbols(symbols, seed):
    row = random_rows(np.random.default_rng(seed), (1, 31))[0]
    encoder = Encoder()
    encoder.encode(np.array(symbols, np.int32), model(row))
    payload = encoder.finish()
    ideal = sum(24 - math.log2(row[s]) for s in symbols) / 8
    assert len(payload) <= 1.0005 * ideal + 1.01
    assert not payload.endswith(b"\0")
    for other in (payload + b"\0", payload + b"\0\1"):
        decoder = Decoder(other)
        if np.array_equal(decoder.decode(model(row), len(symbols)), symbols):
            with pytest.raises(BitstreamError):
                decoder.finish()


@few
@given(seeds)
def test_merging_loses_little_where_contexts_are_alike_and_all_that_it_must(seed):
    rng = np.random.default_rng(seed)
    kinds = rng.dirichlet(np.full(12, 0.5), 5)
    counts = np.stack([rng.multinomial(4000, kinds[i % 5]) for i in range(40)] + [np.zeros(12, int)])
    label = merge(counts, 5)
    assert len({tuple(label[i:40:5]) for i in range(5)}) == 5
    assert all(len(set(label[i:40:5])) == 1 for i in range(5))
    one = merge(counts, 1)
    assert not one.any()
    assert entropy_bits(counts.sum(0)) >= entropy_bits(counts).sum()


@some
@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), seeds, st.sampled_from([0, 1, 1000, 10**12]))
def test_every_row_sums_to_the_total_and_leaves_no_symbol_out(sizes, seed, scale):
    counts = np.zeros((len(sizes), max(sizes)), np.int64)
    rng = np.random.default_rng(seed)
    for q, size in enumerate(sizes):
        counts[q, :size] = scale * rng.dirichlet(np.full(size, 0.1))
    fitted = tables.fit(counts, sizes)
    assert fitted.dtype == np.int32
    np.testing.assert_array_equal(fitted.sum(-1), 2**24)
    for q, size in enumerate(sizes):
        assert fitted[q, :size].min() >= 1
        assert not fitted[q, size:].any()


def test_counts_are_occurrences():
    codes = np.array([[0, 2], [1, 2], [1, 0]], np.int32)
    np.testing.assert_array_equal(tables.count(codes, (2, 3)), [[1, 2, 0], [1, 0, 2]])
    np.testing.assert_array_equal(tables.count(codes[:0], (2, 3)), np.zeros((2, 3)))


def test_ideal_bits_are_minus_log2_of_the_frequencies():
    table = np.array([[2**23, 2**22, 2**22, 0], [2**24 - 1, 1, 0, 0]], np.int32)
    codes = np.array([[0, 0], [1, 1], [2, 0]], np.int32)
    expected = (1 + 2 + 2) + 24 - 2 * np.log2(1 - 2**-24)
    assert tables.ideal_bits(codes, table) == pytest.approx(expected)
