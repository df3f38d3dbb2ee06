"""Building blocks of the encoders and decoders: convolutions, up- and down-sampling, residual units, memory.

Conventions shared by every block:

* layout (B, T, C); a `mask` is None (everything valid) or bool (B, F) at the *frame* rate, of which the
  length of any inner signal is a whole multiple: what lies outside a clip is set to zero before every
  convolution, or mirrored from the inside, so that edges, padded batches and chunks agree;
* nothing but `TimeGroupNorm` normalises over time;
* `inputs(span)` says on which input samples those of an output `Span` depend; `causal` convolutions depend on
  nothing later than themselves; a `Network` lists its layers, from which its own `inputs` follows;
* `dtype` is the precision of the arithmetic, parameters are float32.

The forms look unusual because the plain ones are slow on XLA: strided convolutions become space-to-depth and a
dense product (but not on CPUs), transposed ones a sub-pixel product, depthwise ones sums of shifted slices; all
give the numbers of the textbook operation.
"""

from __future__ import annotations

from zoo.nn.layers.blocks import (
    Block,
    ConvNeXtBlock,
    LayerNorm,
    ResidualUnit,
    RMSNorm,
    Snake,
    TimeGroupNorm,
    compand,
    elu,
    expand,
    snake,
)
from zoo.nn.layers.chunk import Chunk
from zoo.nn.layers.convolution import Conv1d, ConvTranspose1d, DepthwiseConv1d
from zoo.nn.layers.convolution_2d import Conv2d, convolve_2d
from zoo.nn.layers.edges import Edge, Span, apply_mask, pad_time
from zoo.nn.layers.memory import LSTM, Remembering, carrying
from zoo.nn.layers.network import Beside, Layer, Layers, Network, Residual, Sum, Transform, asking, inputs_of, run
from zoo.nn.layers.parameters import PER_TENTH, Dtype, Initializer, Module, per_channel
from zoo.nn.layers.windows import Steps, in_windows, windowed

__all__ = [
    "LSTM",
    "PER_TENTH",
    "Beside",
    "Block",
    "Chunk",
    "Conv1d",
    "Conv2d",
    "ConvNeXtBlock",
    "ConvTranspose1d",
    "DepthwiseConv1d",
    "Dtype",
    "Edge",
    "Initializer",
    "Layer",
    "LayerNorm",
    "Layers",
    "Module",
    "Network",
    "RMSNorm",
    "Remembering",
    "Residual",
    "ResidualUnit",
    "Snake",
    "Span",
    "Steps",
    "Sum",
    "TimeGroupNorm",
    "Transform",
    "apply_mask",
    "asking",
    "carrying",
    "compand",
    "convolve_2d",
    "elu",
    "expand",
    "in_windows",
    "inputs_of",
    "pad_time",
    "per_channel",
    "run",
    "snake",
    "windowed",
]
