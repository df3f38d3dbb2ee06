"""The gallery: its sections, commands that do what they say, sounds of the right length, a browser that plays them."""

from __future__ import annotations

import base64
import io
import json
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import soundfile

import zoo
from configs.base import Config
from configs.vae import VAE
from evaluate.gallery import __main__ as command
from evaluate.gallery import edited, restored, sources
from evaluate.gallery.sections import Section
from tests.audio_files import noise
from tests.complaint import complaint
from tests.zoo.conftest import place, sound  # noqa: F401
from tests.zoo.generating.conftest import prior, runs  # noqa: F401
from train.run.checkpoints import Checkpoints
from train.step.state import create_state
from train.step.task import CodecTask
from zoo.__main__ import Command
from zoo.__main__ import main as zoo_main
from zoo.bitstream import entropy
from zoo.console.command import parse

pytestmark = pytest.mark.usefixtures("quick_module")

RATE = 48_000
TITLES = ["Denoised", "Generated", "Continued", "Filled", "Mixed", "Morphed", "Stretched", "Pitch shifted"]


class Page(HTMLParser):
    """Headings, commands, clips and addresses of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {"h2": [], "code": [], "script": []}
        self.open: str | None = None
        self.addresses: list[str] = []
        self.clips: list[dict[str, Any]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag in self.texts:
            self.open = tag
            self.texts[tag].append("")
            self.is_clip = ("class", "clip") in attrs

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open][-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == self.open:
            self.open = None
            if tag == "script" and self.is_clip:
                self.clips.append(json.loads(self.texts["script"][-1]))


@pytest.fixture(scope="module")
def denoiser(runs: Path, place: Path) -> Path:  # noqa: F811
    """The weights of the codec tiny as a run of `--task denoise`."""
    tiny = zoo.load(place / "runs" / "tiny")
    model = VAE(**{name: value for name, value in tiny.metadata["model"].items() if name != "family"})
    task = CodecTask(Config(model=model))
    shapes = jax.eval_shape(lambda: create_state(task, seed=0))
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    checkpoints = Checkpoints(runs / "quiet", Config(model=model, task="denoise"))
    coder = entropy.Fitter(task.module.bottleneck.symbols()).fit()
    checkpoints.save(state.replace(step=np.int32(3), ema=tiny.variables["params"]), coder)
    checkpoints.close()
    return runs / "quiet"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for domain, seed, channels in (("music", 1, 2), ("speech", 2, 1)):
        (folder / domain).mkdir()
        soundfile.write(
            folder / domain / f"{seed}.wav",
            sound(2 * RATE + 4800, channels, sample_rate=RATE, seed=seed),
            RATE,
            subtype="FLOAT",
        )
    return folder


@pytest.fixture(scope="module")
def path(denoiser: Path, runs: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A gallery of everything, the codec being that of the prior."""
    page = tmp_path_factory.mktemp("page") / "gallery.html"
    command.main(
        ["--denoiser", str(denoiser), "--prior", str(runs / "flow"), "--data.root", str(recordings),
         "--output", str(page)]
    )  # fmt: skip
    return page


def test_every_section_has_sounds_of_the_right_length(path: Path) -> None:
    page = Page(path)
    assert page.texts["h2"] == TITLES
    lengths = {}
    for clip in page.clips:
        for version in clip["versions"]:
            samples, rate = soundfile.read(io.BytesIO(base64.b64decode(version["sound"])), always_2d=True)
            assert len(samples) == pytest.approx(clip["seconds"] * rate, abs=2)  # all run in step
            assert base64.b64decode(version["picture"]).startswith(b"\x89PNG")
            assert np.abs(samples[: round(version["seconds"] * rate)]).max() > 1e-3
            assert np.abs(samples[round((version["seconds"] + 0.05) * rate) :]).max(initial=0) < 1e-3
            lengths[clip["clip"], version["label"]] = version["seconds"]
    music, speech, whole = "music/1.wav", "speech/2.wav", 2.1
    assert lengths[speech, "noisy"] == lengths[music, "denoised"] == lengths[music, "clean"] == whole
    assert lengths["new sounds", "music"] == lengths["new sounds", "speech"] == 5
    assert lengths[music, "what was given"] == pytest.approx(0.6 * whole)
    assert lengths[music, "continued, 0"] == lengths[music, "continued, 1"] == pytest.approx(0.6 * whole + 2)
    assert lengths[music, "filled"] == lengths[music, "with a gap"] == whole
    both = f"{speech} and {music}"
    assert lengths[both, "mixed"] == lengths[both, "latents mixed"] == lengths[both, "morphed"] == whole
    assert lengths[music, "stretched"] == lengths[music, "latents stretched"] == pytest.approx(1.25 * whole)
    assert lengths[speech, "shifted"] == lengths[speech, "latents shifted"] == whole
    assert path.stat().st_size < 5e6


