"""Yosys of the package pyosys as a program: ``python pyosys_script.py [-q] [-l LOG] FILE.ys``."""

import argparse
import os
import sys

__all__ = ["main"]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="pyosys")
    parser.add_argument("-q", action="store_true")
    parser.add_argument("-l", metavar="LOG")
    parser.add_argument("script")
    options = parser.parse_args(arguments)
    # Yosys ends the process at an error, so its messages go to the log by redirection.
    if options.l:
        log = os.open(options.l, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        sys.stdout.flush()
        os.dup2(log, 1)
        os.dup2(log, 2)
    from pyosys import libyosys

    libyosys.run_pass(f"script {options.script}", libyosys.Design())


if __name__ == "__main__":
    main()
