"""`python -m evaluate.bench`, alone or with `codes`, `features`, `first` or `tokenise`."""

import importlib
import sys

from zoo.console import host_memory

OTHERS = ("codes", "features", "first", "tokenise")

if __name__ == "__main__":
    host_memory.use_huge_pages()  # as the commands that are measured
    named, *rest = sys.argv[1:] or [""]
    if named in OTHERS:
        importlib.import_module(f"evaluate.bench.{named}").main(rest)
    else:
        importlib.import_module("evaluate.bench.coding").main()
