"""The table that benches print: a row for each system."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def table_by_system(
    headings: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]], title: str | None = None
) -> Table:
    """A rich table whose `rows` are the name of a system and its cells, one to each of `headings`."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("system", vertical="bottom")
    for heading in headings:
        table.add_column(heading, justify="right", vertical="bottom")
    for system, cells in rows:
        table.add_row(system, *cells)
    return table
