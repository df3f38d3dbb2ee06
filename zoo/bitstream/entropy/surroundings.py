"""What is known around the scalar symbols of a pass, as the inputs of the networks that foretell them.

All are small integers in float32, the type in which their matrix products are fast and, as long as sums stay below
2**24, exact. Magnitudes are companded: C[i] = 8 · log2(1 + i), rounded.
"""

from __future__ import annotations

import numpy as np

from zoo.bitstream.entropy.contexts import Pass, Tokens

MARGIN = 8
"""dimensions at either end that are always zero"""
N_OF_DIMS = 3
"""inputs that are known of a dimension beforehand"""
INPUT_MAX = 127
_COMPANDED = 4096
_NEAR, _FAR, _INSIDE = (-2, -1, 0, 1, 2), (-1, 0, 1), (-3, -1, 1, 3)
_BOXES = (4, 8)
N_INPUTS = 2 * len(_NEAR) + 2 * len(_FAR) + len(_BOXES) + 1 + 2 + len(_INSIDE) + 2 + N_OF_DIMS
N_SIGNED = 4 * len(_NEAR) + len(_INSIDE)
N_UNSIGNED = 1 + N_OF_DIMS
"""inputs of the network of signs that say nothing of signs: the symbol's own magnitude, and its dimension"""


