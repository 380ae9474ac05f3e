"""The hardware of crosscall. Everything here elaborates and synthesises, does no I/O and never imports ``sim``."""
