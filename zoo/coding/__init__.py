"""Audio ↔ packets: the engine of a codec, encoding and decoding whole files, parts of them, and streams."""

from zoo.coding.decode import DecodedAudio, PacketDecoder, decode_all, decode_blocks, decode_range, decompress, expect
from zoo.coding.encode import CodedFile, StreamEncoder, compress, encode_blocks, level_policy
from zoo.coding.engine import CodecParts, Engine, Precision
from zoo.coding.stream_decoder import StreamDecoder

__all__ = [
    "CodecParts",
    "CodedFile",
    "DecodedAudio",
    "Engine",
    "PacketDecoder",
    "Precision",
    "StreamDecoder",
    "StreamEncoder",
    "compress",
    "decode_all",
    "decode_blocks",
    "decode_range",
    "decompress",
    "encode_blocks",
    "expect",
    "level_policy",
]
