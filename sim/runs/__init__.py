"""Runs: how one is said, made ready, carried out and judged."""
