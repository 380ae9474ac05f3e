"""The ports of a component as its module has them: flat, with the names of Amaranth's backends; and black boxes with the same
ports."""

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value, ValueCastable
from amaranth.lib import wiring

__all__ = ["Boxed", "flat_ports"]


def flat_ports(component):
    """Port name -> (Value, is it an input) of a component, flattened as the RTLIL backend does."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        if isinstance(value, ValueCastable):
            value = value.as_value()
        ports["__".join(map(str, path))] = (Value.cast(value), member.flow is wiring.In)
    return ports


class Boxed(wiring.Component):
    """Stands for a component that is translated separately: a black box with its ports.

    Parameters
    ----------
    signature : the component's.  kind : name of the module.  clocked : whether the module also has ``clk`` and ``rst``.
    """

    def __init__(self, signature, kind, *, clocked=False):
        self._kind, self._clocked = kind, clocked
        super().__init__(signature)

    def elaborate(self, platform):
        m = Module()
        clock = {"i_clk": ClockSignal(), "i_rst": ResetSignal()} if self._clocked else {}
        m.submodules.box = Instance(self._kind, **clock, **{
            f"{'i' if is_input else 'o'}_{name}": value for name, (value, is_input) in flat_ports(self).items()
        })
        return m
