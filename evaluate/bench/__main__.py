"""`python -m evaluate.bench`, alone or with `codes`, `features` or `tokenise`."""

import sys

from zoo.console import host_memory

if __name__ == "__main__":
    host_memory.use_huge_pages()  # as the commands that are measured
    if sys.argv[1:2] == ["features"]:
        from evaluate.bench.features import main

        main(sys.argv[2:])
    elif sys.argv[1:2] == ["tokenise"]:
        from evaluate.bench.tokenise import main

        main(sys.argv[2:])
    elif sys.argv[1:2] == ["codes"]:
        from evaluate.bench.codes import main

        main(sys.argv[2:])
    else:
        from evaluate.bench.coding import main

        main()
