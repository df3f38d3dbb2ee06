"""What `python -m zoo tokenise` and `detokenise` take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from tyro.conf import Positional

from zoo.commands.options import Input, Output


@dataclass(frozen=True)
class Tokenise:
    """Turns a library of audio into shards of tokens for training other models; resumes when run again.

    Takes folders, stores (s3://, gs://, hf://, https://), tar archives (WebDataset), and Parquet of `datasets`.
    Exit status 1: some clips could not be coded, and errors.jsonl says why.

    Examples:
      python -m zoo tokenise ~/music tokens --ckpt descript/dac_24khz
      python -m zoo tokenise s3://bucket/audio s3://bucket/tokens --ckpt runs/vae --format webdataset --level 1
      python -m zoo tokenise DIR OUT --ckpt runs/vae --part $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT   --array=0-99
    """

    input: Positional[Input]
    """a folder, store or file of audio, or of archives or Parquet with audio in them"""
    output: Positional[Output]
    """a folder or store of its own"""
    STORES: ClassVar = ("output",)
    ckpt: str | None = None
    """a codec of the package, run directory, checkpoint or published model; None = as for encode"""
    format: Literal["parquet", "webdataset", "npy", "arrayrecord"] = "parquet"
    level: int | None = None
    """operating point, from 0 (lowest rate); None = the codec's default"""
    latents: bool = False
    """latents (float16), not quantised, instead of codes"""
    channels: Literal["each", "mix", "first", "surround"] = "each"
    """each is coded; they are mixed to as many as the codec has (5.1 and the like by ITU-R BS.775); as many first ones
    are taken; or surround: as each, and a codec of two channels codes more than two one by one"""
    stereo: Literal["mid_side", "separate"] = "mid_side"
    """how a codec of one channel gets two"""
    packet_s: float = 1.0
    """seconds that are computed at once, as the packets of encode: longer ones cost less where clips are long"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """that networks compute in; bfloat16 is for accelerators, and encodes only with codecs whose codes stay the same"""
    batch_size: int | None = None
    """clips (of several channels, streams) that are computed at once; None = 1 on a CPU, 16 on accelerators"""
    stream: int | None = None
    """which of the audio streams of a container (a film), from 0; None = the first"""
    part: str = "0/1"
    """I/N: only every Nth unit of the work, from the Ith on; the last part to end writes the manifest"""
    engine: Literal["local", "ray"] = "local"
    """what does the work: this machine, or a Ray cluster (RAY_ADDRESS; else one is started here)"""
    workers: int | None = None
    """processes, on accelerators threads, of Ray actors; None = one to each core or accelerator"""
    shard_mb: float = 32.0
    """megabytes of codes, or latents, in a shard; a row has a quarter of it at most"""
    unit_mb: float | None = None
    """megabytes of audio files to a unit of work; None = 4 to 268, by how much there is"""


@dataclass(frozen=True)
class Detokenise:
    """Decodes shards of tokens to audio: that of decoding the .zac files, with their rates, channels and lengths.

    Examples:
      python -m zoo detokenise tokens decoded --ckpt descript/dac_24khz
      python -m zoo detokenise tokens/data/000003-000.parquet decoded --format flac
    """

    input: Positional[Input]
    """a folder or store that tokenise wrote, or one of its shards"""
    output: Positional[Output]
    """a folder; files that are there already are kept"""
    ckpt: str | None = None
    """a run, checkpoint or published model; None = the codec of the package, or run below runs/, that the tokens were
    made with"""
    format: Literal["wav", "flac", "ogg"] = "wav"
    precision: Literal["float32", "bfloat16"] = "float32"
    """that networks compute in; bfloat16 is for accelerators"""
    subtype: str | None = None
    """of the samples, for instance PCM_24 or FLOAT; None = PCM_16 for wav and flac"""
    force: bool = False
    """overwrite what exists"""
