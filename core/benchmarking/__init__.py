"""The field's benchmark: CounterFact records, each edited by each method and judged alike.

Imports core.editing and core.studies; nothing else in core imports it.
"""
