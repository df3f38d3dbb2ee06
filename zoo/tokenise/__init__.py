"""Libraries of audio to shards of tokens that other programs read, on any number of machines; and back."""

from zoo.tokenise.formats import from_record, read
from zoo.tokenise.rows import Row, to_tokens

__all__ = ["Row", "from_record", "read", "to_tokens"]
