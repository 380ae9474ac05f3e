"""Litmus tests: herd's format for x86 is read, enumerated under a memory model, and run on the machine."""
