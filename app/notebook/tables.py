"""The tables of core, computed once for all users who ask the same.

Keys are the model's name, the texts and the contents of the active edits.
"""

from __future__ import annotations

import pandas as pd

import core
from app.shell.models import load
from app.shell.state import Request
from app.work.results import shared, traces

Key = tuple[str, str, str, tuple[str, ...]]  # model, prompt, target, ids of the active edits
Edits = tuple[core.Edit, ...]


def key(request: Request) -> tuple[Key, Edits]:
    """The first two arguments of every cached function; edits are known by their ids."""
    texts = (request.model_name, request.prompt, request.target)
    return (*texts, request.edit_ids), request.edits


def trace(request: Request) -> core.Trace:
    return _trace(*key(request))


def forward_lens(request: Request, top_k: int = 5) -> pd.DataFrame:
    return _forward_lens(*key(request), top_k)


def backward_lens(request: Request, matrix: str, normalize: bool = False) -> pd.DataFrame:
    return _backward_lens(*key(request), matrix, normalize)


def gradient_rank(request: Request) -> pd.DataFrame:
    return core.gradient_rank(trace(request))


def vjp_norms(request: Request) -> pd.DataFrame:
    return core.vjp_norms(trace(request))


def rank_curve(request: Request) -> pd.DataFrame:
    return _rank_curve(*key(request))


def reconstruction_error(request: Request) -> float:
    """Of FF2 in the middle layer."""
    return _reconstruction_error(*key(request))


def segments(request: Request) -> tuple[str, ...]:
    """The segment of each prompt token; the request must have a subject."""
    return core.segments(request.model, request.prompt, request.subject)


def subject_positions(request: Request) -> tuple[int, ...]:
    """Where the subject's tokens stand; none where the prompt has no subject."""
    if request.subject is None:
        return ()
    of_subject = (core.SEGMENTS[1], core.SEGMENTS[2], core.SEGMENTS[3])
    return tuple(i for i, name in enumerate(segments(request)) if name in of_subject)


def layer_similarity(request: Request, position: int) -> pd.DataFrame:
    return core.layer_similarity(trace(request), position=position)


def imprint_and_shift(
    request: Request, layer: int, matrix: str, position: int, step: float, all_tokens: bool
) -> core.ImprintAndShift:
    return _imprint_and_shift(*key(request), layer, matrix, position, step, all_tokens)


def imprint_copies(request: Request, layer: int, position: int, step: float) -> pd.DataFrame:
    return core.imprint_copies(trace(request), layer, position=position, step=step)


def gradient_span(request: Request, layer: int, matrix: str) -> pd.DataFrame:
    return _gradient_span(*key(request), layer, matrix)


def gradient_neurons(
    request: Request, layer: int, matrix: str, units: tuple[int, ...], normalize: bool
) -> pd.DataFrame:
    return _gradient_neurons(*key(request), layer, matrix, units, normalize)


def neuron_overlap(request: Request, layer: int, matrix: str) -> pd.DataFrame:
    """Shared between users and large: do not change it."""
    return _neuron_overlap(*key(request), layer, matrix)


