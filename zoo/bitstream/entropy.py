"""Range coding of symbols under static integer tables (the coder is constriction's; Martin, 1979)."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.bitstream.tables import TOTAL


def encode(codes: np.ndarray, tables: np.ndarray) -> bytes:
    """Bytes of codes int32 (F, q) under the first q rows of the tables; code by code, all frames of each."""
    import constriction

    encoder = constriction.stream.queue.RangeEncoder()
    for q in range(codes.shape[1]):
        if _is_certain(tables[q]):
            continue
        encoder.encode(np.ascontiguousarray(codes[:, q], np.int32), _model(tables[q]))
    payload: bytes = encoder.get_compressed().astype("<u4").tobytes()
    return payload


def decode(payload: bytes, tables: np.ndarray, n_frames: int, n_codes: int) -> np.ndarray:
    """Inverse of `encode`: codes int32 (n_frames, n_codes)."""
    import constriction

    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))
    columns = [
        np.zeros(n_frames, np.int32) if _is_certain(tables[q]) else decoder.decode(_model(tables[q]), n_frames)
        for q in range(n_codes)
    ]
    return np.stack(columns, axis=1).astype(np.int32) if columns else np.zeros((n_frames, 0), np.int32)


def _is_certain(row: np.ndarray) -> bool:
    # an alphabet of one symbol costs nothing, and the coder has no model for it
    return bool(row[0] == TOTAL)


def _model(row: np.ndarray) -> Any:
    import constriction

    # a ratio of small integers to a power of two is exact in a float
    return constriction.stream.model.Categorical(row[row > 0] / TOTAL, perfect=False)
