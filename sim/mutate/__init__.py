"""How good the judges are: single faults put into a protocol, and which of them are seen. See ``docs/mutants.md``."""
