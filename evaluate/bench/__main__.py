"""`python -m evaluate.bench`, `python -m evaluate.bench features` and `python -m evaluate.bench tokenise`."""

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["features"]:
        from evaluate.bench.features import main

        main(sys.argv[2:])
    elif sys.argv[1:2] == ["tokenise"]:
        from evaluate.bench.tokenise import main

        main(sys.argv[2:])
    else:
        from evaluate.bench.coding import main

        main()
