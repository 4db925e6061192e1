"""Changing a model and judging the change: a method a file, answers, side effects, comparisons.

Imports core.model and core.gradients; nothing else in core imports it, studies least of all.
"""
