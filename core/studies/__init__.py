"""Averages over many prompts: records from files, traced batch by batch, kept on disk.

Imports core.model and core.gradients; nothing else in core imports it, editing least of all.
"""
