"""What `python -m zoo` does with codecs: listing those there are, exporting one."""

from __future__ import annotations

import zoo
from zoo.commands.options import Export, ExportOnnx, List
from zoo.console import extras

_HEADINGS = ("name", "family", "kHz", "channels", "kbps", "M parameters", "licence of the weights", "here")


def list_models(options: List) -> None:
    """Prints a table of the package's codecs, the runs below runs/, and the published models that are known by name."""
    rows = [_HEADINGS, *(_row(model) for model in zoo.models())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def export(options: Export) -> None:
    """Writes a codec to a folder in the hub's layout; raises ZooError where that cannot be."""
    from zoo.published import discriminators, load

    load.check_folder(options.output, force=options.force)  # before the weights are fetched
    adversaries = discriminators.of_run(options.ckpt) if options.discriminators else None
    codec = zoo.load(options.ckpt)
    load.export(
        codec,
        options.output,
        force=options.force,
        precision=options.precision,
        licence=options.licence,
        trained_on=options.trained_on,
        kbps=options.kbps,
        discriminators=adversaries,
    )
    print(f"{options.ckpt} → {options.output}: {codec!r}")


def export_onnx(options: ExportOnnx) -> None:
    """Writes a codec as ONNX graphs; raises ZooError where that cannot be."""
    from zoo.saved import onnx_export

    extras.require("onnx")  # before the weights are fetched
    onnx_export.check_folder(options.output, force=options.force)
    written = onnx_export.export(
        zoo.load(options.ckpt),
        options.output,
        seconds=options.seconds,
        level=options.level,
        batch_size=options.batch_size,
        force=options.force,
    )
    print(f"{options.ckpt} → {options.output}")
    for graph in written:
        print(f"  {graph}")


def _row(model: zoo.ModelInfo) -> tuple[str, ...]:
    rates = model.bitrates_kbps
    kbps = "–" if rates is None else f"{rates[0]:.3g}" if rates[0] == rates[1] else f"{rates[0]:.3g}–{rates[1]:.3g}"
    return (
        model.name,
        model.family,
        f"{model.sample_rate / 1000:g}",
        str(model.channels),
        kbps,
        "–" if model.parameters is None else f"{model.parameters / 1e6:.1f}",
        model.licence or "–",
        "yes" if model.at_hand else "no",
    )
