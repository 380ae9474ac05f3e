"""What all tests begin with."""

from sim.engines.compiled.translation import Translations

# Tests change the hardware in the running process.
Translations.kept = False
