"""Workloads from outside: tests and benchmarks of the kernel's, as scenarios."""
