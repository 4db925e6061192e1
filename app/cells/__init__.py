"""A file for each question of a page: it asks core for a table and draws it. No mathematics here.

Imports every other room of app; pages alone import it.
"""
