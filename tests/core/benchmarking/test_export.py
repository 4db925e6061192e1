"""The table to take along, and the published rows beside it."""

import csv
import io
import math
from types import SimpleNamespace

import pandas as pd
import pytest

from core.benchmarking.export import (
    DAGGER,
    HEADINGS,
    as_csv,
    as_latex,
    as_markdown,
    plain_latex,
    plain_markdown,
    row_beside,
)
from core.benchmarking.measures import MEASURES
from core.benchmarking.published import PUBLISHED
from core.benchmarking.specs import parse_spec, title_of


def table(*methods: str) -> pd.DataFrame:
    rows = []
    for method in methods:
        row = {"method": method, "title": title_of(method), "records": 100, "problems": 2}
        row |= {"score": 0.8}
        for name in MEASURES:
            row |= {name: 0.5, f"{name}_low": 0.4, f"{name}_high": 0.625, f"{name}_n": 98}
        row |= {"perplexity": 1234.56, "perplexity_low": math.nan, "perplexity_high": math.nan}
        row |= {"reference": math.nan, "reference_low": math.nan, "reference_high": math.nan}
        rows.append(row)
    return pd.DataFrame(rows)


OWN = table("original", "forward-shift", "rome", "rome:layer=3", "emmet")


def test_what_the_paper_printed():
    rome = PUBLISHED.set_index("title").loc["ROME"]
    assert tuple(rome[["efficacy_acc", "paraphrase_acc", "neighbourhood_acc"]]) == pytest.approx(
        (0.994, 0.719, 0.1091)
    )
    assert (rome["entropy"], rome["perplexity"]) == pytest.approx((6.2278, 137.38))
    assert len(PUBLISHED) == 7
    assert PUBLISHED["efficacy_acc"].between(0, 1).all()
    for spec in PUBLISHED["method"]:
        assert spec in ("original", "mend") or parse_spec(spec)


def test_published_rows_stand_below_what_they_compare_with():
    first = [line.split(" | ")[0].strip("| ") for line in as_markdown(OWN).splitlines()[2:14]]
    assert first == [
        "Unedited model",
        f"Original model {DAGGER}",
        "Forward pass shift",
        f"Forward pass shift {DAGGER}",
        "ROME",
        f"ROME {DAGGER}",
        "ROME (layer 3)",
        title_of("emmet"),
        f"Fine-tuning, MLP 0 {DAGGER}",
        f"Fine-tuning, MLP 35 {DAGGER}",
        f"MEND {DAGGER}",
        f"MEMIT {DAGGER}",
    ]
    assert row_beside("forward-shift:eta=fixed", ["forward-shift", "sgd"]) == "forward-shift"
    assert row_beside("a", ["a:x=1", "a:x=2", "a"]) == "a"
    assert row_beside("rome", ["memit"]) == ""


def test_markdown():
    text = as_markdown(OWN, published=False)
    row = text.splitlines()[2].strip("| ").split(" | ")
    assert row[:3] == ["Unedited model", "100", "50.0 (40.0 to 62.5)"]
    assert row[-1] == "1,234.6"  # no interval
    assert row[5] == "80.0"
    assert DAGGER not in text
    assert as_markdown(OWN) == as_markdown(SimpleNamespace(table=OWN.copy()))
    assert "| – |" in as_markdown(OWN, measures=("reference", "seconds"))


def test_latex():
    text = as_latex(OWN)
    body = text.split("\\midrule\n")[1].split("\n\\bottomrule")[0].splitlines()
    assert len(body) == 12
    assert body[0].startswith(r"Unedited model & 100 & 50.0 {\scriptsize [40.0, 62.5]} & ")
    assert body[1].startswith(
        r"Original model \textsuperscript{\dag} & 1,000 & 0.4 & 0.4 & 11.2 & -- "
    )
    assert all(line.endswith(r" \\") and line.count(" & ") == 10 for line in body)
    assert r"\begin{tabular}{lrrrrrrrrrr}" in text
    assert text.count("{") == text.count("}")


HOSTILE = "=A|B_{x}\n<b>*#~^\\%&$`[link](x)"


def test_a_strangers_title_stays_text():
    named = OWN.assign(title=HOSTILE)
    latex = as_latex(named, published=False)
    assert r"=A|B\_\{x\} \textless{}b\textgreater{}*\#\textasciitilde{}" in latex
    assert "{[}link{]}" in latex
    assert len(as_markdown(named, published=False).splitlines()) == len(OWN) + 4
    assert plain_markdown("a|b <i>") == r"a\|b \<i\>"
    assert plain_latex("a\nb") == "a b"


def read(content: bytes) -> list[dict]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def test_csv_holds_the_whole_table():
    rows = read(as_csv(OWN.assign(title=HOSTILE)))
    assert len(rows) == 12
    assert list(rows[0]) == [*OWN.columns, "source"]
    assert rows[0]["title"] == f"'{HOSTILE}"  # no formula
    assert rows[0]["perplexity"] == "1234.56"
    assert rows[0]["reference"] == ""
    assert rows[0]["efficacy_acc_high"] == "0.625"
    assert rows[0]["records"] == "100"
    assert {row["source"] for row in rows[:5]} == {"this benchmark"}
    assert rows[5]["efficacy_acc"] == "0.004"
    assert rows[5]["source"].startswith("Katz")
    assert len(read(as_csv(OWN, published=False))) == 5


def test_an_endless_number_is_said():
    broken = OWN.assign(perplexity=math.inf)
    assert "| endless |" in as_markdown(broken, published=False)
    assert "endless" in as_latex(broken, published=False)
    assert read(as_csv(broken))[0]["perplexity"] == "inf"


def test_an_interval_without_width_is_none():
    same = OWN.assign(perplexity=9.0, perplexity_low=9.0, perplexity_high=9.0)
    assert as_markdown(same, published=False).splitlines()[2].endswith("| 9.0 |")


def test_every_measure_can_be_printed():
    assert set(HEADINGS) == {*MEASURES, "score"}
    assert as_markdown(OWN, measures=tuple(HEADINGS)).splitlines()[0].count("|") == 23
