"""`python -m evaluate.bench`, and `python -m evaluate.bench features`."""

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["features"]:
        from evaluate.bench.features import main

        main(sys.argv[2:])
    else:
        from evaluate.bench.coding import main

        main()