def both_answers(request: Request, top_k: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The most probable answers of the original and of the edited model."""
    return _both_answers(*key(request), top_k)


def both_lenses(request: Request) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The forward lens of the original and of the edited model."""
    return _both_lenses(*key(request))


def side_effects(
    request: Request, around: tuple[tuple[str, ...], ...], old_answer: str
) -> pd.DataFrame:
    """`around`: paraphrases, neighbours and unrelated prompts."""
    return _side_effects(*key(request), around, old_answer)


def swap(
    request: Request,
    layer: int,
    position: int,
    source_prompt: str,
    source_position: int,
    top_k: int,
) -> core.Swap:
    return _swap(*key(request), layer, position, source_prompt, source_position, top_k)


def step_ladder(request: Request, matrix: str, layer: int, position: int) -> pd.DataFrame:
    return _step_ladder(*key(request), matrix, layer, position)


def one_cell(
    request: Request, matrix: str, layer: int, position: int, share: float, top_k: int
) -> tuple[core.Edit, core.BeforeAfter]:
    """A step of one matrix from one token, and what it does."""
    return _one_cell(*key(request), matrix, layer, position, share, top_k)


@shared("Reading the prompt …", traces)
def _trace(asked: Key, _edits: Edits) -> core.Trace:
    model_name, prompt, target, _ = asked
    return core.trace(load(model_name), prompt, target, edits=_edits)


@shared("Reading the prompt …")
def _forward_lens(asked: Key, _edits: Edits, top_k: int) -> pd.DataFrame:
    model_name, prompt, target, _ = asked
    return core.forward_lens(load(model_name), prompt, target, top_k=top_k, edits=_edits)


@shared("Reading the gradient in words …")
def _backward_lens(asked: Key, _edits: Edits, matrix: str, normalize: bool) -> pd.DataFrame:
    return core.backward_lens(_trace(asked, _edits), matrix, normalize=normalize)


@shared("Checking against autograd …")
def _reconstruction_error(asked: Key, _edits: Edits) -> float:
    return core.reconstruction_error(_trace(asked, _edits))


@shared("Running every beginning of the prompt …")
def _rank_curve(asked: Key, _edits: Edits) -> pd.DataFrame:
    model_name, prompt, target, _ = asked
    return core.rank_curve(load(model_name), prompt, target, edits=_edits)


@shared("Taking the step …")
def _imprint_and_shift(
    asked: Key,
    _edits: Edits,
    layer: int,
    matrix: str,
    position: int,
    step: float,
    all_tokens: bool,
) -> core.ImprintAndShift:
    return core.imprint_and_shift(
        _trace(asked, _edits),
        layer,
        matrix=matrix,
        position=position,
        step=step,
        all_tokens=all_tokens,
    )


@shared("Reading the neurons …")
def _gradient_span(asked: Key, _edits: Edits, layer: int, matrix: str) -> pd.DataFrame:
    return core.gradient_span(_trace(asked, _edits), layer, matrix)


@shared("Reading the neurons …")
def _gradient_neurons(
    asked: Key,
    _edits: Edits,
    layer: int,
    matrix: str,
    units: tuple[int, ...],
    normalize: bool,
) -> pd.DataFrame:
    run = _trace(asked, _edits)
    return core.gradient_neurons(run, layer, matrix, units=units, normalize=normalize)


@shared("Comparing all neurons …", traces)
def _neuron_overlap(asked: Key, _edits: Edits, layer: int, matrix: str) -> pd.DataFrame:
    return core.neuron_overlap(_trace(asked, _edits), layer, matrix)


@shared("Reading the prompt …")
def _both_answers(asked: Key, _edits: Edits, top_k: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    model_name, prompt, _, _ = asked
    model = load(model_name)
    top_k = min(top_k, model.vocabulary_size)
    return (
        core.answers(model, prompt, top_k=top_k),
        core.answers(model, prompt, edits=_edits, top_k=top_k),
    )


@shared("Reading both models …")
def _both_lenses(asked: Key, _edits: Edits) -> tuple[pd.DataFrame, pd.DataFrame]:
    model_name, prompt, target, _ = asked
    model = load(model_name)
    return (
        core.forward_lens(model, prompt, target),
        core.forward_lens(model, prompt, target, edits=_edits),
    )


@shared("Asking around …")
def _side_effects(
    asked: Key, _edits: Edits, around: tuple[tuple[str, ...], ...], old_answer: str
) -> pd.DataFrame:
    model_name, _, target, _ = asked
    paraphrases, neighbours, unrelated = around
    return core.side_effects(
        load(model_name),
        _edits,
        paraphrases=paraphrases,
        neighbours=neighbours,
        unrelated=unrelated,
        target=target,
        old_answer=old_answer,
    )


@shared("Reading the other prompt …")
def _swap(
    asked: Key,
    _edits: Edits,
    layer: int,
    position: int,
    source_prompt: str,
    source_position: int,
    top_k: int,
) -> core.Swap:
    model_name, prompt, target, _ = asked
    model = load(model_name)
    return core.swap(
        model,
        prompt,
        layer=layer,
        position=position,
        source_prompt=source_prompt,
        source_position=source_position,
        edits=_edits,
        target=target,
        top_k=min(top_k, model.vocabulary_size),
    )


@shared("Taking steps …")
def _step_ladder(asked: Key, _edits: Edits, matrix: str, layer: int, position: int) -> pd.DataFrame:
    run = _trace(asked, _edits)
    return core.step_ladder(run, matrix=matrix, layer=layer, position=position)


@shared("Taking the step …")
def _one_cell(
    asked: Key,
    _edits: Edits,
    matrix: str,
    layer: int,
    position: int,
    share: float,
    top_k: int,
) -> tuple[core.Edit, core.BeforeAfter]:
    run = _trace(asked, _edits)
    new = core.learn_at(run, matrix=matrix, layer=layer, position=position, share=share)
    top_k = min(top_k, run.model.vocabulary_size)
    return new, core.compare_before_after(run, new, top_k=top_k)
