"""Long work (one Job, where a session keeps its jobs, how they look) and what many visitors share.

Imports words, settings and core alone; the shell, cells and pages import it.
"""