def companding() -> np.ndarray:
    """C[0 … 4095] uint8: 8 · log2(1 + i) rounded, which is half of the bits of (1 + i)**16."""
    return np.array([((1 + i) ** 16).bit_length() // 2 for i in range(_COMPANDED)], np.uint8)


_C = companding()


class Surroundings:
    """What has been coded so far of tokens (N, F, Q'), Q' of the model's Q dimensions.

    `of_dims` (N_OF_DIMS, Q) are the inputs known beforehand. Passes must come in their order: `inputs` of one, `see`
    its tokens, then, where signs are foretold, `sign_inputs`, and `see_signs`.
    """

    def __init__(self, shape: tuple[int, int, int], classes: Tokens, of_dims: np.ndarray) -> None:
        self._shape = shape
        self._of_dims = of_dims.astype(np.float32)
        self._of_token = _C[classes.seen]
        n_streams, n_frames, n_dims = shape
        self._magnitudes = np.zeros((n_streams, n_frames, n_dims + 2 * MARGIN), np.uint8)
        # the same, even dimensions apart from odd ones: an input is then a copy of what lies side by side
        self._halves = np.zeros((2, n_streams, n_frames, -(-n_dims // 2) + MARGIN), np.float32)
        self._signed = np.zeros(self._magnitudes.shape, np.int8)

    def inputs(self, step: Pass) -> np.ndarray:
        """Inputs float32 (N_INPUTS, n) of all n symbols of a pass, in the order stream, frame, dimension."""
        seen, n_total = self._magnitudes, self._of_dims.shape[1]
        n_streams, n_frames, n_dims = self._shape
        of_dims = self._of_dims[:, step.parity : n_dims : 2]
        n_rows = len(range(*step.frames.indices(n_frames)))
        found = np.zeros((N_INPUTS, n_streams, n_rows, of_dims.shape[1]), np.float32)
        rows = iter(found)

        def at(halves: np.ndarray, offset: int) -> np.ndarray:
            index = step.parity + offset
            start = MARGIN // 2 + (index >> 1)
            return halves[index & 1, :, :, start : start + of_dims.shape[1]]

        def between(sums: np.ndarray, first: int, last: int) -> np.ndarray:
            start, end = MARGIN + step.parity, MARGIN + n_dims
            return sums[:, :, start + last + 1 : end + last + 1 : 2] - sums[:, :, start + first : end + first : 2]

        if step.distance:
            references = _references(step, n_frames)
            for reference, offsets in zip(references, (_NEAR, _NEAR, _FAR, _FAR), strict=True):
                halves = self._halves[:, :, reference]
                for offset in offsets:
                    next(rows)[:] = at(halves, offset)
            before, after = (seen[:, reference] for reference in references[:2])
            sums = _running(before.astype(np.int32) + after)
            for reach in _BOXES:
                next(rows)[:] = _C[between(sums, -reach, reach)]
            next(rows)[:] = _C[np.minimum(sums[:, :, -1:] * 8 // n_total, _COMPANDED - 1)]
            known = seen[:, :: 2 * step.distance]
            total = _running(known.sum(1, dtype=np.int32)[:, None])
            for level in (16 * between(total, 0, 0) // known.shape[1], 8 * between(total, -1, 1) // known.shape[1]):
                next(rows)[:] = _C[level]
        else:
            for _ in range(N_INPUTS - len(_INSIDE) - 2 - N_OF_DIMS):
                next(rows)
        # of the frame itself, in passes of odd dimensions: in those of even ones nothing of it is known
        if step.parity:
            halves = self._halves[:, :, step.frames]
            for offset in _INSIDE:
                next(rows)[:] = at(halves, offset)
            sums = _running(seen[:, step.frames])
            next(rows)[:] = _C[between(sums, -_BOXES[-1], _BOXES[-1])]
            next(rows)[:] = _C[np.minimum(sums[:, :, -1:] * 16 // n_total, _COMPANDED - 1)]
        found[-N_OF_DIMS:] = of_dims[:, None, None]
        return found.reshape(N_INPUTS, -1)

    def see(self, step: Pass, tokens: np.ndarray) -> None:
        """Takes note of a pass's tokens (N, frames, dims)."""
        magnitudes = self._of_token[tokens]
        self._magnitudes[:, step.frames, MARGIN + step.parity : -MARGIN : 2] = magnitudes
        start = MARGIN // 2
        self._halves[step.parity, :, step.frames, start : start + magnitudes.shape[2]] = magnitudes

    def sign_inputs(self, step: Pass, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed inputs float32 (N_SIGNED, n) and others (N_UNSIGNED, n) of the symbols `chosen` (N, frames, dims) of a
        pass at distance 1."""
        n_frames, width = self._magnitudes.shape[1:]
        stream, row, column = np.nonzero(chosen)
        frame, dim = step.frames.start + 2 * step.distance * row, 2 * column + step.parity
        signed = np.empty((N_SIGNED, len(stream)), np.float32)
        place, rows = MARGIN + dim, iter(signed)
        flat = self._signed.ravel()
        references = np.stack([np.asarray(part)[row] for part in _references(step, n_frames)])
        for part in references:
            start = (stream * n_frames + part) * width + place
            for offset in _NEAR:
                next(rows)[:] = flat[start + offset]
        start = (stream * n_frames + frame) * width + place
        for offset in _INSIDE:
            next(rows)[:] = flat[start + offset]
        own = self._magnitudes.ravel()[start]
        return signed, np.concatenate([own[None], self._of_dims[:, dim]]).astype(np.float32)

    def see_signs(self, step: Pass, negative: np.ndarray) -> None:
        """Takes note of which symbols (N, frames, dims) of a pass are negative, where they are not zero."""
        part = (slice(None), step.frames, slice(MARGIN + step.parity, -MARGIN, 2))
        self._signed[part] = self._magnitudes[part].astype(np.int8) * (1 - 2 * negative.astype(np.int8))


def _references(step: Pass, n_frames: int) -> tuple[np.ndarray, ...]:
    """For each frame of a pass, the nearest known ones before and after it, and those at thrice the distance."""
    frames = np.arange(*step.frames.indices(n_frames))
    last = (n_frames - 1) // (2 * step.distance) * 2 * step.distance
    d = step.distance
    return frames - d, np.minimum(frames + d, last), np.maximum(frames - 3 * d, 0), np.minimum(frames + 3 * d, last)


def _running(x: np.ndarray) -> np.ndarray:
    """Sums int32 (N, F, K + 1) of the first 0 … K of x (N, F, K)."""
    sums = np.zeros((*x.shape[:2], x.shape[2] + 1), np.int32)
    np.cumsum(x, axis=2, out=sums[:, :, 1:], dtype=np.int32)
    return sums
