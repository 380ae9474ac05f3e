"""The command ``crosscall``, and ``python -m crosscall``."""

from sim.__main__ import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
