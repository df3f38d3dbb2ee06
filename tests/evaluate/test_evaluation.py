"""The engine: what is compared with what, what it costs, and that neither batches nor files change it."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate import metrics, perceptual, table
from evaluate.clips import Clip, pieces
from evaluate.records import VALUES, Row, means
from evaluate.run import evaluate, measure, run
from evaluate.systems import CodecSystem, Coded, System, codec_systems
from zoo import families
from zoo.bitstream.entropy import Fitter
from zoo.errors import ZooError
from zoo.ready import ReadyCodec

pytestmark = pytest.mark.usefixtures("quick_module")

RATE = 8000
AUTOENCODER = {"sample_rate": RATE, "hop_length": 80, "latent_dim": 32, "levels": (15, 7), "width": 8, "n_blocks": 1}
GAN_VOCODER = {
    "sample_rate": RATE,
    "n_fft": 160,
    "hop_length": 80,
    "latent_dim": 8,
    "encoder_width": 8,
    "encoder_blocks": 1,
    "decoder_width": 8,
    "decoder_blocks": 1,
    "n_codebooks": 3,
    "codebook_size": 16,
    "code_dim": 4,
}
MEASURED = [name for name in VALUES if name not in perceptual.METRICS]


@functools.cache
def tiny_codec(family: str = "autoencoder") -> ReadyCodec:
    module = families.create(family, **(AUTOENCODER if family == "autoencoder" else GAN_VOCODER))
    # drawn by numpy: compiling the initialisers would take longer than all else here
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 800, 1)))
    variables = jax.tree.map(lambda x: rng.normal(0, 0.2, x.shape).astype(x.dtype), shapes)
    flat = Fitter(module.bottleneck.symbols()).fit()
    return ReadyCodec(module, variables, flat, {"family": family})


def tone(n: int, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(n)[:, None] / rate
    frequency = rng.uniform(200, 900, (1, channels))
    return (0.3 * np.sin(2 * np.pi * frequency * t) + 0.01 * rng.standard_normal((n, channels))).astype(np.float32)


def clips(*lengths: int, rate: int = RATE) -> list[Clip]:
    return [Clip(f"clip{i}", f"domain{i % 2}", tone(n, rate, seed=i), rate) for i, n in enumerate(lengths)]


@dataclasses.dataclass
class Distortion:
    """A system that does what it is told, and remembers what it was given."""

    name: str = "distortion"
    level: int | None = None
    sample_rate: int = RATE
    channels: int = 1
    max_delay_s: float = 0.0
    coder: str = ""
    gain: float = 1.0
    extra: int = 0
    delay: int = 0
    n_bytes: int = 125

    def __post_init__(self) -> None:
        self.given: list[np.ndarray] = []

    def process(self, samples: np.ndarray) -> Coded:
        self.given.append(samples)
        out = np.pad(samples * np.float32(self.gain), ((self.delay, max(self.extra, 0)), (0, 0)))
        out = out[: len(samples) + self.extra]
        return Coded(out, self.n_bytes, self.n_bytes // 2, 0.5, 0.25)


def test_a_perfect_system_is_measured_as_perfect() -> None:
    (row,) = evaluate(Distortion(n_bytes=64), clips(4096))
    assert (row.snr_db, row.si_sdr_db, row.segmental_snr_db) == (100, 100, 35)
    assert (row.stft, row.mel, row.stft_dac, row.mel_dac, row.lsd_db) == (0, 0, 0, 0, 0)
    assert row.bandwidth_hz == RATE / 2
    assert (row.kbps, row.encode_rtf, row.decode_rtf, row.seconds) == (1.0, 1.024, 2.048, 0.512)


def test_a_gain_of_nine_tenths_is_20_db_whatever_the_batch_holds_beside_it() -> None:
    found = evaluate(Distortion(gain=0.9), clips(4000, 3000, 97, 1), batch_size=4)
    np.testing.assert_allclose([row.snr_db for row in found], 20, atol=1e-3)


def test_rows_name_exactly_the_metrics() -> None:
    names = [f.name for f in dataclasses.fields(Row)]
    assert (
        list(VALUES)
        == names[5:-2]
        == ["kbps", "payload_kbps", *metrics.METRICS, "encode_rtf", "decode_rtf", *perceptual.METRICS]
    )
    assert set(table.COLUMNS) == set(VALUES)


@pytest.mark.parametrize("extra", [-300, 0, 211])
def test_a_result_of_another_length_is_cut_or_filled_at_its_end(extra: int) -> None:
    (clip,) = clips(2000)
    trial = run(Distortion(extra=extra), clip)
    kept = 2000 + min(extra, 0)
    assert trial.estimate.shape == trial.reference.shape == (2000, 1)
    np.testing.assert_array_equal(trial.estimate[:kept], clip.samples[:kept])
    assert not trial.estimate[kept:].any()


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(1, 3000),
    rate=st.sampled_from([8000, 11025, 16000, 44100]),
    channels=st.integers(1, 3),
    system_channels=st.integers(1, 2),
)
def test_any_clip_reaches_a_system_at_its_rate_and_channels(
    n: int, rate: int, channels: int, system_channels: int
) -> None:
    system = Distortion(channels=system_channels)
    trial = run(system, Clip("clip", "domain", tone(n, rate, channels), rate))
    expected = (math.ceil(n * RATE / rate), system_channels)
    assert system.given[0].shape == trial.reference.shape == trial.estimate.shape == expected
    np.testing.assert_array_equal(trial.estimate, trial.reference)


def test_stereo_reaches_a_mono_system_as_its_mean() -> None:
    samples = tone(500, channels=2)
    trial = run(Distortion(), Clip("clip", "domain", samples, RATE))
    np.testing.assert_allclose(trial.reference[:, 0], samples.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("delay", [0, 1, 4])
def test_a_delay_is_undone_only_where_the_system_owns_up_to_it(delay: int) -> None:
    (clip,) = clips(4000)
    honest = run(Distortion(delay=delay, max_delay_s=4 / RATE), clip)
    np.testing.assert_array_equal(honest.estimate[: 4000 - delay], clip.samples[: 4000 - delay])
    silent = run(Distortion(delay=delay), clip)
    np.testing.assert_array_equal(silent.estimate[delay:], clip.samples[: 4000 - delay])


def test_kbps_are_the_bytes_of_the_entropy_coder() -> None:
    codec = tiny_codec()
    found = evaluate(CodecSystem(codec, "tiny"), clips(4000, 3900), batch_size=1)
    for row, clip in zip(found, clips(4000, 3900)):
        codes = codec.encode(clip.samples, level=0).codes
        payload = codec.entropy.encode(codes, 0)
        decoded = codec.entropy.decode(payload, n_streams=1, n_frames=codes.shape[1], level=0)
        np.testing.assert_array_equal(decoded, codes)
        assert row.payload_kbps == pytest.approx(8 * len(payload) / len(clip.samples) * RATE / 1000)


def test_a_codec_is_measured_on_what_it_decodes() -> None:
    codec = tiny_codec()
    (clip,) = clips(4000)
    (row,) = evaluate(CodecSystem(codec, "tiny"), [clip])
    decoded = codec.decode(codec.encode(clip.samples))
    x, y = clip.samples.astype(np.float64), decoded.astype(np.float64)
    assert row.snr_db == pytest.approx(10 * np.log10(np.sum(x**2) / np.sum((x - y) ** 2)), abs=1e-3)


def test_levels_of_a_residual_vector_quantiser_cost_more_and_more() -> None:
    systems = codec_systems(tiny_codec("gan_vocoder"), "tiny", "all")
    assert [system.level for system in systems] == [0, 1, 2]
    found = evaluate(systems[::2], clips(4000), batch_size=1)
    # flat tables of 16 symbols at 100 frames a second: 0.4 kbps for each codebook
    np.testing.assert_allclose([row.payload_kbps for row in found], [0.4, 1.2], atol=0.08)
    (default,) = codec_systems(tiny_codec("gan_vocoder"), "tiny")
    assert default.level == 2
    for levels in ([3], [-1], "some"):
        with pytest.raises(ZooError, match=r"level"):
            codec_systems(tiny_codec("gan_vocoder"), "tiny", levels)


def test_comparison_at_another_rate_and_with_more_channels() -> None:
    codec = tiny_codec()
    stereo = CodecSystem(codec, "tiny", sample_rate=16000, channels=2)
    mono = CodecSystem(codec, "tiny", sample_rate=16000, channels=1)
    samples = np.concatenate([tone(7801, 16000), 0.3 * tone(7801, 16000)[::-1]], axis=1)
    two, one = (run(system, Clip("clip", "domain", samples, 16000)) for system in (stereo, mono))
    np.testing.assert_array_equal(two.estimate, codec.decompress(codec.compress(samples, 16000)).audio)
    assert one.estimate.shape == (7801, 1)
    assert one.coded.payload_bytes < two.coded.payload_bytes < two.coded.n_bytes


def test_batches_change_no_result() -> None:
    system = Distortion(delay=2)
    trials = [run(system, clip) for clip in clips(300, 4000, 1, 4096, 2500)]
    alone = measure(system, trials, batch_size=1)
    together = measure(system, trials, batch_size=4)
    assert [row.clip for row in together] == [row.clip for row in alone] == [f"clip{i}" for i in range(5)]
    for a, b in zip(alone, together):
        for name in MEASURED:
            assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-5, abs=1e-5), (a.clip, name)


def test_short_clips_give_finite_rows() -> None:
    short = [Clip(f"short{n}", "domain", tone(n), RATE) for n in (1, 7)]
    for row in evaluate([CodecSystem(tiny_codec(), "tiny"), Distortion()], short, batch_size=1):
        assert all(math.isfinite(getattr(row, name)) for name in MEASURED), row
        assert row.kbps > 0


def test_long_clips_are_measured_in_equal_pieces() -> None:
    clip = Clip("long", "domain", tone(25 * 100, 100), 100)
    parts = list(pieces(clip, 10))
    assert [part.name for part in parts] == ["long@0s", "long@8s", "long@17s"]
    np.testing.assert_array_equal(np.concatenate([part.samples for part in parts]), clip.samples)
    assert max(len(part.samples) for part in parts) - min(len(part.samples) for part in parts) <= 2
    assert list(pieces(clip, 25)) == [clip] or next(pieces(clip, 25)).name == "long"


def test_bad_clips_are_named() -> None:
    samples = tone(100)
    samples[30] = np.nan
    with pytest.raises(ZooError, match=r"broken.*NaN at sample 30"):
        evaluate(Distortion(), [Clip("broken", "domain", samples, RATE)])
    with pytest.raises(ZooError, match="no clips"):
        evaluate(Distortion(), [])


def test_means_are_over_clips_but_rates_over_seconds() -> None:
    rows = evaluate(
        [Distortion(gain=0.9), Distortion("loud", gain=0.0, n_bytes=0)], clips(1000, 3000, 1000), batch_size=1
    )
    found = means(rows)
    assert [(m.system, m.domain, m.n_clips) for m in found] == [
        (system, domain, n)
        for system in ("distortion", "loud")
        for domain, n in (("domain0", 2), ("domain1", 1), ("overall", 3))
    ]
    overall = found[2]
    assert overall.values["snr_db"] == pytest.approx(20, abs=1e-3)
    assert overall.values["mel"] == pytest.approx(np.mean([row.mel for row in rows[:3]]))
    # 3 × 125 bytes and 3 × half a second of encoding in 0.625 seconds of audio
    assert overall.values["kbps"] == pytest.approx(3 * 125 * 8 / 625)
    assert overall.values["encode_rtf"] == pytest.approx(0.625 / 1.5)
    assert found[5].values["snr_db"] == pytest.approx(0, abs=1e-4)


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    rows = evaluate([CodecSystem(tiny_codec(), "tiny"), Distortion()], clips(3900, 4000), batch_size=1)
    rows[0] = dataclasses.replace(rows[0], mel=math.nan, encode_rtf=math.inf)
    table.report(rows, tmp_path / "new")
    objects = json.loads((tmp_path / "new" / "results.json").read_text())
    with (tmp_path / "new" / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(objects) == len(lines) == 4
    for row, entry, line in zip(rows, objects, lines):
        assert list(line) == list(entry)
        for name, value in entry.items():
            exact = getattr(row, name)
            if isinstance(exact, float) and math.isfinite(exact):
                assert value == pytest.approx(exact, rel=1e-5)
                assert float(line[name]) == value
            else:
                assert value == (None if isinstance(exact, float) else exact)
                assert line[name] == ("" if value is None else str(value))


def test_the_table_fits_120_columns_and_shows_all_means() -> None:
    name = "a_rather_long_run_directory"
    rows = evaluate(codec_systems(tiny_codec("gan_vocoder"), name, [0, 2]), clips(3900, 4000), batch_size=1)
    worst = dataclasses.replace(rows[0], clip="worst", snr_db=-100.0, si_sdr_db=-100.0, lsd_db=-99.99, kbps=1411.2)
    console = table.console()
    with console.capture() as capture:
        console.print(table.render([*rows, worst]))
        console.print(table.legend())
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= table.WIDTH
    assert "…" not in capture.get()
    text = " ".join(lines)
    for mean in means([*rows, worst]):
        for name in ("snr_db", "mel_dac"):
            assert table.show(mean.values[name], table.COLUMNS[name]) in text


def test_a_name_is_not_cut_into_pieces_where_the_columns_are_many(tmp_path: Path, capsys) -> None:
    rows = evaluate(codec_systems(tiny_codec("gan_vocoder"), "runs_autoencoder_2", [0, 2]), clips(3900), batch_size=1)
    full = [dataclasses.replace(row, visqol=4.0, pesq=3.0, stoi=0.9, estoi=0.9) for row in rows]
    table.report(full, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(" runs_autoencoder_2") for line in lines)
    assert not any("…" in line for line in lines)


def test_every_system_here_fits_the_protocol() -> None:
    systems: list[System] = [Distortion(), CodecSystem(tiny_codec(), "tiny")]
    assert all(system.process(tone(4000)).samples.shape == (4000, 1) for system in systems)