def test_marks_lie_where_something_is_new(path: Path) -> None:
    marked = {
        version["label"]: version["marks"]
        for clip in Page(path).clips
        for version in clip["versions"]
        if version["marks"]
    }
    gap = [[pytest.approx(0.8), pytest.approx(1.0), "gap"]]
    new = [[pytest.approx(1.26), pytest.approx(3.26), "new"]]
    assert marked == {
        "continued, 0": new, "continued, 1": new, "with a gap": gap, "filled": gap, "extrapolated": gap,
    }  # fmt: skip


def test_commands_are_such_as_the_parser_takes(path: Path, runs: Path) -> None:  # noqa: F811
    lines = Page(path).texts["code"]
    assert len(lines) == 13
    assert str(runs / "flow" / "codec") in lines[-1]  # none was named: it is the prior's own
    for line in lines:
        python, flag, package, *words = shlex.split(line)
        assert (python, flag, package) == ("python", "-m", "zoo")
        parse(Command, "python -m zoo", words)


def test_the_page_asks_for_nothing_outside_itself(path: Path) -> None:
    assert [x for x in Page(path).addresses if not x.startswith(("#", "data:"))] == []
    assert [x.name for x in path.parent.iterdir()] == ["gallery.html"]


def test_commands_make_what_is_shown(
    runs: Path,  # noqa: F811
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    found = sources.find(str(recordings))
    through = edited.Editing(zoo.load(runs / "tiny"), str(runs / "tiny"))
    # compiled once
    monkeypatch.setattr("zoo.commands.editing_run.find_codec", {through.run: through.codec}.__getitem__)
    pair = edited.pair(found)
    assert pair
    shown = {
        "mixed": edited.mixed(through, *pair),
        "morphed": edited.morphed(through, *pair),
        "longer": edited.stretched(through, found),
        "higher": edited.shifted(through, found),
    }
    for name, section in shown.items():
        for line, version in zip(section.commands, section.examples[0].versions[-2:], strict=True):
            zoo_main([*shlex.split(line)[3:], "--subtype", "FLOAT", "--force"])
            made, rate = soundfile.read(f"{name}.wav", always_2d=True)
            assert rate == RATE
            np.testing.assert_allclose(made, version.samples, atol=1e-4, err_msg=line)


def test_generated_sounds_are_those_of_the_commands(
    runs: Path,  # noqa: F811
    prior: zoo.generating.ReadyPrior,  # noqa: F811
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo.generating, "load", lambda path, codec: {str(runs / "flow"): prior}[path])
    found = sources.find(str(recordings))
    given = next(source for source in found if source.domain == "music").samples
    soundfile.write("start.wav", given[: round(0.6 * len(given))], RATE, subtype="FLOAT")

    def made(section: Section, line: int, name: str) -> np.ndarray:
        zoo_main([*shlex.split(section.commands[line])[3:], "--force"])
        return soundfile.read(f"out/{name}.wav", dtype="float32", always_2d=True)[0]

    section = restored.generated(prior, str(runs / "flow"), 3)
    np.testing.assert_allclose(made(section, 1, "sound_000"), section.examples[0].versions[1].samples, atol=1e-4)
    section = restored.continued(prior, str(runs / "flow"), found, 3)
    np.testing.assert_allclose(made(section, 0, "continued_001"), section.examples[0].versions[2].samples, atol=1e-4)
    section = restored.filled(prior, str(runs / "flow"), found, 3)
    np.testing.assert_allclose(made(section, 0, "filled_000"), section.examples[0].versions[2].samples, atol=1e-4)


def test_noise_is_at_the_ratio_that_is_told(recordings: Path, denoiser: Path) -> None:
    section = restored.denoised(zoo.load(denoiser), str(denoiser), sources.find(str(recordings)), 0)
    assert len({example.versions[0].about.split()[0] for example in section.examples}) == 2  # two noises
    for example in section.examples:
        noisy, denoised, clean = (version.samples.astype(np.float64) for version in example.versions)
        assert 10 * np.log10(np.var(clean) / np.var(noisy - clean)) == pytest.approx(5, abs=0.1)
        for version, estimate in zip(example.versions, (noisy, denoised)):
            said = float(version.about.split("SI-SDR ")[1].split()[0].replace("−", "-"))
            x, y = clean - clean.mean(), estimate - estimate.mean()
            target = np.sum(x * y) / np.sum(x * x) * x
            assert said == pytest.approx(10 * np.log10(np.sum(target**2) / np.sum((y - target) ** 2)), abs=0.06)


def test_a_codec_alone_shows_what_it_can_and_of_the_generator(
    runs: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "CLIP_S", 1.0)
    command.main(["--codec", str(runs / "tiny"), "--output", str(tmp_path / "page.html")])
    page = Page(tmp_path / "page.html")
    assert page.texts["h2"] == TITLES[4:]
    assert "held-out clips of the embedded generator" in (tmp_path / "page.html").read_text()
    assert [clip["clip"] for clip in page.clips][:1] == ["voice_001.wav and music_000.wav"]


def test_names_cannot_break_the_page(denoiser: Path, tmp_path: Path) -> None:
    name = 'x</script><b onclick="1">&amp;\'{{programs}} é.wav'
    file = tmp_path / "data" / name
    file.parent.mkdir(parents=True)
    soundfile.write(file, sound(2 * 8000), 8000)
    command.main(["--denoiser", str(denoiser), "--data.root", str(tmp_path / "data"), "--output", str(tmp_path / "p")])
    page = Page(tmp_path / "p")
    # one recording cannot be mixed, nor, without a codec, morphed
    assert page.texts["h2"] == ["Denoised", "Stretched", "Pitch shifted"]
    assert {clip["clip"] for clip in page.clips} == {name}
    assert shlex.split(page.texts["code"][1])[4] == str(file)
    assert len(page.texts["script"]) == 1 + len(page.clips)


def test_sources_are_loud_stretches_of_different_domains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rate = 8000
    long = noise(10 * rate, seed=1, level=0.001)
    long[6 * rate : 8 * rate] *= 100
    written = {"a/0": noise(3 * rate, 6, seed=1), "a/1": long, "b/0": noise(rate), "b/1": np.full((3 * rate, 1), 0.5),
               "c/0": noise(3 * rate, seed=3), "c/1": noise(3 * rate, seed=4), "c/2": noise(3 * rate)}  # fmt: skip
    for name, samples in written.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", samples, rate)
    (tmp_path / "a" / "2.wav").write_text("none")
    found = sources.find(str(tmp_path))
    # b has nothing that can be used; the middle of each domain comes first
    assert [source.name for source in found] == ["a/1.wav", "c/1.wav", "c/2.wav"]
    assert [source.domain for source in found] == ["a", "c", "c"]
    first = found[0].samples
    assert first.shape == (5 * RATE, 1)
    assert np.mean(first**2) == pytest.approx(0.01 * 2 / 5, rel=0.1)
    (tmp_path / "a" / "1.wav").unlink()
    assert "a/2.wav" in capsys.readouterr().err or sources.find(str(tmp_path))[0].name == "a/0.wav"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to show: name a run with --denoiser, --prior or --codec"),
        (["--denoiser", "RUNS/tiny"], "tiny: was not trained to denoise"),
        (["--codec", "RUNS/quiet"], "quiet: is a denoiser, not a codec"),
        (["--codec", "RUNS/flow"], "is no codec, but a model of a codec's latents"),
        (["--prior", "RUNS/tiny"], "'vae' is no model of latents"),
        (["--prior", "RUNS/nowhere"], "nowhere: there is no such file or folder"),
        (["--codec", "RUNS/tiny", "--data.root", "empty"], "empty: holds no audio files"),
        (["--codec", "RUNS/tiny", "--data.root", "nowhere"], "nowhere: no such folder"),
        (["--codec", "RUNS/tiny", "--data.root", "short"], "short: no recording of 2 s or more"),
        (["--codec", "RUNS/tiny", "--output", "there.html"], "there.html: exists already; --force"),
        (["--codec", "RUNS/tiny", "--output", "nowhere/page.html"], "nowhere/page.html: no folder nowhere"),
        (["--codec", "RUNS/tiny", "--seed", "-1"], "--seed must lie between 0 and 4294967295, got -1"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    denoiser: Path,
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "short").mkdir()
    soundfile.write("short/a.wav", noise(8000), 8000)
    Path("there.html").write_text("mine")
    said = complaint(capfd, command.main, [word.replace("RUNS", str(denoiser.parent)) for word in arguments])
    assert words in said
    assert Path("there.html").read_text() == "mine"
    assert sorted(x.name for x in tmp_path.iterdir()) == ["empty", "short", "there.html"]


def test_a_browser_plays_and_copies(path: Path) -> None:
    check = [sys.executable, "-m", "tests.evaluate.gallery.browser_check", str(path)]
    root = Path(__file__).parents[3]
    done = subprocess.run(check, capture_output=True, text=True, timeout=240, cwd=root)
    if done.returncode == 3:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
