"""`python -m zoo similar`: the sounds below a folder that are most like one."""

from __future__ import annotations

import json
from pathlib import Path

from zoo import audio
from zoo.audio.places import no_folder
from zoo.commands.recognise_options import Similar
from zoo.commands.sources import find_codec
from zoo.console.command import progress
from zoo.console.terminal import printable, report
from zoo.errors import ZooError
from zoo.recognise import index


def similar(options: Similar) -> None:
    """Brings the folder's index up to date and prints the nearest; raises ZooError for input that cannot be used."""
    if options.top < 1:
        raise ZooError(f"--top must be at least 1, got {options.top}")
    no_folder(options.query)
    sound = audio.read(options.query)
    audio.validate(sound.samples, name=options.query)
    audio.find_files(options.data, on_left_out=lambda line: None)  # refuses an empty folder before a codec is loaded
    codec = find_codec(options.ckpt)
    place = index.place(options.data) if options.index is None else Path(options.index)
    n_embedded = 0
    with progress(None, "embedding") as advance:

        def embedded(done: int, of: int) -> None:
            nonlocal n_embedded
            n_embedded = done
            advance(1)

        found = index.update(options.data, codec, place, on_note=report, on_embedded=embedded)
    report(f"index of {len(found.names)} sounds in {place}, {n_embedded} of them embedded now")
    vector = index.query(codec, found, sound.samples, sound.sample_rate)
    nearest = found.nearest(vector, options.top, without=options.query)
    if options.json:
        rows = [{"file": printable(str(one.path)), "similarity": round(one.similarity, 6)} for one in nearest]
        print(json.dumps(rows, indent=1))
        return
    for one in nearest:
        print(f"{one.similarity:6.3f}  {printable(str(one.path))}")
