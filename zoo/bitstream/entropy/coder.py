"""Range coder of integer frequencies (Martin, 1979; the arithmetic is constriction's, the ending is ours).

A state of 64 bits, digits of 32, frequencies that sum to 2**24. A payload is the number, in bytes from the most
significant on and without trailing zero bytes, that the coder's last interval holds and that has the fewest of them.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from zoo.bitstream.entropy.tables import PRECISION_BITS
from zoo.errors import BitstreamError

REFUSED = "payload is damaged or of another model"


def model(frequencies: np.ndarray) -> Any:
    """Coder's form of integer frequencies (S,), S at least 2, each at least 1, that sum to 2**24."""
    import constriction

    # constriction puts the left end of symbol i at floor(scale · sum of weights below i) + i, with scale (2**24 − S)
    # over the sum of all weights: with frequencies − 1 as weights that is exactly the sum of the frequencies below i
    return constriction.stream.model.Categorical(np.asarray(frequencies, np.float64) - 1, perfect=False)


@functools.cache
def uniform(n_bits: int) -> Any:
    """Model of `n_bits` bits that are all equally likely."""
    return model(np.full(1 << n_bits, 1 << (PRECISION_BITS - n_bits)))


class Encoder:
    """Symbols in, bytes out."""

    def __init__(self) -> None:
        import constriction

        self._coder = constriction.stream.queue.RangeEncoder()

    def encode(self, symbols: np.ndarray, model: Any) -> None:
        """Appends symbols (n,) under one model."""
        self._coder.encode(np.ascontiguousarray(symbols, np.int32), model)

    def finish(self) -> bytes:
        """All bytes: the shortest number in the final interval."""
        n_words, (lower, size) = self._coder.pos()
        sealed = self._coder.get_compressed()[: n_words + 1].astype(">u4").tobytes()
        # the sealed number is the lower end, carries and all, rounded up to a whole word
        low = (int.from_bytes(sealed, "big") << 32) - (-lower % (1 << 32))
        for zeros in range(64, -1, -8):
            value = -(-low >> zeros) << zeros
            if value < low + size:
                break
        return value.to_bytes(4 * (n_words + 2), "big").rstrip(b"\0")


class Decoder:
    """Bytes in, symbols out; `finish` says whether they were what an encoder writes."""

    def __init__(self, payload: bytes) -> None:
        import constriction

        padded = payload + bytes(-len(payload) % 4 + 8)
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))
        self._payload = payload
        self._again = Encoder()

    def decode(self, model: Any, n: int) -> np.ndarray:
        """The next n symbols int32 under one model."""
        try:
            symbols: np.ndarray = self._coder.decode(model, n)
        except AssertionError:  # a number outside all symbols' intervals
            raise BitstreamError(f"{REFUSED}: a number lies outside all its symbols") from None
        self._again.encode(symbols, model)
        return symbols

    def finish(self) -> None:
        """Raises BitstreamError unless an encoder of the symbols read so far writes this very payload."""
        if self._again.finish() != self._payload:
            raise BitstreamError(f"{REFUSED}: it is longer or shorter than its codes")
