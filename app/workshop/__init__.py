"""A workshop's link: who comes in by it, what it pins, who is here, and what all are told.

Imports words, settings, core and work; the shell, cells and pages import it. Its command,
`python -m app.workshop`, may import everything.
"""
