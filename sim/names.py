"""Help with names that were mistyped."""

from difflib import get_close_matches

__all__ = ["LONGEST", "closest"]

#: What has more characters is no mistyped name, and looking for one takes seconds.
LONGEST = 100


def closest(name, known):
    """``, did you mean "x"?`` if one of ``known`` is close to ``name``, else the empty string."""
    near = get_close_matches(name, list(known), 1) if len(name) <= LONGEST else ()
    return f', did you mean "{near[0]}"?' if near else ""
