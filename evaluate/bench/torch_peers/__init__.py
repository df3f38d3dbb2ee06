"""The published models as their torch implementations: what `python -m evaluate.bench --vs torch` compares with.

Besides train/bench/torch_peers this folder is the only place outside the tests that imports torch, and it
imports nothing of JAX, so that a process that measures memory has one of the two only.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from evaluate.bench.torch_peers.authors import Snac, Vocos
from evaluate.bench.torch_peers.libraries import (
    Dac,
    Encodec,
    Mimi,
    NeuCodec,
    Oobleck,
    PocketTTSAudioTokenizer,
    SegmentedEncodec,
    VibeVoice,
    WavTokenizer,
)
from evaluate.bench.torch_peers.peer import Peer
from evaluate.bench.torch_peers.randomise import randomise
from zoo.errors import ZooError

__all__ = ["Peer", "build", "prepare", "restore", "use_threads"]

PEERS: dict[str, type[Peer]] = {
    "dac": Dac,
    "encodec": Encodec,
    "mimi": Mimi,
    "neucodec": NeuCodec,
    "oobleck": Oobleck,
    "pocket_tts_audio_tokenizer": PocketTTSAudioTokenizer,
    "snac": Snac,
    "vibevoice": VibeVoice,
    "vocos": Vocos,
    "wavtokenizer": WavTokenizer,
}


def build(family: str, config: dict[str, Any], *, seed: int = 0) -> Peer:
    """A peer with random weights of which codes vary; raises ZooError where an implementation is not installed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        peer = _made(family, config, None)
        randomise(peer)
    return peer


def prepare(family: str, config: dict[str, Any]) -> None:
    """Imports what the implementation needs, of which a process that measures takes no account, and starts torch."""
    _kind(family, config).prepare()
    torch.zeros(1).add(1)


def use_threads(n: int) -> None:
    """How many threads an operation may have."""
    torch.set_num_threads(n)


def restore(family: str, config: dict[str, Any], folder: Path) -> Peer:
    """The peer of a folder that `Peer.save` wrote."""
    return _made(family, config, folder)


def _kind(family: str, config: dict[str, Any]) -> type[Peer]:
    if family not in PEERS:
        raise ZooError(f"there is no torch implementation of {family} here to compare with; of: {', '.join(PEERS)}")
    return SegmentedEncodec if family == "encodec" and config.get("chunk_length_s") else PEERS[family]


def _made(family: str, config: dict[str, Any], folder: Path | None) -> Peer:
    kind = _kind(family, config)
    try:
        kind.prepare()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # at the older way to make weight norm
            return kind(config, folder)
    except ImportError as error:
        raise ZooError(
            f"the torch implementation of {family} cannot be imported ({error}): pip install -e '.[parity]'"
        ) from None
