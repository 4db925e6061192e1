"""Errors that a user can act on: what was wrong, the limit, and what to do next."""


class BackwardLensError(ValueError):
    """Base of every error that core raises on purpose."""


class ModelError(BackwardLensError):
    """A model cannot be found, downloaded, loaded or used."""


class Cancelled(Exception):  # noqa: N818 - a request, not a fault
    """Raised by a progress callback to end the work that reports to it."""


class PromptError(BackwardLensError):
    """A prompt, target, subject or layer does not fit the model or the method."""


class EditError(BackwardLensError):
    """An edit does not fit the model, its method or its file."""
