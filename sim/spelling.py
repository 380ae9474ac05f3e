"""Help with mistyped names."""

from difflib import get_close_matches

__all__ = ["closest"]

#: A longer name is no typing error, and looking for a similar one takes seconds.
_LONGEST = 100


def closest(name, known):
    """``, did you mean "x"?`` if one of ``known`` is close to ``name``, in whatever case it is written, else the empty string."""
    # Sorted, so that among names that differ only in case the choice is always the same.
    by_lower = {item.lower(): item for item in sorted(known)}
    near = get_close_matches(name.lower(), by_lower, 1) if len(name) <= _LONGEST else ()
    return f', did you mean "{by_lower[near[0]]}"?' if near else ""
