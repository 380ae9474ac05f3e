"""Help with names that were mistyped."""

from difflib import get_close_matches

__all__ = ["closest"]


def closest(name, known):
    """``, did you mean "x"?`` if one of ``known`` is close to ``name``, else the empty string."""
    near = get_close_matches(name, list(known), 1)
    return f', did you mean "{near[0]}"?' if near else ""
