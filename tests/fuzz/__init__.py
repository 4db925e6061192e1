"""Hostile texts through every page, and hostile files through every reader.

A quick part runs with the tests; all of it by `make fuzz`, or `python -m tests.fuzz`.
"""
