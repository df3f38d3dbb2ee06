"""Targets of the fuzzer that decode whole files.

    python tests/zoo/bitstream/fuzz.py --target tests.zoo.bitstream.fuzz_codec:codes

`codes` ends at the codec's symbols, `audio` at samples; both with small codecs of two families, a scalar and a vector
quantiser.
"""

from __future__ import annotations

import io

import numpy as np

from tests.zoo.bitstream.fuzz import Target
from tests.zoo.conftest import RATE, make, sound
from zoo import coding
from zoo.bitstream.container import ContainerReader
from zoo.errors import BitstreamError
from zoo.ready import ReadyCodec

Codes = dict[int, tuple[int, bytes]]
"""level and codes of each packet"""


def codes() -> Target:
    """Container and entropy coder: everything but the network."""
    return Target(_originals(), _codes, lambda blob: _codes(blob, lenient=True), _is_part, memory=_memory)


def audio() -> Target:
    """All of `decompress`, and of lenient decoding."""
    return Target(
        _originals(), _audio, _lenient_audio, lambda found, whole: found is None or found == whole, 5.0, _memory
    )


def _memory(n_bytes: int) -> int:
    # a packet may claim 2**20 codes; a number takes four bytes, and some arrays are alive together
    return (1 << 26) + 96 * n_bytes


def _originals() -> list[bytes]:
    found = []
    for name, channels, seconds in (("vae", 1, 1.3), ("vae", 2, 2.0), ("gan_vocoder", 2, 0.9), ("gan_vocoder", 1, 3.1)):
        # rates differ, or a packet of one file would fit into another's same place
        rate = RATE + 100 * channels
        found.append(make(name).compress(sound(round(seconds * rate), channels), rate, packet_s=0.5))
    return found


def _codec(reader: ContainerReader) -> ReadyCodec:
    for name in ("vae", "gan_vocoder"):
        if make(name).digest == reader.header.weights_hash:
            return make(name)
    raise BitstreamError("no such weights")


def _codes(blob: bytes, *, lenient: bool = False) -> Codes:
    reader = ContainerReader(io.BytesIO(blob), lenient=lenient)
    codec = _codec(reader)
    coding.expect(codec.engine, reader)
    layout = coding.decode.streams_of(codec.engine, reader.header)
    return {
        packet.index: (
            packet.level,
            codec.entropy.decode(
                packet.payload, n_streams=layout.n_streams, n_frames=packet.n_frames, level=packet.level
            ).tobytes(),
        )
        for packet in reader
        if not packet.damaged
    }


def _is_part(found: Codes, whole: Codes) -> bool:
    return all(whole.get(index) == packet for index, packet in found.items())


def _audio(blob: bytes) -> bytes:
    codec = _codec(ContainerReader(io.BytesIO(blob)))
    samples: np.ndarray = codec.decompress(blob).audio
    return samples.tobytes()


def _lenient_audio(blob: bytes) -> bytes | None:
    """Samples if nothing is declared damaged or cut off, else None."""
    reader = ContainerReader(io.BytesIO(blob), lenient=True)
    codec = _codec(reader)
    coding.expect(codec.engine, reader)
    damaged: list[int] = []
    samples = np.concatenate(list(coding.decode_blocks(codec.engine, reader, damaged)))
    return None if damaged or reader.truncated else samples.tobytes()
