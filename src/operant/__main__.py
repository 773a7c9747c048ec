"""`python -m operant`: the command line, where the `operant` command is not on the path."""

from operant.cli.main import entry

if __name__ == "__main__":
    entry()
