"""Joins components by giving them the same signals, instead of an assignment from one to the other.

What a simulator in Python has to pay for is assignments: in each delta, each one in a process whose inputs have changed. In a
hierarchy of five levels most of them would only pass ports on.
"""

from amaranth.hdl import Shape, Value

__all__ = ["share"]


def _check(name, theirs, ours):
    """A shared port must be what the port was."""
    if isinstance(ours, (list, tuple)):
        for mine, other in zip(ours, theirs, strict=True):
            _check(name, other, mine)
    elif hasattr(theirs, "signature"):
        for path, _, port in theirs.signature.flatten(theirs):
            value = ours
            for step in path:
                value = value[step] if isinstance(step, int) else getattr(value, step)
            _check(f"{name}.{path}", port, value)
    else:
        assert Shape.cast(Value.cast(theirs).shape()) == Shape.cast(Value.cast(ours).shape()), f"{name} has another shape"


def share(component, **ports):
    """Let ports of a component be signals (or whole interfaces) of its parent or of a sibling: they are one from here on.

    To be called before the component is elaborated; each shared signal is still driven from one place only.
    """
    for name, ours in ports.items():
        _check(name, getattr(component, name), ours)
        setattr(component, name, ours)
