"""Runs: how one is described, prepared, executed and judged."""
