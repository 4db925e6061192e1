"""What a model would learn: one forward and one backward pass, and every table drawn from it.

Imports core.model; editing and studies may import it.
"""
