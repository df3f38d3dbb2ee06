"""What tests ask of XLA's compiler and of Python, in this process and in those that they start."""

import gc
from importlib.metadata import version

# the older emitters compile two to three times as fast as those that XLA would take, and to cut a program into parts
# that are compiled side by side takes a seventh of the time, for nothing where tests run side by side; where flags are
# gone, XLA ends a process that has them
SOONER = (
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    if version("jaxlib").startswith("0.10.")
    else ""
)


def collect_seldom() -> None:
    """Has Python look for garbage a hundred times less often than it would by itself.

    Tracing makes objects by the million, most of which live as long as its program: the search takes up to a twelfth
    of the time of tests that compile much.
    """
    gc.set_threshold(100_000, 20, 20)
