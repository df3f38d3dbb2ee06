"""Which of two values of a metric is the better one."""

from __future__ import annotations

_HIGHER_IS_BETTER = (
    "snr_db", "sdr", "bandwidth_hz", "perplexity", "encode_rtf", "decode_rtf", "visqol", "pesq", "stoi",
)  # fmt: skip
"""words in the names of such metrics; of all others less is better"""


def higher_is_better(metric: str) -> bool:
    """Whether more of a metric is better, by its name (`snr_db`, `held_out/snr_db`, `perplexity/0`, …)."""
    return any(word in metric for word in _HIGHER_IS_BETTER)
