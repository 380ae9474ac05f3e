"""Connects components by giving them the same signals, instead of an assignment from one to the other.

A simulator in Python pays for assignments: in each delta, for each one in a process whose inputs have changed. In a hierarchy of
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

    Each port becomes the Signal, or the interface object, that is given for it. (One that a sibling shows from its other side is
    turned round, as ``connect`` would do it; an array of them is a list.) So what is given must be what ``signature`` says: a whole
    Signal of the same shape and initial value, not a part of one. A part is assigned in the ordinary way. The component complies
    with its signature as before.

    A parent calls this in its ``elaborate``, which Amaranth runs before that of its children: each component finds in its own
    ``elaborate`` the ports that it has for good. Two drivers of a shared signal are refused by Amaranth, as everywhere.

    Raises
    ------
    AttributeError : the component has no such port.
    ConnectionError : what is given for it does not comply. No port has been changed then.
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
    """It has the width of a struct or enum, but not its fields: to ``is_compliant`` that is the same."""
    return (member.is_port and not member.dimensions and isinstance(member.shape, ShapeCastable)
            and value.shape() != member.shape)
