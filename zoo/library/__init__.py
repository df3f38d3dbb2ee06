"""Libraries of audio wherever they are: folders and stores, the clips in their files and archives, copies kept here."""

from zoo.audio.places import is_uri
from zoo.library.store import File, Store, open_input, open_store

__all__ = ["File", "Store", "is_uri", "open_input", "open_store"]
