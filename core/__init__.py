"""Backward Lens: language-model gradients, read in the model's own vocabulary.

After Katz, Belinkov, Geva and Wolf, "Backward Lens: Projecting Language Model Gradients into the
Vocabulary Space" (EMNLP 2024). Works from a plain Python shell:

    from core import backward_lens, load_model, trace

    model = load_model("tiny-gpt2")
    backward_lens(trace(model, "Obama grew up in", "Paris"))
"""

from core.benchmarking.results import Benchmark, shipped_benchmarks
from core.benchmarking.run import benchmark
from core.editing.ask import answers, complete
from core.editing.calibration import Calibration, calibrate, known_calibration
from core.editing.comparison import change_sizes, compare_methods, preflight, verdicts
from core.editing.edit_strength import edit_strength, perplexity
from core.editing.export import export_model
from core.editing.fact_answers import fact_answers
from core.editing.health import Health, health
from core.editing.mend_network import MendNetwork, keep_mend_network, mend_network
from core.editing.mend_training import train_mend, training_estimate, training_facts
from core.editing.methods import METHODS, edit, edit_many
from core.editing.one_cell import BeforeAfter, compare_before_after, learn_at, step_ladder
from core.editing.second_moments import estimate_seconds, missing_second_moments, second_moments
from core.editing.side_effects import side_effects
from core.errors import BackwardLensError, Cancelled, EditError, ModelError, PromptError
from core.gradients.check import reconstruction_error
from core.gradients.difference import (
    Alignment,
    alignment,
    backward_difference,
    both_sides,
    delta_cosines,
    forward_difference,
    largest_first,
    norm_difference,
    rank_difference,
)
from core.gradients.imprint import ImprintAndShift, imprint_and_shift, imprint_copies
from core.gradients.lens import backward_lens, forward_lens, vjp_norms
from core.gradients.neurons import gradient_neurons, gradient_span, neuron_overlap
from core.gradients.rank import gradient_rank, rank_curve
from core.gradients.segments import SEGMENTS, propose_subject, segment_means, segments
from core.gradients.similarity import layer_similarity
from core.gradients.swap import Swap, reach, reaches_the_answer, swap
from core.gradients.trace import Factors, Trace, trace
from core.model.catalog import CATALOG, ModelCard, download_model, is_on_this_machine
from core.model.edited import edited
from core.model.edits import Change, Edit, Fact, edit_bytes, edit_from_bytes
from core.model.fingerprint import fingerprint
from core.model.found import FoundModel, found_models
from core.model.gguf import unpack_gguf
from core.model.language_model import LanguageModel
from core.model.loading import load_model
from core.model.tokens import Target
from core.studies.claims import claims
from core.studies.counterfact import Record, Records, load_counterfact, save_counterfact
from core.studies.groups import Comparison, compare_groups, prompt_values
from core.studies.prompt_rows import PromptTable, prompts_from_rows
from core.studies.prompts import (
    load_prompts,
    prompts_csv,
    prompts_from_text,
    prompts_template,
    read_prompts,
)
from core.studies.shipped import shipped_studies
from core.studies.study import study
from core.studies.tables import Study, side_by_side, study_names

__all__ = [
    "CATALOG",
    "METHODS",
    "SEGMENTS",
    "Alignment",
    "BackwardLensError",
    "BeforeAfter",
    "Benchmark",
    "Calibration",
    "Cancelled",
    "Change",
    "Comparison",
    "Edit",
    "EditError",
    "Fact",
    "Factors",
    "FoundModel",
    "Health",
    "ImprintAndShift",
    "LanguageModel",
    "MendNetwork",
    "ModelCard",
    "ModelError",
    "PromptError",
    "PromptTable",
    "Record",
    "Records",
    "Study",
    "Swap",
    "Target",
    "Trace",
    "alignment",
    "answers",
    "backward_difference",
    "backward_lens",
    "benchmark",
    "both_sides",
    "calibrate",
    "change_sizes",
    "claims",
    "compare_before_after",
    "compare_groups",
    "compare_methods",
    "complete",
    "delta_cosines",
    "download_model",
    "edit",
    "edit_bytes",
    "edit_from_bytes",
    "edit_many",
    "edit_strength",
    "edited",
    "estimate_seconds",
    "export_model",
    "fact_answers",
    "fingerprint",
    "forward_difference",
    "forward_lens",
    "found_models",
    "gradient_neurons",
    "gradient_rank",
    "gradient_span",
    "health",
    "imprint_and_shift",
    "imprint_copies",
    "is_on_this_machine",
    "keep_mend_network",
    "known_calibration",
    "largest_first",
    "layer_similarity",
    "learn_at",
    "load_counterfact",
    "load_model",
    "load_prompts",
    "mend_network",
    "missing_second_moments",
    "neuron_overlap",
    "norm_difference",
    "perplexity",
    "preflight",
    "prompt_values",
    "prompts_csv",
    "prompts_from_rows",
    "prompts_from_text",
    "prompts_template",
    "propose_subject",
    "rank_curve",
    "rank_difference",
    "reach",
    "reaches_the_answer",
    "read_prompts",
    "reconstruction_error",
    "save_counterfact",
    "second_moments",
    "segment_means",
    "segments",
    "shipped_benchmarks",
    "shipped_studies",
    "side_by_side",
    "side_effects",
    "step_ladder",
    "study",
    "study_names",
    "swap",
    "trace",
    "train_mend",
    "training_estimate",
    "training_facts",
    "unpack_gguf",
    "verdicts",
    "vjp_norms",
]
