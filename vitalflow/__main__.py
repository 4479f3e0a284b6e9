"""`python -m vitalflow`: the command `vitalflow`, also where the package is not installed."""

from vitalflow.cli import main

if __name__ == "__main__":
    main()
