"""Many workers, one model each: in this process, or on other machines through Ray.

Imports core.model only; studies and the benchmark hand their work to it.
"""
