"""The coder whose symbols networks foretell: exact round trips, the format's reference decoder, damage, the fit."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.zoo.bitstream.test_entropy import few, formats, random_codes, random_rows, seeds, swelling
from tests.zoo.reference import foretold
from tests.zoo.reference.payload import Refused
from zoo.bitstream import entropy
from zoo.bitstream.entropy import fit_networked, network, networked, train_network
from zoo.errors import BitstreamError, ZooError
from zoo.nn.bottlenecks import SymbolFormat

alphabets = st.lists(st.integers(1, 3000), min_size=1, max_size=20)
FREQUENCIES = ("bands", "tokens", "signs")


def random_model(symbols, seed):
    """A model whose networks' sums go as far as they may, and whose scores meet their thresholds."""
    rng = np.random.default_rng(seed)
    wanted = entropy.template(symbols, "network")
    arrays = {name: random_rows(rng, wanted[name].shape) for name in FREQUENCIES}
    drawn = {
        "of_dims": (0, 128), "clusters": (0, networked.N_CLUSTERS), "size_bias": (-2000, 2000),
        "sign_bias": (-2000, 2000), "size_hidden": (-900, 900), "sign_hidden": (-900, 900),
        "size_second": (-250, 250), "sign_second": (-250, 250), "size_scores": (-500, 500), "sign_scores": (-500, 500),
    }  # fmt: skip
    for name, array in wanted.items():
        if name not in arrays:
            low, high = drawn.get(name, (-400_000, 400_000))
            low, high = (8, 12) if name.endswith("_shift") else (low, high)
            arrays[name] = rng.integers(low, high, array.shape).astype(array.dtype)
        if name.endswith("thresholds"):
            arrays[name].sort(axis=-1)
    return entropy.EntropyModel(symbols, arrays)


