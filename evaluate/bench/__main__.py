"""`python -m evaluate.bench`."""

from evaluate.bench.coding import main

if __name__ == "__main__":
    main()
