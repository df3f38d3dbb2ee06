"""Checks that the comparisons with several reference implementations have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tests.zoo.published.small import close

Run = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""what the reference makes of a clip (T, C): "codes" (F, Q) and "out", the decoded audio (T, C)"""


def check_padded_batch(
    apply: Callable[..., Any], run: Run, clip: Callable[[int], np.ndarray], lengths: Sequence[int]
) -> None:
    """Asserts that a padded batch gives for each clip what the reference makes of it alone.

    `apply` makes a `CodecOutput` of audio (B, T, C) and the clips' lengths; `clip` makes a clip of any length.
    """
    clips = [clip(n) for n in lengths]
    batch = np.full((len(clips), max(lengths), clips[0].shape[1]), 9.0, np.float32)  # not to be heard beyond a clip
    for row, audio in zip(batch, clips):
        row[: len(audio)] = audio
    together = jax.jit(apply)(batch, np.array(lengths, np.int32))
    for i, audio in enumerate(clips):
        wanted = run(audio)
        np.testing.assert_array_equal(together.codes[i, : len(wanted["codes"])], wanted["codes"])
        close(together.audio[i, : len(audio)], wanted["out"])
        assert not np.asarray(together.audio[i, len(audio) :]).any()


def check_written(
    model: Any,
    run: Callable[[Any, np.ndarray], Mapping[str, np.ndarray]],
    written: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    audio: np.ndarray,
    folder: Path,
) -> Any:
    """Asserts that transformers finds a model in the tensors and the configuration that were `written` of it.

    `run` says what a model makes of a clip, as for `Run`. Returns the model that was loaded.
    """
    from safetensors.numpy import save_file

    save_file(dict(written), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    again, report = type(model).from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    expected, found = run(model, audio), run(again.eval(), audio)
    np.testing.assert_array_equal(found["codes"], expected["codes"])
    close(found["out"], expected["out"], 1e-5)
    return again
