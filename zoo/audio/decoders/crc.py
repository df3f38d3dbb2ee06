"""Cyclic redundancy checks as audio formats use them: most significant bit first, nothing inverted."""

from __future__ import annotations

import functools


def crc(data: bytes | bytearray, bits: int, polynomial: int) -> int:
    """The remainder of `data` by a polynomial of so many bits (at least 8), its leading 1 left out."""
    value, table, mask, shift = 0, _table(bits, polynomial), (1 << bits) - 1, bits - 8
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> shift ^ byte]
    return value


@functools.cache
def _table(bits: int, polynomial: int) -> list[int]:
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value >> (bits - 1) else value << 1) & (1 << bits) - 1
        table.append(value)
    return table
