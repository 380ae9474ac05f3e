"""The entry point of the process. Importing the command takes a while; a signal ends it at once during that time."""

from sim.interruption import at_once

__all__ = ["main"]


def main():
    with at_once():
        from sim.cli import main as command
    command()


if __name__ == "__main__":
    main()
