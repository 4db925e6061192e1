"""The content of one case file of memit's: made of a row, and read with bounds, as a stranger's."""

from __future__ import annotations

import json
import math
from pathlib import Path

from core.benchmarking.measures import MEASURES, magnitude, mean, success
from core.errors import PromptError
from core.gradients.segments import find_subject
from core.studies.counterfact import LONGEST_ID, Record, is_whole

LARGEST_CASE = 16 * 2**20  # bytes of one file
MOST_PROMPTS = 2_000  # of a kind, in a case
LARGEST_NUMBER = 1e100  # an edit can push a perplexity beyond every bound
LARGEST_NLL = 1e9
LONGEST_TEXT = 50_000
# Our kind of prompt, memit's word for it in its files, and ours for its measures.
KINDS = (
    ("rewrite", "rewrite_prompts", "efficacy"),
    ("paraphrase", "paraphrase_prompts", "paraphrase"),
    ("neighbour", "neighborhood_prompts", "neighbourhood"),
)
OWN = "backward_lens"  # the field with what memit does not measure
OWN_MEASURES = (
    *("kept", "generated", "negation", "reversed_acc", "reversed_success"),
    *("perplexity", "bytes"),
)


def case_of(record: Record, number: int, row: dict) -> dict[str, object]:
    """The content of a case file. An edit that there is not has no time."""
    case = {"case_id": number, "grouped_case_ids": [number], "num_edits": 1}
    case |= {"requested_rewrite": rewrite_of(record)}
    if not math.isnan(row["seconds"]):
        case["time"] = row["seconds"]
    own = {name: row[name] for name in OWN_MEASURES if not math.isnan(row[name])}
    return case | {"post": post_of(record, row), OWN: own | {"problem": row["problem"]}}


def rewrite_of(record: Record) -> dict[str, object]:
    """A record's fact as CounterFact writes it, its prompt with {} for the subject."""
    start, end = find_subject(record.prompt, record.subject)
    return {
        "prompt": f"{record.prompt[:start]}{{}}{record.prompt[end:]}",
        "relation_id": record.relation,
        "target_new": {"str": record.target_new, "id": record.target_id},
        "target_true": {"str": record.target_true, "id": ""},
        "subject": record.prompt[start:end],
    }


def post_of(record: Record, row: dict) -> dict[str, object]:
    numbers = json.loads(row["nlls"] or "{}")
    post: dict[str, object] = {}
    for kind, name, _ in KINDS:
        if numbers.get(kind):
            post[f"{name}_probs"] = [
                {"target_new": or_nan(new), "target_true": or_nan(true)}
                for new, true, _ in numbers[kind]
            ]
            post[f"{name}_correct"] = [bool(right) for _, _, right in numbers[kind]]
    if not math.isnan(row["entropy"]):
        post["ngram_entropy"] = row["entropy"]
    if not math.isnan(row["reference"]):
        post["reference_score"] = row["reference"]
    return post | {"text": [record.prompt + row["text"]]}


def or_nan(value: float | None) -> float:
    """memit compares all numbers; what is none is NaN, as Python's JSON writes and reads it."""
    return math.nan if value is None else value


def read_case(path: Path) -> dict[str, object]:
    """A row without its record and method; raises PromptError that names the file."""
    try:
        if path.stat().st_size > LARGEST_CASE:
            raise ValueError(f"it has more than {LARGEST_CASE:,} bytes")
        return row_of(parsed(path.read_bytes()))
    except (ValueError, OSError) as error:
        raise PromptError(
            f"The case file {path.name!r} cannot be used: {error}. Delete it, or make that case "
            "again."
        ) from None


