"""The audio tokenizer of Pocket TTS (Rouard et al., 2025): Mimi with continuous latents."""

from zoo.published.pocket_tts_audio_tokenizer.model import pocket_tts_audio_tokenizer
from zoo.published.pocket_tts_audio_tokenizer.weights import default_entropy, hub_config, hyperparameters, key_maps

__all__ = [
    "default_entropy",
    "hub_config",
    "hyperparameters",
    "key_maps",
    "pocket_tts_audio_tokenizer",
]
