"""The clock of a board, if it differs from the oscillator's."""

from amaranth.hdl import ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib import io, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.utils import ceil_log2

__all__ = ["Clocking", "ecp5_pll", "halvings", "ice40_pll"]

#: After configuration the block RAMs of an iCE40 read as zero for some microseconds.
_SETTLE_SECONDS = 20e-6


def ice40_pll(source, target):
    """DIVR, DIVF, DIVQ and FILTER_RANGE of an iCE40's PLL, and the resulting frequency, the nearest not above the target. In Hz.
    Raises ValueError if there is none."""
    found = []
    for divr in range(16):
        compared = source / (divr + 1)
        if not 10e6 <= compared <= 133e6:
            continue
        for divf in range(128):
            vco = compared * (divf + 1)
            if 533e6 <= vco <= 1066e6:
                made = [(vco / (1 << divq), -divr, divf, divq) for divq in range(1, 7)]
                found += [setting for setting in made if setting[0] <= target * (1 + 1e-9)]
    if not found:
        raise ValueError(f"no setting of the PLL makes {target / 1e6:g} MHz of {source / 1e6:g} MHz")
    frequency, divr, divf, divq = max(found)
    limits = (17e6, 26e6, 44e6, 66e6, 101e6)
    filter_range = 1 + sum(source / (1 - divr) >= limit for limit in limits)
    return {"DIVR": -divr, "DIVF": divf, "DIVQ": divq, "FILTER_RANGE": filter_range}, frequency


def ecp5_pll(source, target):
    """CLKI_DIV, CLKFB_DIV and CLKOP_DIV of an ECP5's PLL, and the resulting frequency, as for ``ice40_pll``."""
    found = []
    for into in range(1, 129):
        if not 3.125e6 <= source / into <= 400e6:
            continue
        for back in range(1, 81):
            frequency = source / into * back
            if frequency > target * (1 + 1e-9):
                break
            after = round(600e6 / frequency)
            if 1 <= after <= 128 and 400e6 <= frequency * after <= 800e6:
                found.append((frequency, -into, back, after))
    if not found:
        raise ValueError(f"no setting of the PLL makes {target / 1e6:g} MHz of {source / 1e6:g} MHz")
    frequency, into, back, after = max(found)
    return {"CLKI_DIV": -into, "CLKFB_DIV": back, "CLKOP_DIV": after}, frequency


def halvings(source, target):
    """How often to halve a clock so that it is no faster than the target, and the result."""
    number = max(0, ceil_log2(-(-int(source) // int(target))))
    return number, source / (1 << number)


class Clocking(wiring.Component):
    """Drives the domain ``sync`` of its parent, from the oscillator of the board. It is in reset until the clock is stable, and
    while the reset button is pressed.

    Parameters
    ----------
    family : "ice40" and "ecp5" have their PLL; any other, and None, divides by a power of two.
    source, target : in Hz.  ``frequency`` is the result.
    pad : the oscillator is on the PLL's own pin (iCE40).
    """

    def __init__(self, family, source, target, *, pad=False):
        self._family, self._pad, self._source = family, pad, source
        maker = {"ice40": ice40_pll, "ecp5": ecp5_pll}.get(family, halvings)
        self._setting, self.frequency = maker(source, target)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.domains.start = ClockDomain(reset_less=True, local=True)
        oscillator = platform.request(platform.default_clk, dir="-")
        clock = Signal()        # assigned on its own line, it gets a name, by which its constraint finds it
        stable = Signal()
        if self._family == "ice40" and self._pad:
            self._ice40(m, clock, stable, "SB_PLL40_PAD", i_PACKAGEPIN=oscillator.io)
        else:
            m.submodules.oscillator = buffer = io.Buffer("i", oscillator)
            if self._family == "ice40":
                self._ice40(m, clock, stable, "SB_PLL40_CORE", i_REFERENCECLK=buffer.i)
            elif self._family == "ecp5":
                self._ecp5(m, clock, stable, buffer.i)
            else:
                self._divide(m, clock, stable, buffer.i)
        platform.add_clock_constraint(clock, self.frequency)
        m.d.comb += [ClockSignal("start").eq(clock), ClockSignal("sync").eq(clock)]

        hold = Signal()
        pressed = Const(0)
        if platform.default_rst is not None:
            m.submodules.button = button = io.Buffer("i", platform.request(platform.default_rst, dir="-"))
            pressed = button.i
        m.submodules.hold = FFSynchronizer(~stable | pressed, hold, o_domain="start", init=1)
        last = int(_SETTLE_SECONDS * self.frequency)
        timer = Signal(range(last + 1))
        with m.If(hold):
            m.d.start += timer.eq(0)
        with m.Elif(timer != last):
            m.d.start += timer.eq(timer + 1)
        ready = Signal()
        m.d.start += ready.eq(timer == last)
        m.d.comb += ResetSignal("sync").eq(~ready)
        return m

    def _ice40(self, m, clock, stable, kind, **source):
        m.submodules.pll = Instance(
            kind, p_FEEDBACK_PATH="SIMPLE", **{f"p_{name}": value for name, value in self._setting.items()},
            i_RESETB=Const(1), i_BYPASS=Const(0), o_PLLOUTGLOBAL=clock, o_LOCK=stable, **source)

    def _ecp5(self, m, clock, stable, source):
        m.submodules.pll = Instance(
            "EHXPLLL", a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
            a_FREQUENCY_PIN_CLKI=str(self._source / 1e6), a_FREQUENCY_PIN_CLKOP=str(self.frequency / 1e6),
            p_FEEDBK_PATH="CLKOP", p_CLKOP_ENABLE="ENABLED", p_CLKOP_FPHASE=0, p_CLKOP_CPHASE=self._setting["CLKOP_DIV"] // 2,
            **{f"p_{name}": value for name, value in self._setting.items()},
            i_CLKI=source, i_CLKFB=clock, i_RST=Const(0), i_STDBY=Const(0), i_PHASESEL0=Const(0), i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(0), i_PHASESTEP=Const(0), i_PHASELOADREG=Const(0), i_PLLWAKESYNC=Const(0), i_ENCLKOP=Const(0),
            o_CLKOP=clock, o_LOCK=stable)

    def _divide(self, m, clock, stable, source):
        m.domains.source = ClockDomain(reset_less=True, local=True)
        m.d.comb += [ClockSignal("source").eq(source), stable.eq(1)]
        count = Signal(self._setting)
        m.d.source += count.eq(count + 1)
        m.d.comb += clock.eq(count[-1] if self._setting else source)
