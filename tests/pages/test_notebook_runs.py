"""The cells of every page, kept and given away as a Jupyter notebook, find the same numbers."""

import os
from pathlib import Path

import nbclient
import nbformat
import pandas as pd

from app.notebook.export_ipynb import as_ipynb
from app.notebook.kept import frame
from app.notebook.mine import Pages
from tests.pages.test_my_notebook import keeps, pages
from tests.pages.test_pages import open_page

ROOT = Path(__file__).resolve().parents[2]
KEPT_FROM = (
    "forward_lens",
    "backward_lens",
    "gradient_rank",
    "where_learning_happens",
    "imprint_and_shift",
    "neurons",
    "across_layers",
    "compare",
    "many_prompts",
    "benchmark",
)


def kept_from_all_pages() -> Pages:
    """A notebook with every cell of these pages, as somebody makes it who keeps all."""
    cells = ()
    for page in KEPT_FROM:
        at = open_page(page)
        for key in keeps(at):
            at.button(key=key).click().run()
        cells += pages(at).cells
    return Pages("All", cells)


def test_the_notebook_of_all_pages_runs_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.fspath(ROOT))
    kept = kept_from_all_pages()
    assert {cell.path for cell in kept.cells} == set(KEPT_FROM)
    book = nbformat.reads(as_ipynb(kept, dark=False).decode(), 4)
    code = [cell for cell in book.cells if cell.cell_type == "code" and "table" in cell.source]
    assert len(code) == len(kept.cells)
    for place, cell in enumerate(code):
        cell.source += f'\ntable.to_json("{place}.json", orient="split", double_precision=15)'
    resources = {"metadata": {"path": os.fspath(tmp_path)}}
    nbclient.NotebookClient(book, timeout=300, resources=resources).execute()
    for place, cell in enumerate(kept.cells):
        found = pd.read_json(tmp_path / f"{place}.json", orient="split", convert_dates=False)
        wanted = frame(cell.columns)
        if cell.key == "study_claims":  # its numbers are several studies', its code is one's
            wanted = wanted[wanted["study"] == "tiny-gpt2"].drop(columns="study")[: len(found)]
        assert list(found.columns) == list(wanted.columns), (cell.path, cell.key)
        for name in wanted.columns:
            if pd.api.types.is_numeric_dtype(wanted[name]):
                pd.testing.assert_series_equal(
                    found[name].astype(float),
                    wanted[name].astype(float),
                    rtol=1e-4,
                    atol=1e-6,
                    obj=f"{cell.path} {cell.key} {name}",
                )
