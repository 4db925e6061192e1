"""Lessons: units that a teacher writes as files, their checks against live numbers, and progress.

Imports the notebook, the shell and what is below them; cells and pages import it.
"""
