"""Around every page: sidebar, menu, what the user asks, settings, models, the ledger of edits.

Imports work and what is below it; the notebook, cells and pages import it.
"""
