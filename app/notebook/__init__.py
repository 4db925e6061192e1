"""The notebook: the cell, its Python code, its files, and core's tables, computed once for all.

Imports the shell, charts and what is below them; cells and pages import it.
"""
