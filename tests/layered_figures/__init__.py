"""Figures of the layered models' acceptance lists, a list a module; run by ``tests.run_layered``."""
