"""What runs: a language model, its tokens and activations, also with edits on.

Imports errors alone; everything else in core may import it.
"""
