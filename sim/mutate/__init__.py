"""How good the judges are: puts single faults into a protocol and checks which are seen. See ``docs/mutants.md``."""
