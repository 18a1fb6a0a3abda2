"""`python -m pakar` is the same as `pakar`."""

from pakar.cli import main

if __name__ == "__main__":
    main()
