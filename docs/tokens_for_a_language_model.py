"""Turns a folder of audio into integer sequences for a language model, and such sequences back into audio.

    python docs/tokens_for_a_language_model.py ~/music tokens.npz --ckpt descript/dac_24khz --codebooks 4
    python docs/tokens_for_a_language_model.py tokens.npz decoded/ --ckpt descript/dac_24khz

A residual quantiser gives Q codes a frame, each from its own codebook. `--pattern` lays them out in one of two ways:

    flat    one sequence, frame by frame: code q of a frame is its value plus the sizes of the codebooks before it, so
            that every token says which codebook it is from. Q tokens a frame; the vocabulary is all sizes together.
    delay   Q parallel sequences, codebook q shifted by q steps (MusicGen, Copet et al., 2023): a model predicts one
            code of every codebook at each step, and knows a frame's coarser codes when it does. The gaps hold the
            codebook's size, an id that no code has. One step a frame, and Q − 1 more for each clip.

tokens.npz holds `tokens` (all clips one after the other), `offsets` (clip i is tokens[offsets[i]:offsets[i + 1]]),
`names`, and what decoding needs. Audio is mixed down to the codec's channels; what cannot be read is named and skipped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import zoo
from zoo import audio


def flat(codes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Tokens (F·Q,) of codes (F, Q) whose codebooks have these sizes (Q,)."""
    return (codes + np.cumsum(sizes) - sizes).reshape(-1)


def from_flat(tokens: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The inverse of `flat`; an unfinished last frame is dropped."""
    whole = tokens[: len(tokens) // len(sizes) * len(sizes)]
    return whole.reshape(-1, len(sizes)) - (np.cumsum(sizes) - sizes)


def delay(codes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Tokens (F + Q − 1, Q) of codes (F, Q) whose codebooks have these sizes (Q,)."""
    tokens = np.tile(sizes, (len(codes) + len(sizes) - 1, 1))
    for q in range(len(sizes)):
        tokens[q : q + len(codes), q] = codes[:, q]
    return tokens


def from_delay(tokens: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The inverse of `delay`."""
    n_frames = len(tokens) - len(sizes) + 1
    return np.stack([tokens[q : q + n_frames, q] for q in range(len(sizes))], axis=1)


PATTERNS = {"flat": (flat, from_flat), "delay": (delay, from_delay)}


def encode(codec: zoo.ReadyCodec, args: argparse.Namespace) -> None:
    clips: list[np.ndarray] = []
    names, lengths = [], []
    for path in audio.find_files(args.source):
        try:
            samples = audio.read(path, sample_rate=codec.sample_rate, channels=codec.channels).samples
        except zoo.ZooError as error:
            print(f"skipped {error}", file=sys.stderr)
            continue
        encoded = codec.encode(samples, n_codebooks=args.codebooks)
        clips.append(PATTERNS[args.pattern][0](encoded.codes[0], codec.symbols.code_sizes(encoded.level)))
        names.append(path.relative_to(args.source).as_posix())
        lengths.append(len(samples))
    if not clips:
        raise zoo.ZooError(f"{args.source}: nothing in it can be read")
    tokens, offsets = np.concatenate(clips).astype(np.int32), np.cumsum([0, *map(len, clips)])
    made = {"pattern": args.pattern, "level": encoded.level, "weights": codec.digest.hex()}
    with open(args.target, "xb") as file:
        np.savez(file, tokens=tokens, offsets=offsets, names=names, lengths=lengths, **made)
    rate = len(tokens) * codec.sample_rate / sum(lengths)
    print(f"{len(clips)} clips, {len(tokens)} steps, {rate:.1f} a second, ids below {tokens.max() + 1}: {args.target}")


def decode(codec: zoo.ReadyCodec, args: argparse.Namespace) -> None:
    stored = np.load(args.source)
    if str(stored["weights"]) != codec.digest.hex():
        raise zoo.ZooError(f"{args.source}: these tokens were not made with {args.ckpt}")
    level, clips = int(stored["level"]), np.split(stored["tokens"], stored["offsets"][1:-1])
    for name, length, tokens in zip(stored["names"], stored["lengths"], clips):
        codes = PATTERNS[str(stored["pattern"])][1](tokens, codec.symbols.code_sizes(level))
        target = args.target / f"{name}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        audio.write(target, codec.decode(codes[None], length=int(length), level=level)[0], codec.sample_rate)
        print(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a folder of audio, or tokens.npz")
    parser.add_argument("target", type=Path, help="tokens.npz, or a folder for the audio; must not be there yet")
    parser.add_argument("--ckpt", required=True, help="a run, or a published codec")
    parser.add_argument("--codebooks", type=int, help="of residual vector quantisation (default: the codec's)")
    parser.add_argument("--pattern", choices=PATTERNS, default="delay")
    args = parser.parse_args()
    if args.target.exists():
        raise zoo.ZooError(f"{args.target} is there already")
    (encode if args.source.is_dir() else decode)(zoo.load(args.ckpt), args)


if __name__ == "__main__":
    try:
        main()
    except zoo.ZooError as error:
        sys.exit(f"error: {error}")
