"""Files that were once written decode for ever: by this package, and by the plain-Python reader of FORMAT.md.

`python -m tests.zoo.test_golden` writes them anew, which only a new version of the format may ask for.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from tests.zoo.conftest import RATE, make, sound
from tests.zoo.reference import container, payload
from zoo import coding
from zoo.bitstream.container import ContainerReader
from zoo.bitstream.entropy import EntropyModel
from zoo.coding.rate import Planned
from zoo.nn.bottlenecks import SymbolFormat

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("autoencoder", "vae", "gan_vocoder")


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_file_is_read_as_it_was_written(name):
    stored = dict(np.load(GOLDEN / f"{name}.npz"))
    blob = (GOLDEN / f"{name}.zac").read_bytes()
    sizes = tuple(int(size) for size in stored.pop("codebook_sizes"))
    symbols = SymbolFormat(
        sizes, int(stored.pop("n_levels")), bool(stored.pop("tables_per_level")), ordered=bool(stored.pop("ordered"))
    )
    expected = [stored.pop(f"packet_{i}") for i in range(int(stored.pop("n_packets")))]
    coder = EntropyModel(symbols, stored)
    arrays = {key: value.tolist() for key, value in stored.items()}
    file = container.read(blob)
    assert (file.sample_rate, file.channels, file.n_samples) == (RATE + 25, 2, 9_001)
    packets = list(ContainerReader(io.BytesIO(blob)))
    assert len(packets) == len(file.packets) == len(expected)
    for packet, (level, n_frames, data), codes in zip(packets, file.packets, expected):
        q = symbols.n_codes(level)
        found = coder.decode(packet.payload, n_streams=2, n_frames=packet.n_frames, level=packet.level)
        np.testing.assert_array_equal(found, codes)
        if symbols.ordered:
            row = level if symbols.tables_per_level else 0
            plain = payload.decode_scalars(data, list(sizes), arrays, row, 2, n_frames, q)
        else:
            plain = payload.decode_names(data, list(sizes), arrays, 2, n_frames, q)
        np.testing.assert_array_equal(plain, codes)
        assert coder.encode(codes, level) == data
    assert len({packet.level for packet in packets}) == min(3, symbols.n_levels)


def write() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name in NAMES:
        codec = make(name)
        symbols = codec.symbols
        audio = sound(9_001, 2, seed=5)
        levels = iter([0, codec.n_levels - 1, codec.n_levels // 2] * 9)
        packets: list[np.ndarray] = []
        encoder = coding.StreamEncoder(
            codec.engine,
            RATE + 25,
            2,
            policy=Planned(list(levels)),
            packet_frames=codec.packet_frames(0.3),
            on_codes=lambda codes, level, packets=packets: packets.append(codes),
        )
        (GOLDEN / f"{name}.zac").write_bytes(encoder.push(audio) + encoder.finish())
        np.savez_compressed(
            GOLDEN / f"{name}.npz",
            **codec.entropy.arrays,
            **{f"packet_{i}": codes.astype(np.int16) for i, codes in enumerate(packets)},
            n_packets=len(packets),
            codebook_sizes=symbols.codebook_sizes,
            n_levels=symbols.n_levels,
            tables_per_level=symbols.tables_per_level,
            ordered=symbols.ordered,
        )


if __name__ == "__main__":
    write()
