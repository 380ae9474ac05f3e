"""Tops for FPGAs."""
