"""Errors that a user can act on: what was wrong, the limit, and what to do next."""


class BackwardLensError(ValueError):
    """Base of every error that core raises on purpose."""


class ModelError(BackwardLensError):
    """A model cannot be found, downloaded, loaded or used."""


class PromptError(BackwardLensError):
    """A prompt, target, subject or layer does not fit the model or the method."""
