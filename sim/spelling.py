"""Help with names that were mistyped."""

from difflib import get_close_matches

__all__ = ["closest"]

#: What has more characters is no mistyped name, and looking for one takes seconds.
_LONGEST = 100


def closest(name, known):
    """``, did you mean "x"?`` if one of ``known`` is close to ``name``, in whatever case it is written, else the empty string."""
    # Sorted, so that of names that differ only in case it is always the same one.
    by_lower = {item.lower(): item for item in sorted(known)}
    near = get_close_matches(name.lower(), by_lower, 1) if len(name) <= _LONGEST else ()
    return f', did you mean "{by_lower[near[0]]}"?' if near else ""
