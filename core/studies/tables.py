"""What a study has found, as tables, and how it is kept on disk.

Kept, a study is a JSON header and parquet files, named in it: the running means, the exceptions,
the ranks by prompt length, and where there are groups each prompt and its values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from core.errors import PromptError
from core.gradients.segments import SEGMENTS
from core.studies.batches import Task, exceptions_of
from core.studies.each import NUMBERS, TEXTS, EachPrompt
from core.studies.header import FORMAT, Header, header_from
from core.studies.lengths import Lengths
from core.studies.parquet import read_table
from core.studies.store import as_zip, reader, write_folder
from core.studies.sums import ALL, ANSWERED, Sums

HEADER = "study.json"
EXCEPTION_TEXTS = ["case_id", "prompt"]
EXCEPTION_NUMBERS = ["layer", "matrix", "rank", "prompt_length"]
EXCEPTION_COLUMNS = [*EXCEPTION_TEXTS, *EXCEPTION_NUMBERS]
MOST_EXCEPTIONS = 500_000


@dataclass(frozen=True, eq=False)
class Study:
    """The result of core.study; its tables are tidy, with `answered` in all, correctly, wrongly.

    A prompt without a right answer counts in all only; of one without a subject, only the last
    token has a segment. Means are over prompts: a prompt's tokens of one segment are averaged
    first, and `n` counts the prompts that have the segment. Columns ending in _error are standard
    errors of the mean.
    """

    header: Header
    sums: Sums
    exception_rows: tuple[tuple, ...]
    lengths: Lengths = field(default_factory=Lengths)
    each: EachPrompt = field(default_factory=EachPrompt)  # empty without groups
    parts: dict[str, Study] = field(default_factory=dict, init=False, repr=False)
    made: dict[tuple[str, ...], pd.DataFrame] = field(default_factory=dict, init=False, repr=False)

    @property
    def norms(self) -> pd.DataFrame:
        """Norms of delta (norm) and x (input_norm): answered, module, layer, segment, n, norm,
        norm_error, input_norm, input_norm_error (L2; Figures 5, 16, 17)."""
        axes = {"module": self.header.modules, "layer": self.layers, "segment": SEGMENTS}
        return self.table(axes, ("norm", "input_norm"))

    @property
    def token_ranks(self) -> pd.DataFrame:
        """Lens ranks of target and answer (0 is best) in x of FF1 and delta of FF2: answered,
        matrix, layer, segment, n, target_rank, target_rank_error, answer_rank, answer_rank_error
        (Figures 6, 18-21). A delta of zero has no ranks."""
        axes = {"matrix": ("ff1", "ff2"), "layer": self.layers, "segment": SEGMENTS}
        return self.table(axes, ("target_rank", "answer_rank"))

    @property
    def gradient_ranks(self) -> pd.DataFrame:
        """answered, matrix, layer, n, rank_is_full (share of prompts whose gradient has as many
        independent directions as the prompt has tokens), gradient_rank (mean), and their errors
        (Figure 3)."""
        axes = {"matrix": self.header.mlp_matrices, "layer": self.layers}
        return self.table(axes, ("rank_is_full", "gradient_rank"))

    @property
    def cosines(self) -> pd.DataFrame:
        """Cosine of FF2's VJPs at the last token between layers: answered, layer, other_layer, n,
        cosine, cosine_error (Figure 23)."""
        return self.table({"layer": self.layers, "other_layer": self.layers}, ("cosine",))

    @property
    def ranks_by_length(self) -> pd.DataFrame:
        """Gradient ranks for each prompt length in tokens that occurs (Figure 3): answered,
        prompt_length, matrix, layer, n, gradient_rank (mean), gradient_rank_spread (standard
        deviation), gradient_rank_error, lowest, highest. Empty for a study of an earlier version,
        which did not look at it."""
        known = self.lengths.counted == self.header.counted
        return (self.lengths if known else Lengths()).table(self.header)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that the records name, in their order; empty if they name fewer than two."""
        return self.header.groups

    @property
    def prompts(self) -> pd.DataFrame:
        """The prompts of a study with groups: case_id, prompt, group ("" for none), answered
        (correctly, wrongly or unknown), prompt_length in tokens. Empty without groups."""
        table = pd.DataFrame(self.each.about, columns=[*TEXTS, *NUMBERS])
        answered = [*ANSWERED, "unknown"]
        table.insert(3, "answered", [answered[place] for place in table.pop("place")])
        return table

    def of_group(self, name: str) -> Study:
        """The study of one group's prompts alone; made once. Its numbers are rounded to float32.

        Raises PromptError for a group that there is not.
        """
        if name not in self.groups:
            known = ", ".join(map(repr, self.groups)) or "it has none"
            raise PromptError(f"The study has no group {name!r}. Its groups: {known}.")
        if name not in self.parts:
            self.parts[name] = self.new_part(name)
        return self.parts[name]

    def new_part(self, name: str) -> Study:
        rows = [i for i, about in enumerate(self.each.about) if about[2] == name]
        sums, lengths, exceptions = Sums.empty(self.header), Lengths(), []
        answers = []
        for i in rows:
            case_id, prompt, _, _, length = self.each.about[i]
            record = self.each.record(i, self.header)
            sums.add(record)
            lengths.add(length, record)
            exceptions += exceptions_of(case_id, prompt, record["gradient_rank"], length)
            answers.append(record["correct"])
        counts = dict.fromkeys(("total", "done", "counted"), len(rows))
        counts |= {"asked": len(rows) - answers.count(None), "correct": answers.count(True)}
        header = replace(self.header, groups=(), skipped=(), **counts)
        return Study(header, sums, tuple(exceptions), lengths)

    def with_more(self, counted: Sequence[tuple[Task, dict]], header: Header) -> Study:
        """The study with some more records counted, which the header knows already."""
        exceptions = list(self.exception_rows)
        for task, record in counted:
            n, case_id = len(task.ids), str(task.record.case_id)
            self.sums.add(record)
            self.lengths.add(n, record)
            if header.groups:
                self.each.add(task, record, header)
            exceptions += exceptions_of(case_id, task.record.prompt, record["gradient_rank"], n)
        return replace(self, header=header, exception_rows=tuple(exceptions))

    @property
    def exceptions(self) -> pd.DataFrame:
        """Every gradient whose rank is not the prompt's length (not 1, in the last layer):
        case_id, prompt, layer, matrix, rank, prompt_length."""
        table = pd.DataFrame(list(self.exception_rows), columns=EXCEPTION_COLUMNS)
        table["matrix"] = [self.header.mlp_matrices[i] for i in table["matrix"]]
        return table

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(range(self.header.n_layers))

    def table(self, axes: dict[str, tuple], quantities: tuple[str, ...]) -> pd.DataFrame:
        """The tallies of some quantities with the same axes, for all prompts and by group.

        Made once; who asks gets a copy of his own, which takes no memory until it is changed.
        """
        if quantities not in self.made:
            self.made[quantities] = self.new_table(axes, quantities)
        return self.made[quantities].copy(deep=False)

    def new_table(self, axes: dict[str, tuple], quantities: tuple[str, ...]) -> pd.DataFrame:
        index = pd.MultiIndex.from_product([(ALL, *ANSWERED), *axes.values()])
        result = index.to_frame(index=False, name=["answered", *axes])
        for i, name in enumerate(quantities):
            tally = self.sums.tallies[name]
            pair, known = (tally.merged(), tally), len(ANSWERED)
            if i == 0:
                result["n"] = np.concatenate([t.n[:known] for t in pair]).ravel()
            result[name] = np.concatenate([t.means()[:known] for t in pair]).ravel()
            errors = [t.errors()[:known] for t in pair]
            result[f"{name}_error"] = np.concatenate(errors).ravel()
        return result

    def save(self, folder: str | Path) -> None:
        """Write the study into a folder, in place of an earlier state of itself."""
        write_folder(Path(folder), self.files())

    def as_zip(self) -> bytes:
        """The same files in one zip archive, to download and to send."""
        return as_zip(self.files())

    def files(self) -> dict[str, bytes]:
        """File name -> content; the header comes last."""
        tables = {
            "sums": self.sums.as_table(),
            "exceptions": pd.DataFrame(list(self.exception_rows), columns=EXCEPTION_COLUMNS).astype(
                {"case_id": "str", "prompt": "str"}
            ),
            "lengths": self.lengths.as_table(),
        }
        if self.groups:
            tables["prompts"], tables["values"] = self.each.as_tables()
        tables = {f"{name}-{self.header.done:06d}.parquet": t for name, t in tables.items()}
        header = asdict(self.header) | {"files": list(tables)}
        parquet = {name: table.to_parquet(index=False) for name, table in tables.items()}
        return parquet | {HEADER: json.dumps(header, indent=1).encode()}

    @classmethod
    def load(cls, source: str | Path | bytes) -> Study:
        """Read a study from its folder, its zip file or the zip's bytes.

        Raises PromptError for what is not a study of this version.
        """
        try:
            read = reader(source)
            described = json.loads(read(HEADER))
            names, places = described.pop("files"), 3 if described["format"] == FORMAT else 2
            header = header_from(described)
            sums_name, exceptions_name, *more = names
            if len(more) != (0 if places == 2 else 3 if header.groups else 1):
                raise ValueError("files of another kind of study")
            sums = Sums.from_content(read(sums_name), header, places)
            rows = exceptions_from(read(exceptions_name))
            check_exceptions(rows, header)
            lengths = Lengths.from_content(read(more[0]), header) if more else Lengths()
            each = EachPrompt()
            if header.groups:
                each = EachPrompt.from_contents(*map(read, more[1:]), header)
        except Exception as error:  # a damaged archive fails in a dozen ways
            raise PromptError(
                "This is no study that the app can read: it is damaged, or of another version. "
                "Choose the zip file that was downloaded from the page Many prompts."
            ) from error
        return cls(header, sums, tuple(rows.itertuples(index=False, name=None)), lengths, each)

    @classmethod
    def resume(cls, folder: Path, fresh: Study) -> Study:
        """What the folder holds of the study that `fresh` begins; `fresh` for a new folder."""
        if not (folder / HEADER).exists():
            return fresh
        saved = cls.load(folder)
        if not saved.header.same_study(fresh.header):
            raise PromptError(
                f"The folder {folder.name!r} holds another study: {saved.header.model}, "
                f"{saved.header.total} records of {saved.header.records}, seed "
                f"{saved.header.seed}. Choose an empty folder."
            )
        return saved


