"""What a study has found, as tables, and how it is kept on disk.

Kept, a study is a JSON header and two parquet files, named in it: the running means and the
exceptions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from core.errors import PromptError
from core.gradients.segments import SEGMENTS
from core.studies.header import Header, header_from
from core.studies.parquet import read_table
from core.studies.store import as_zip, reader, write_folder
from core.studies.tally import Tally

HEADER = "study.json"
GROUPS = ("correctly", "wrongly")  # how the model answered before any change
ALL = "all"
EXCEPTION_TEXTS = ["case_id", "prompt"]
EXCEPTION_NUMBERS = ["layer", "matrix", "rank", "prompt_length"]
EXCEPTION_COLUMNS = [*EXCEPTION_TEXTS, *EXCEPTION_NUMBERS]
MOST_EXCEPTIONS = 500_000


@dataclass(frozen=True)
class Sums:
    """A Tally of each quantity, grouped by whether the model answered correctly."""

    tallies: dict[str, Tally]

    @classmethod
    def empty(cls, header: Header) -> Sums:
        layers, places = header.n_layers, len(SEGMENTS)
        shapes = {
            "norm": (len(header.modules), layers, places),
            "input_norm": (len(header.modules), layers, places),
            "target_rank": (2, layers, places),  # x of FF1, delta of FF2
            "answer_rank": (2, layers, places),
            "rank_is_full": (len(header.mlp_matrices), layers),
            "gradient_rank": (len(header.mlp_matrices), layers),
            "cosine": (layers, layers),
        }
        return cls({name: Tally(len(GROUPS), shape) for name, shape in shapes.items()})

    def add(self, record: dict[str, object]) -> None:
        """Count one record: "correct" and an array for each quantity."""
        group = 0 if record["correct"] else 1
        for name, tally in self.tallies.items():
            tally.add(group, record[name])

    def as_table(self) -> pd.DataFrame:
        """All running values as rows, in an order that `from_content` knows."""
        parts = [
            pd.DataFrame(
                {"quantity": name, "n": t.n.ravel(), "mean": t.mean.ravel(), "m2": t.m2.ravel()}
            )
            for name, t in self.tallies.items()
        ]
        return pd.concat(parts, ignore_index=True)

    @classmethod
    def from_content(cls, content: bytes, header: Header) -> Sums:
        """From the parquet file of `as_table`."""
        sums = cls.empty(header)
        most = sum(tally.n.size for tally in sums.tallies.values())
        table = read_table(content, ["quantity"], ["n", "mean", "m2"], most_rows=most)
        for name, tally in sums.tallies.items():
            rows = table[table["quantity"] == name]
            for column in ("n", "mean", "m2"):
                values = rows[column].to_numpy(getattr(tally, column).dtype)
                getattr(tally, column)[:] = values.reshape(tally.n.shape)
        return sums


@dataclass(frozen=True, eq=False)
class Study:
    """The result of core.study; its tables are tidy, with `answered` in all, correctly, wrongly.

    Means are over prompts: a prompt's tokens of one segment are averaged first, and `n` counts the
    prompts that have the segment. Columns ending in _error are standard errors of the mean.
    """

    header: Header
    sums: Sums
    exception_rows: tuple[tuple, ...]
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
        index = pd.MultiIndex.from_product([(ALL, *GROUPS), *axes.values()])
        result = index.to_frame(index=False, name=["answered", *axes])
        for i, name in enumerate(quantities):
            tally = self.sums.tallies[name]
            pair = (tally.merged(), tally)
            if i == 0:
                result["n"] = np.concatenate([t.n for t in pair]).ravel()
            result[name] = np.concatenate([t.means() for t in pair]).ravel()
            result[f"{name}_error"] = np.concatenate([t.errors() for t in pair]).ravel()
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
            f"sums-{self.header.done:06d}.parquet": self.sums.as_table(),
            f"exceptions-{self.header.done:06d}.parquet": pd.DataFrame(
                list(self.exception_rows), columns=EXCEPTION_COLUMNS
            ).astype({"case_id": "str", "prompt": "str"}),
        }
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
            sums_name, exceptions_name = described.pop("files")
            header = header_from(described)
            sums = Sums.from_content(read(sums_name), header)
            rows = exceptions_from(read(exceptions_name))
            check_exceptions(rows, header)
        except Exception as error:  # a damaged archive fails in a dozen ways
            raise PromptError(
                "This is no study that the app can read: it is damaged, or of another version. "
                "Choose the zip file that was downloaded from the page Many prompts."
            ) from error
        return cls(header, sums, tuple(rows.itertuples(index=False, name=None)))

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
