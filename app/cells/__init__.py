"""The notebook cells: each asks core for a table and draws it. No mathematics here."""
