"""Mixes at exact ratios, and which noise goes to which clip."""

from __future__ import annotations

import numpy as np
import pytest

from evaluate.denoise import noises
from evaluate.denoise.mixing import assigned, mix, power, sources
from tests.audio_files import noise
from zoo.errors import ZooError


@pytest.mark.parametrize("snr_db", [-20.0, -5.0, 0.0, 7.5, 20.0, 60.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_ratio_is_exact_also_with_offsets_and_where_it_would_clip(snr_db: float, channels: int) -> None:
    for level in (0.001, 0.1, 0.9):
        signal = noise(4000, channels, seed=1, level=level) + np.float32(0.05)
        clean, noisy = mix(signal, 0.3 + noise(4000, channels, seed=2), snr_db)
        assert clean.dtype == noisy.dtype == np.float32
        assert 10 * np.log10(power(clean) / power(noisy.astype(np.float64) - clean)) == pytest.approx(snr_db, abs=0.01)
        assert max(np.abs(noisy).max(), np.abs(clean).max()) <= 1 + 1e-6
        assert np.mean(noisy - clean) == pytest.approx(0, abs=1e-6)


def test_only_what_would_clip_is_scaled_and_then_both_alike() -> None:
    signal = noise(4000, level=0.1)
    clean, _ = mix(signal, noise(4000, seed=1), 10)
    assert np.array_equal(clean, signal)
    clean, noisy = mix(signal, noise(4000, seed=1), -30)
    assert np.abs(noisy).max() == pytest.approx(1)
    ratio = clean / signal
    assert np.ptp(ratio) < 1e-6
    assert ratio.max() < 1


@pytest.mark.parametrize(("signal", "other"), [(0.5, None), (None, 0.5)])
def test_a_constant_cannot_be_mixed(signal: float | None, other: float | None) -> None:
    arrays = [noise(100) if x is None else np.full((100, 1), x, np.float32) for x in (signal, other)]
    with pytest.raises(ZooError, match="no power"):
        mix(arrays[0], arrays[1], 0)


@pytest.mark.parametrize("n", [1, 2, 7, 18])
def test_every_run_of_clips_gets_every_noise_in_an_order_of_its_own(n: int) -> None:
    turns = [[assigned(n, turn * n + i, seed=3) for i in range(n)] for turn in range(6)]
    assert all(sorted(turn) == list(range(n)) for turn in turns)
    if n > 2:
        assert len({tuple(turn) for turn in turns}) > 1
        assert turns[0] != [assigned(n, i, seed=4) for i in range(n)] or n < 4


def test_noises_are_chosen_by_name() -> None:
    assert [source.name for source in sources()] == list(noises.KINDS)
    assert [source.name for source in sources(["wind,hum"])] == ["hum", "wind"]
    with pytest.raises(ZooError, match="unknown kind of noise 'cough'; there are hiss"):
        sources(["hum", "cough"])
    with pytest.raises(ZooError, match="no noise is left"):
        sources(["none"])
