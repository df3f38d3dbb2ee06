"""`python -m train.bench`."""

from train.bench.training import main
from zoo.console import host_memory

if __name__ == "__main__":
    host_memory.use_huge_pages()  # as training does
    main()