def parsed(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is no whole JSON") from None


def row_of(case: object) -> dict[str, object]:
    """A case file's content as a row; raises ValueError with the reason."""
    case = an_object(case, "it")
    post = an_object(case.get("post"), "its post")
    row: dict[str, object] = dict.fromkeys(MEASURES, math.nan) | {"said": "[]"}
    row["case_id"] = case_id_in(case)
    numbers = {}
    for kind, name, ours in KINDS:
        pairs = pairs_in(post, f"{name}_probs")
        right = rights_in(post, f"{name}_correct", len(pairs))
        wanted = [pair[::-1] if kind == "neighbour" else pair for pair in pairs]
        row[f"{ours}_success"] = mean([success(*pair) for pair in wanted])
        row[f"{ours}_diff"] = mean([magnitude(*pair) for pair in wanted])
        row[f"{ours}_acc"] = mean(right)
        if pairs and right:
            numbers[kind] = [
                [finite(new), finite(true), int(said)]
                for (new, true), said in zip(pairs, right, strict=True)
            ]
    if all(math.isnan(row[f"{ours}_success"]) for _, _, ours in KINDS):
        raise ValueError("its post has no probabilities of prompts")
    row["nlls"] = json.dumps(numbers)
    row["seconds"] = number_in(case, "time") / edits_in(case)
    row["entropy"] = number_in(post, "ngram_entropy")
    row["reference"] = number_in(post, "reference_score")
    return row | own_in(case) | {"text": text_in(case, post)}


def an_object(value: object, what: str) -> dict:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no object with fields")
    return value


def case_id_in(case: dict) -> str:
    value = case.get("case_id")
    if type(value) not in (int, str) or len(str(value)) > LONGEST_ID or not is_whole(str(value)):
        raise ValueError("its case_id is no number or name")
    return str(value)


def edits_in(case: dict) -> int:
    value = case.get("num_edits", 1)
    if type(value) is not int or not 1 <= value <= 10**9:
        raise ValueError("its num_edits is no number above 0")
    return value


def number_in(item: dict, name: str) -> float:
    """NaN where the field is missing or null."""
    value = item.get(name)
    return math.nan if value is None else number(value, name)


def number(value: object, name: str) -> float:
    """Also infinite, as an NLL may be, or NaN."""
    if type(value) not in (int, float):
        raise ValueError(f"its {name} holds what is no number")
    if LARGEST_NUMBER < abs(value) != math.inf:
        raise ValueError(f"its {name} holds a number above {LARGEST_NUMBER:.0e}")
    return float(value)


def pairs_in(post: dict, name: str) -> list[tuple[float, float]]:
    """(NLL of target_new, NLL of target_true) of each prompt; none where the field is missing."""
    found = []
    for item in prompts_in(post, name):
        pair = an_object(item, f"an entry of its {name}")
        new, true = (number(pair.get(key), name) for key in ("target_new", "target_true"))
        if min(new, true) < -1e-3:
            raise ValueError(f"its {name} holds a negative NLL")
        found.append((new, true))
    return found


def rights_in(post: dict, name: str, count: int) -> list[float]:
    found = prompts_in(post, name)
    if not all(value in (0, 1) and type(value) in (bool, int) for value in found):
        raise ValueError(f"its {name} holds what is neither true nor false")
    if found and count and len(found) != count:
        raise ValueError(f"its {name} has {len(found)} entries for {count} prompts")
    return [float(value) for value in found]


def prompts_in(post: dict, name: str) -> list:
    found = post.get(name, [])
    if not isinstance(found, list) or len(found) > MOST_PROMPTS:
        raise ValueError(f"its {name} is no list of at most {MOST_PROMPTS:,} prompts")
    return found


def finite(value: float) -> float | None:
    return value if value <= LARGEST_NLL else None  # NaN is not


def own_in(case: dict) -> dict[str, object]:
    """What memit does not measure, where we wrote the file."""
    own = an_object(case.get(OWN, {}), f"its {OWN}")
    problem = own.get("problem", "")
    if not isinstance(problem, str) or len(problem) > LONGEST_TEXT or not is_whole(problem):
        raise ValueError(f"its {OWN} has a problem that is no text")
    return {name: number_in(own, name) for name in OWN_MEASURES} | {"problem": problem}


def text_in(case: dict, post: dict) -> str:
    """The first generated text without the case's own prompt; empty where there is none."""
    texts = post.get("text")
    first = texts[0] if isinstance(texts, list) and texts else ""
    if not isinstance(first, str) or not is_whole(first):
        return ""
    rewrite = case.get("requested_rewrite")
    rewrite = rewrite if isinstance(rewrite, dict) else {}
    prompt, subject = rewrite.get("prompt"), rewrite.get("subject")
    if isinstance(prompt, str) and isinstance(subject, str):
        first = first.removeprefix(prompt.replace("{}", subject, 1))
    return first[:LONGEST_TEXT]
