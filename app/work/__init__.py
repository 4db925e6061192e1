"""Long work: one Job, one place where a session keeps its jobs, one way to draw them.

Imports words and core alone; the shell, cells and pages import it.
"""