def exceptions_from(content: bytes) -> pd.DataFrame:
    """The exceptions of a study's file."""
    return read_table(content, EXCEPTION_TEXTS, EXCEPTION_NUMBERS, most_rows=MOST_EXCEPTIONS)


def check_exceptions(rows: pd.DataFrame, header: Header) -> None:
    if not rows["matrix"].between(0, len(header.mlp_matrices) - 1).all():
        raise ValueError("an exception of no matrix")


def side_by_side(studies: Sequence[Study] | Mapping[str, Study], table: str) -> pd.DataFrame:
    """One table of several studies, with columns that make models comparable (Figures 3, 18).

    Adds study (a mapping's key; else the model's name, numbered where it comes twice),
    relative_layer (layer / (L - 1)) and, to token_ranks, relative_target_rank and
    relative_answer_rank (rank / (V - 1)).
    """
    if not isinstance(studies, Mapping):
        studies = dict(zip(study_names(studies), studies, strict=True))
    parts = []
    for name, study in studies.items():
        part = getattr(study, table)
        part.insert(0, "study", name)
        part["relative_layer"] = part["layer"] / max(1, study.header.n_layers - 1)
        for word in ("target_rank", "answer_rank"):
            if word in part:
                part[f"relative_{word}"] = part[word] / (study.header.vocabulary_size - 1)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def study_names(studies: Sequence[Study]) -> list[str]:
    """A name for each study, all different."""
    names: list[str] = []
    for study in studies:
        base, count = study.header.model, 2
        name = base
        while name in names:
            name, count = f"{base} ({count})", count + 1
        names.append(name)
    return names
