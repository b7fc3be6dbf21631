"""`python -m gesso.agent …` is `gesso …`, wherever the command itself is installed."""

from .cli import main

if __name__ == "__main__":
    main()
