"""EnCodec (Défossez et al., 2022): SEANet, LSTM and residual VQ; 24 kHz, 32 kHz (MusicGen's), 48 kHz stereo.

The 24 kHz codec is causal and goes on from chunk to chunk, its LSTM's state is carried. At the beginning of a clip its
causal convolutions mirror what is yet to come, so that a packet has at least seven frames.

The 48 kHz codec normalises over time, and so was published to work on segments of a second that overlap by a hundredth,
each divided by its loudness. No other chunks can give its codes: here a frame is a segment, 47,520 samples after the
one before. Its latent is the 150 latents of the network and the loudness, and so are its codes: the first of 17
codebooks holds bytes, four for the loudness as float32 and zeros after, the others 150 codes each.
"""

from __future__ import annotations

import jax.numpy as jnp

from zoo.codec import Codec
from zoo.nn.layers import Dtype
from zoo.published.encodec.segments import SCALE_BYTES, SegmentDecoder, SegmentEncoder, SegmentRVQ
from zoo.published.parts.euclidean import EuclideanRVQ
from zoo.published.parts.seanet import Seanet, SeanetDecoder, SeanetEncoder


def encodec(
    *,
    sample_rate: int = 24_000,
    channels: int = 1,
    latent_dim: int = 128,
    n_filters: int = 32,
    ratios: tuple[int, ...] = (8, 5, 4, 2),
    kernel_size: int = 7,
    last_kernel_size: int = 7,
    residual_kernel_size: int = 3,
    n_residual: int = 1,
    dilation_growth: int = 2,
    compress: int = 2,
    causal: bool = True,
    edge: str = "reflect",
    conv_shortcut: bool = True,
    n_lstm: int = 2,
    n_codebooks: int = 32,
    codebook_size: int = 1024,
    segment_s: float | None = None,
    overlap: float = 0.01,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The codec of 24 kHz; levels are numbers of codebooks.

    With `segment_s` it works on segments of so many seconds that overlap by that share of them, normalised over time,
    as that of 48 kHz. Raises ValueError where these do not fit together.
    """
    if edge not in _PAD_MODES.values():
        raise ValueError(f"edge {edge!r} is none of {', '.join(_PAD_MODES.values())}")
    if n_filters % compress:
        raise ValueError(f"compress {compress} does not divide n_filters {n_filters}")
    segmented = segment_s is not None
    spec = Seanet(
        latent_dim,
        n_filters,
        ratios=tuple(ratios),
        channels=channels,
        kernel_size=kernel_size,
        last_kernel_size=last_kernel_size,
        residual_kernel_size=residual_kernel_size,
        n_residual=n_residual,
        dilation_growth=dilation_growth,
        compress=compress,
        causal=causal,
        edge=edge,  # type: ignore[arg-type]
        norm="time_group_norm" if segmented else "none",
        conv_shortcut=conv_shortcut,
        n_lstm=n_lstm,
        remembers=not segmented,
    )
    if segment_s is not None:
        return _segmented(
            spec,
            sample_rate,
            n_codebooks=n_codebooks,
            codebook_size=codebook_size,
            segment_s=segment_s,
            overlap=overlap,
            dtype=dtype,
        )
    encoder, decoder = SeanetEncoder(spec, dtype), SeanetDecoder(spec, dtype)
    return Codec.from_parts(
        encoder,
        EuclideanRVQ(latent_dim, n_codebooks, codebook_size),
        decoder,
        sample_rate=sample_rate,
        hop_length=spec.hop_length,
        channels=channels,
        recurrent=n_lstm > 0,
        min_first_frames=spec.min_first_frames(),
    )


def _segmented(
    spec: Seanet,
    sample_rate: int,
    n_codebooks: int,
    codebook_size: int,
    segment_s: float,
    overlap: float,
    dtype: Dtype,
) -> Codec:
    length, hop = _segments(sample_rate, segment_s, overlap)
    n_steps = length // spec.hop_length
    if length % spec.hop_length or not length // 2 <= hop <= length or n_steps < SCALE_BYTES:
        raise ValueError(
            f"segments of {length} samples every {hop}: they must be a whole number of {spec.hop_length}, at least "
            f"{SCALE_BYTES}, and overlap by at most half"
        )
    encoder, decoder = SegmentEncoder(spec, length, hop, dtype), SegmentDecoder(spec, length, hop, dtype)
    return Codec.from_parts(
        encoder,
        SegmentRVQ(spec.latent_dim, n_codebooks, codebook_size, n_steps),
        decoder,
        sample_rate=sample_rate,
        hop_length=hop,
        channels=spec.channels,
    )


def _segments(sample_rate: int, segment_s: float, overlap: float) -> tuple[int, int]:
    """Samples in a segment, and from one's beginning to the next one's, rounded as the reference does."""
    length = int(segment_s * sample_rate)
    return length, max(1, int((1.0 - overlap) * length))


_PAD_MODES = {"reflect": "reflect", "constant": "zero", "replicate": "replicate"}