def drawn(sizes, n_streams, n_frames, seed):
    symbols = formats(True, sizes, 2, seed // 2 % (len(sizes) + 1))
    level = seed % symbols.n_levels
    return random_model(symbols, seed), level, random_codes(symbols, (n_streams, n_frames, len(sizes)), seed)


def refer(coder, payload, n_streams, n_frames, level):
    arrays = {name: array.tolist() for name, array in coder.arrays.items()}
    sizes, row = coder.symbols.codebook_sizes, level if coder.symbols.tables_per_level else 0
    shape = n_streams, n_frames, len(sizes)
    return foretold.decode_scalars(payload, sizes, arrays, row, *shape, coder.symbols.n_unsigned)


@few
@given(alphabets, st.integers(1, 3), st.integers(1, 90), seeds)
def test_codes_come_back_exactly_and_cost_what_bits_says(sizes, n_streams, n_frames, seed):
    coder, level, codes = drawn(sizes, n_streams, n_frames, seed)
    payload = coder.encode(codes, level)
    np.testing.assert_array_equal(coder.decode(payload, n_streams=n_streams, n_frames=n_frames, level=level), codes)
    assert len(payload) <= 1.0005 * coder.bits(codes, level) / 8 + 1.2


@few
@given(alphabets, st.integers(1, 2), st.integers(1, 9), seeds)
def test_the_reference_decoder_reads_the_same(sizes, n_streams, n_frames, seed):
    coder, level, codes = drawn(sizes[:10], n_streams, n_frames, seed)
    payload = coder.encode(codes, level)
    assert refer(coder, payload, n_streams, n_frames, level) == codes.tolist()


@few
@given(st.binary(max_size=40), seeds)
def test_any_bytes_are_codes_that_encode_to_them_or_refused(noise, seed):
    symbols = formats(True, (31, 32, 1, 255))
    coder = random_model(symbols, seed)
    rng = np.random.default_rng(seed)
    whole = coder.encode(random_codes(symbols, (2, 6, 4), seed))
    flipped = bytearray(whole or b"\1")
    flipped[rng.integers(len(flipped))] ^= 1 << int(rng.integers(8))
    damaged = [bytes(flipped), noise, whole + b"\0", whole + noise + b"\1", bytes(200), b"\xff" * 200]
    for i, payload in enumerate(damaged + [whole[:n] for n in range(0, len(whole), 3)]):
        try:
            codes = coder.decode(payload, n_streams=2, n_frames=6)
        except BitstreamError:
            if i < 3:
                with pytest.raises(Refused):
                    refer(coder, payload, 2, 6, 0)
        else:
            assert coder.encode(codes) == payload


@few
@given(st.integers(1, 400), seeds)
def test_a_network_comes_to_the_same_integers_as_one_of_python_numbers(n, seed):
    coder = random_model(formats(True, (255,) * 4), seed)
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 128, (coder.arrays["size_hidden"].shape[1], n))
    found = networked.Foretelling(coder.arrays, 0).sizes(inputs.astype(np.float32), kind=3)
    plain = {name: array.tolist() for name, array in coder.arrays.items()}
    for i in {0, n // 2, n - 1}:
        expected = foretold.scores(plain, "size", plain["size_bias"][0][3], inputs[:, i].tolist())
        assert found[:, i].tolist() == expected


def test_opposite_signs_around_a_symbol_give_the_opposite_score():
    coder = random_model(formats(True, (255,) * 4), 1)
    rng = np.random.default_rng(0)
    signed, unsigned = rng.integers(-80, 81, (24, 50)), rng.integers(0, 128, (4, 50))
    networks = networked.Foretelling(coder.arrays, 0)
    up, down = (networks.signs(s.astype(np.float32), unsigned.astype(np.float32), 1) for s in (signed, -signed))
    assert up.any()
    np.testing.assert_array_equal(up, -down)


def test_networks_whose_sums_might_not_be_exact_are_refused():
    symbols = formats(True, (255,) * 4)
    codes = np.full((1, 9, 4), 127)
    arrays = random_model(symbols, 0).arrays
    for name, value in (("size_hidden", 60_000), ("sign_second", 300_000), ("size_second_shift", 99), ("of_dims", 128)):
        wrong = arrays | {name: np.full_like(arrays[name], value)}
        with pytest.raises(ZooError, match="entropy coder"):
            entropy.EntropyModel(symbols, wrong).encode(codes)


def test_companding_is_a_rounded_logarithm():
    i = np.arange(4096)
    np.testing.assert_array_equal([foretold.companded(int(x)) for x in i], np.rint(8 * np.log2(1 + i)))


def echoing(n_packets, seed):
    """Swelling scalars of which each second frame repeats the one before, and so the signs."""
    codes = swelling(n_packets, 48, seed)[0] - 511
    codes[:, 1::2] = codes[:, :-1:2]
    return codes + 511


@pytest.fixture(scope="module")
def echoes():
    """Contexts and a network fitted to the same codes."""
    patch = pytest.MonkeyPatch()
    for module, name, value in (
        (fit_networked, "_ENOUGH", 100_000), (train_network, "_SIZE_STEPS", 150), (train_network, "_SIGN_STEPS", 150),
    ):  # fmt: skip
        patch.setattr(module, name, value)
    fitter = entropy.Fitter(formats(True, (1023,) * 48))
    fitter.update(echoing(32, 0))
    yield fitter.fit(networks=False), fitter.fit()
    patch.undo()


def test_networks_foresee_signs_and_what_contexts_do_not(echoes):
    contexts, fitted = echoes
    assert (entropy.kind_of(contexts.arrays), entropy.kind_of(fitted.arrays)) == ("contexts", "network")
    codes = echoing(6, 1)
    old, new = (sum(coder.bits(packet[None]) for packet in codes) for coder in (contexts, fitted))
    assert new < 0.93 * old
    for packet in codes[:2]:
        payload = fitted.encode(packet[None])
        np.testing.assert_array_equal(fitted.decode(payload, n_streams=1, n_frames=75)[0], packet)


def test_a_fitted_network_codes_silence_and_noise_of_any_size(echoes):
    _, fitted = echoes
    assert len(fitted.encode(np.full((4, 75, 48), 511))) <= 12
    noise = np.random.default_rng(0).integers(0, 1023, (1, 75, 48)).astype(np.int32)
    assert fitted.bits(noise) < 2 * 10 * noise.size
    np.testing.assert_array_equal(fitted.decode(fitted.encode(noise), n_streams=1, n_frames=75), noise)


def test_few_codes_and_codes_without_structure_keep_their_contexts(monkeypatch):
    symbols = formats(True, (16,) * 6)
    codes = np.random.default_rng(0).integers(5, 12, (40, 75, 6)).astype(np.int32)
    fitter = entropy.Fitter(symbols)
    fitter.update(codes)
    plain = fitter.fit(networks=False).arrays
    assert entropy.kind_of(fitter.fit().arrays) == "contexts"
    monkeypatch.setattr(fit_networked, "_ENOUGH", 1000)
    monkeypatch.setattr(train_network, "_SIZE_STEPS", 20)
    monkeypatch.setattr(train_network, "_SIGN_STEPS", 20)
    found = fitter.fit().arrays
    assert set(found) == set(plain)
    for name, array in plain.items():
        np.testing.assert_array_equal(found[name], array)


def test_codes_that_are_all_zero_or_of_single_frames_keep_their_contexts(monkeypatch):
    monkeypatch.setattr(fit_networked, "_ENOUGH", 100)
    for codes in (np.full((8, 75, 6), 8), np.arange(4800).reshape(800, 1, 6) % 16):
        fitter = entropy.Fitter(formats(True, (16,) * 6))
        fitter.update(codes)
        assert entropy.kind_of(fitter.fit().arrays) == "contexts"


def test_arrays_of_either_kind_take_at_most_a_megabyte():
    symbols = SymbolFormat((1023,) * 384, 8, True, ordered=True)
    arrays = entropy.template(symbols, "network").values()
    assert sum(math.prod(a.shape) * np.dtype(a.dtype).itemsize for a in arrays) <= 1_000_000


def test_a_product_in_pieces_is_the_product():
    rng = np.random.default_rng(0)
    weights, columns = rng.integers(-100, 100, (64, 30)), rng.integers(0, 128, (30, 1001))
    found = network.product(weights.astype(np.float32), columns.astype(np.float32))
    np.testing.assert_array_equal(found, weights @ columns)
