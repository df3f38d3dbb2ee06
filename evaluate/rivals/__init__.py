"""Codecs that others made, as rivals at the same clips: Opus, MP3, AAC and Vorbis, charged for every byte they write.

for rival in systems(["opus", "mp3:64"], sample_rate=24_000, channels=1):
    print(rival.name, rival.process(samples).n_bytes)
"""

from evaluate.rivals.aac import Aac
from evaluate.rivals.containers import mp3_payload_bytes, mp4_payload_bytes, ogg_payload_bytes
from evaluate.rivals.mp3 import Mp3
from evaluate.rivals.opus import Opus, OpusCbr
from evaluate.rivals.rival import Rival
from evaluate.rivals.specs import FAMILIES, create, systems
from evaluate.rivals.vorbis import Vorbis

__all__ = [
    "FAMILIES",
    "Aac",
    "Mp3",
    "Opus",
    "OpusCbr",
    "Rival",
    "Vorbis",
    "create",
    "mp3_payload_bytes",
    "mp4_payload_bytes",
    "ogg_payload_bytes",
    "systems",
]
