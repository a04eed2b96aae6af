"""``python -m reactive`` is the command ``reactive``."""

from reactive.cli import main

if __name__ == "__main__":
    main()
