"""What Yosys does with the design before it synthesises.

*Collisions.* A block RAM of an iCE40 or ECP5 leaves undefined what a port reads while the other one writes the same word. Where
the design defines it, Yosys builds a comparison of the addresses and a register beside the RAM. Two memories of a Tile do not need
that, because what they read in such a clock is never used: the microcode store is written only while ``run`` is low, and the
private stack has ``settling`` high in the clock after a push. The arena's port is transparent, and stays as it is.

*Names.* Amaranth names the elements of an array ``registers[0]``, ``registers[1]`` and so on. Yosys names single bits in the same
way when it takes back what ABC9 has mapped. Where two names are equal, it ends with an assertion (in ``rtlil.cc``; Yosys 0.70).
"""

__all__ = ["ICE40_PREPARATION", "PREPARATION"]

#: Leave to the RAM what these two memories read in a collision. They are found by their names in ``rtl/core/core.py`` and
#: ``rtl/core/stack.py``.
_FORGET_COLLISIONS = (r"setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:TRANSPARENCY_MASK=1'0 %i "
                      r"r:MEMID=\\microcode r:MEMID=\\words %u %i")
#: Give the elements of arrays names that nothing else has.
_HIDE_ELEMENTS = r"rename -hide w:*\[*"

#: Commands for Yosys, one per line, for the design as Amaranth writes it.
PREPARATION = f"{_FORGET_COLLISIONS}\n{_HIDE_ELEMENTS}"
#: The same for an iCE40. There, area is scarce, and more than half of a path's delay is wires. So what needs less than 8.5 ns of
#: logic on an HX device is mapped for area. (By default, everything is mapped for speed.)
ICE40_PREPARATION = f"{PREPARATION}\nscratchpad -set abc9.D 8500"
