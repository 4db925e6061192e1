"""What the paper printed: its Tables 1, 6 and 7, to stand beside one's own."""

from __future__ import annotations

import pandas as pd

from core.benchmarking.specs import ORIGINAL

SOURCE = "Katz et al. 2024, Tables 1, 6 and 7: GPT-2 XL, 1,000 records of CounterFact"
# The spec that each row compares with, the paper's name, and its numbers as it prints them:
# efficacy, paraphrase and neighbourhood (argmax accuracies, %), entropy (hundredths of a bit) and
# perplexity. The fine-tuned layers are GPT-2 XL's, of 48.
PRINTED = (
    (ORIGINAL, "Original model", 0.4, 0.4, 11.21, 626.94, 93.56),
    ("adam", "Fine-tuning, MLP 0", 96.4, 7.46, 10.12, 618.81, 199.84),
    ("adam", "Fine-tuning, MLP 35", 100.0, 46.1, 5.59, 618.5, 103.42),
    ("mend", "MEND", 71.4, 17.6, 7.73, 623.94, 94.96),
    ("rome", "ROME", 99.4, 71.9, 10.91, 622.78, 137.38),
    ("memit", "MEMIT", 79.4, 40.7, 10.98, 627.18, 93.6),
    ("forward-shift:eta=fixed", "Forward pass shift", 99.4, 41.55, 6.02, 622.45, 93.66),
)
RECORDS = 1000


def published() -> pd.DataFrame:
    """One row a published method: method (our spec that it compares with), title, records,
    efficacy_acc, paraphrase_acc, neighbourhood_acc (0 to 1), entropy (bits), perplexity, source.

    Named and scaled like the columns of a benchmark's table. The paper gives no intervals. Its
    shift has one eta for all facts; so has forward-shift with eta=fixed, at a strength of its own.
    """
    return pd.DataFrame(
        {
            "method": method,
            "title": title,
            "records": RECORDS,
            "efficacy_acc": efficacy / 100,
            "paraphrase_acc": paraphrase / 100,
            "neighbourhood_acc": neighbourhood / 100,
            "entropy": entropy / 100,
            "perplexity": perplexity,
            "source": SOURCE,
        }
        for method, title, efficacy, paraphrase, neighbourhood, entropy, perplexity in PRINTED
    )


PUBLISHED = published()
