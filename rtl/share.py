"""Connects components by giving them the same signals, instead of an assignment from one to the other.

Assignments slow a simulator in Python: in each delta it runs every one in a process whose inputs have changed. In a hierarchy of
five levels most of them would only pass ports on.
"""

from types import SimpleNamespace

from amaranth.hdl import ShapeCastable
from amaranth.lib import wiring
from amaranth.lib.wiring import flipped

__all__ = ["Bundle", "share"]


class Bundle(wiring.Signature):
    """A signature that is equal to another by class and members. (Amaranth compares signatures of derived classes by identity.)"""

    def __eq__(self, other):
        return type(self) is type(other) and self.members == other.members


def share(component, **ports):
    """Make ports of a component the same as those of its parent, or of a sibling: what ``wiring.connect`` does, without a copy.

    Each port becomes the given Signal or interface object. (One that a sibling shows from its other side is flipped, as ``connect``
    would do; an array of them is a list.) So the given object must match ``signature``: a whole Signal of the same shape and
    initial value, not a part of one. Assign a part in the ordinary way. The component still complies with its signature.

    A parent calls this in its ``elaborate``, which Amaranth runs before that of its children: each component finds its final ports
    in its own ``elaborate``. Amaranth refuses two drivers of a shared signal, as everywhere.

    Raises
    ------
    AttributeError : the component has no such port.
    ConnectionError : the given object does not comply. Then no port has been changed.
    """
    members = component.signature.members
    for name in ports:
        if name not in members:
            raise AttributeError(f"{type(component).__name__} has no port {name!r}")
    ports = {name: _face(members[name], value) for name, value in ports.items()}
    reasons = []
    offered = SimpleNamespace(signature=wiring.Signature({name: members[name] for name in ports}), **ports)
    offered.signature.is_compliant(offered, reasons=reasons, path=(type(component).__name__,))
    reasons += [f"'{type(component).__name__}.{name}' is expected to have the shape {members[name].shape!r}, but it has the shape "
                f"{value.shape()!r}" for name, value in ports.items() if not reasons and _is_other_view(members[name], value)]
    if reasons:
        raise wiring.ConnectionError("Ports cannot be shared:" + "".join(f"\n- {reason}" for reason in reasons))
    for name, value in ports.items():
        setattr(component, name, value)


def _face(member, value):
    """An interface from the side of the component whose member it becomes."""
    if isinstance(value, (list, tuple)):
        return [_face(member, item) for item in value]
    if member.is_signature and getattr(value, "signature", None) == member.signature.flip():
        return flipped(value)
    return value


def _is_other_view(member, value):
    """Whether it has the width of a struct or enum, but not its fields: ``is_compliant`` does not distinguish them."""
    return (member.is_port and not member.dimensions and isinstance(member.shape, ShapeCastable)
            and value.shape() != member.shape)
