"""Damaged and lying files: mutations of good ones, by seed and number, for each kind of reader."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import random
import re
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

import core
from app.notebook.export_html import as_page
from app.notebook.file import as_file, from_file
from app.settings import EDIT_BYTES
from core.model.edit_files import KEY
from core.studies.counterfact import MINI_COUNTERFACT
from core.studies.shipped import SHIPPED
from core.studies.workbook import column_letters
from tests.conftest import random_network, tokenizer_of
from tests.core.studies.tables import HEAD, MAIN, parts_of, sheet_xml
from tests.fuzz.files import edit_file, header_and_rest, hostile_notebook, model_of, with_header
from tests.fuzz.texts import Hostile, hostile
from tests.gguf_files import write_gguf

MODEL = "tiny-gpt2"
HUGE = (2**63 - 1, 2**60, 2**48, 2**40, 2**32, 2**31, 2**31 - 1, 10**9, 65536, 1, 0, -1, -(2**63))
VALUES = (*HUGE, 0.5, 1e308, float("nan"), float("inf"), None, True, "", "x", [], {}, [[[]]])


def bytes_changed(data: bytes, rng: random.Random, within: int | None = None) -> bytes:
    """One to four small damages, all within the first bytes if so told."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        end = min(len(changed), within or len(changed))
        place = rng.randrange(max(1, end))
        size = rng.choice([1, 1, 2, 4, 8, 64])
        rng.choice(BYTE_CHANGES)(changed, place, size, rng)
    return bytes(changed)


def flip(data: bytearray, place: int, size: int, rng: random.Random) -> None:
    if data:
        data[place] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, place: int, size: int, rng: random.Random) -> None:
    data[place : place + size] = rng.randbytes(size)


def number(data: bytearray, place: int, size: int, rng: random.Random) -> None:
    value = rng.choice(HUGE) % 2**64
    data[place : place + 8] = struct.pack("<Q", value)


def cut(data: bytearray, place: int, size: int, rng: random.Random) -> None:
    del data[place:]


def take_out(data: bytearray, place: int, size: int, rng: random.Random) -> None:
    del data[place : place + size]


def repeat(data: bytearray, place: int, size: int, rng: random.Random) -> None:
    data[place:place] = data[place : place + size * 4]


def fill(data: bytearray, place: int, size: int, rng: random.Random) -> None:
    data[place : place + size] = bytes([rng.choice([0, 0x22, 0x5B, 0x7B, 0x80, 0xED, 0xFF])]) * size


BYTE_CHANGES = (flip, overwrite, number, take_out, repeat, fill, cut)


def json_changed(value: object, rng: random.Random, most: int = 3) -> object:
    """The value with one to three of its parts, anywhere within, replaced, doubled or left out."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, most)):
        part, key = place_within(value, rng)
        if part is None:
            return rng.choice(VALUES)
        change = rng.randrange(4)
        if change == 0:
            part[key] = rng.choice(VALUES)
        elif change == 1:
            part[key] = hostile(rng).text[:20_000]
        elif change == 2:
            part[key] = [part[key]] * rng.choice([0, 2, 50])
        elif isinstance(part, dict):
            part[hostile(rng).text[:50]] = part.pop(key)
        else:
            del part[key]
    return value


def place_within(value: object, rng: random.Random) -> tuple[object, object]:
    """A container within the value, and one of its keys; (None, None) where there is none."""
    part, key = None, None
    while isinstance(value, dict | list) and value:
        part = value
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        value = part[key]
        if rng.random() < 0.15:
            break
    return part, key


def bombs(rng: random.Random) -> bytes:
    """What is small and unpacks to much, or is deep, or claims to be long."""
    size = 300_000
    return rng.choice(
        [
            lambda: gzip.compress(b"[" + b" " * 50_000_000),
            lambda: zipped({"study.json": bytes(80_000_000)}),
            lambda: zipped({"a/../../study.json": b"{}", "/etc/x": b"x"}),
            lambda: b"[" * size,
            lambda: b'{"a":' * size,
            lambda: b'[{"prompt":' * 50_000 + b"1",
            lambda: b'[{"case_id": ' + b"9" * size + b"}]",
            lambda: b'{"case_id": ' + b"9" * size + b"}",
            lambda: b"[" + b"1e999999," * 1000 + b"NaN]",
            lambda: b'["' + b"x" * size,
            lambda: b'"\\ud800' * 10_000,
            lambda: "\ufeff[]".encode("utf-16"),
            lambda: b"\xff\xfe" + bytes(100),
            lambda: struct.pack("<Q", 2**62) + b"{}",
            lambda: struct.pack("<Q", 900_000) + b'{"a":' * 180_000,
            lambda: b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60),
            lambda: b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 2**60),
            lambda: b"GGUF" + struct.pack("<IQQ", 3, 1, 5000) + bytes(100_000),
            lambda: b"\n" * size,
            lambda: b"{}\n" * (size // 3),
            lambda: b"",
            lambda: bytes(100_000),
            lambda: rng.randbytes(10_000),
        ]
    )()


def zipped(files: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# --- one kind of file after the other: a damaged one, and how it is read ---


def damaged_edit(rng: random.Random) -> bytes:
    data = edit_file(MODEL)
    header, rest = header_and_rest(data)
    if rng.random() < 0.3:
        return bytes_changed(data, rng, rng.choice([8, 8 + 700, None]))
    if rng.random() < 0.5:
        header["__metadata__"][KEY] = json.dumps(
            json_changed(json.loads(header["__metadata__"][KEY]), rng)
        )
    else:
        header = json_changed(header, rng)
    return with_header(header, rest) if isinstance(header, dict) else with_header({}, rest)


def read_edit(data: bytes) -> object:
    made = core.edit_from_bytes(data, model_of(MODEL), max_bytes=EDIT_BYTES)
    core.change_sizes(model_of(MODEL), made)
    return core.edit_bytes(made)


@cache
def records_file() -> list[dict]:
    return json.loads(MINI_COUNTERFACT.read_text(encoding="utf-8"))[:6]


EASY = {
    "case_id": 1,
    "prompt": "The mother tongue of Obama is",
    "subject": "Obama",
    "target_new": "French",
    "ground_truth": "English",
    "rephrase_prompt": "Obama speaks",
    "locality_prompt": ["Mozart speaks"],
}


def damaged_records(rng: random.Random) -> bytes:
    records = [*records_file(), EASY, EASY]
    changed = json_changed(records, rng, 8)
    ascii_only = rng.random() < 0.5
    text = json.dumps(changed, ensure_ascii=ascii_only)
    if rng.random() < 0.4 and isinstance(changed, list):
        text = "\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in changed)
    if rng.random() < 0.2:
        text = text.replace('"case_id"', '"case_id": 0, "case_id"')
    code = rng.choice(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-7"])
    data = text.encode(code, "surrogatepass" if code != "utf-7" else "replace")
    return bytes_changed(data, rng) if rng.random() < 0.4 else data


def read_records(data: bytes) -> object:
    records = core.load_counterfact(io.BytesIO(data), name="records.json")
    json.dumps([records.digest, *map(str, records.skipped)])
    try:
        return core.study(model_of(MODEL), records, limit=1).as_zip()
    except core.Cancelled:
        return None


@cache
def study_file() -> bytes:
    return (SHIPPED / "tiny-gpt2.zip").read_bytes()


def damaged_study(rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return bytes_changed(study_file(), rng)
    with zipfile.ZipFile(io.BytesIO(study_file())) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    if rng.random() < 0.1:
        name = rng.choice([name for name in files if name != "study.json"])
        files[name] = parquet_bomb(files[name], rng)
    elif rng.random() < 0.7:
        changed = json_changed(json.loads(files["study.json"]), rng)
        files["study.json"] = json.dumps(changed).encode()
    else:
        name = rng.choice(list(files))
        files[name] = bytes_changed(files[name], rng)
    return zipped(files)


def parquet_bomb(content: bytes, rng: random.Random) -> bytes:
    """A table of the same columns with ever the same row, or a long text in each."""
    schema = pq.read_schema(io.BytesIO(content))
    rows, length = rng.choice([(5_000_000, 1), (2_000, 100_000), (300, 1_000_000)])
    rows_of = pa.array([0], pa.int32()).take(pa.array([0] * rows))
    columns = {
        field.name: pa.DictionaryArray.from_arrays(rows_of, pa.array(["a" * length]))
        if pa.types.is_large_string(field.type)
        else pa.repeat(pa.scalar(0, field.type), rows)
        for field in schema
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression=rng.choice(["snappy", "zstd", "gzip"]))
    return buffer.getvalue()


def read_study(data: bytes) -> object:
    made = core.Study.load(data)
    return [made.norms, made.token_ranks, made.exceptions, core.claims(made), made.as_zip()]


@cache
def gguf_file(kind: str) -> bytes:
    vocabulary = tokenizer_of("tiny-gpt2")
    network = random_network(kind, len(vocabulary), context=1024, layers=1).eval()
    with TemporaryDirectory() as folder:
        return write_gguf(Path(folder, "m.gguf"), network, vocabulary).read_bytes()


def damaged_gguf(rng: random.Random) -> bytes:
    data = gguf_file(rng.choice(["gpt2", "llama"]))
    within = rng.choice([24, 100, 600, 2000, data.index(b"merges"), None])
    if within is None:  # the tensors' list, before the weights
        start = data.index(b"token_embd.weight") - 8
        return data[:start] + bytes_changed(data[start:], rng, 1500)
    return bytes_changed(data, rng, within)


def read_gguf(data: bytes) -> object:
    with TemporaryDirectory() as folder:
        file = Path(folder, "m.gguf")
        file.write_bytes(data)
        return core.load_model(str(file), dtype=precision_of(data)).name


def precision_of(data: bytes) -> str | None:
    """Each precision is read by other code."""
    return (None, "bfloat16", "int8")[len(data) % 3]


@cache
def folder_files() -> dict[str, bytes]:
    """A model's folder with a network of one layer."""
    with TemporaryDirectory() as folder:
        vocabulary = tokenizer_of("tiny-gpt2")
        random_network("gpt2", len(vocabulary), layers=1).save_pretrained(folder)
        vocabulary.save_pretrained(folder)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def damaged_folder(rng: random.Random) -> bytes:
    """A model's folder, as a zip: its config, its weights' header or its tokenizer damaged."""
    files = dict(folder_files())
    name = rng.choice(["config.json", "model.safetensors", "model.safetensors", "tokenizer.json"])
    if name == "model.safetensors" and rng.random() < 0.7:
        header, rest = header_and_rest(files[name])
        changed = json_changed(header, rng)
        files[name] = with_header(changed if isinstance(changed, dict) else {}, rest)
    elif name == "config.json" and rng.random() < 0.8:
        files[name] = json.dumps(json_changed(json.loads(files[name]), rng)).encode()
    else:
        files[name] = bytes_changed(files[name], rng, 2000 if "safe" in name else None)
    return zipped(files)


def read_folder(data: bytes) -> object:
    with TemporaryDirectory() as folder:
        zipfile.ZipFile(io.BytesIO(data)).extractall(folder)
        return core.load_model(folder, dtype=precision_of(data)).name


PROMPTS = (
    ("Prompt", "Target", "Subject", "True answer", "Group"),
    ("The capital of France is", "Rome", "France", "Paris", "capitals"),
    ("In Köln, sagt man, heißt es", "“so”", "", "", "Wörter"),
)


def table_rows(rng: random.Random) -> list[list[str]]:
    """Rows of prompts in which some cells are hostile, and some are missing or too many."""
    rows = [list(row) for row in (*PROMPTS, *PROMPTS[1:] * rng.choice([0, 1, 30]))]
    for _ in range(rng.randint(1, 6)):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = hostile(rng).text[:20_000]
        del row[rng.choice([1, 2, 5, 5, 5]) :]
        row += ["more"] * rng.choice([0, 0, 0, 1, 300])
    return rows


def damaged_table(rng: random.Random) -> bytes:
    """A text of rows: quotation marks and separators everywhere, in any encoding."""
    text = io.StringIO(newline="")
    separator = rng.choice(",;\t|")
    kind = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    csv.writer(text, delimiter=separator, quoting=kind).writerows(table_rows(rng))
    written = text.getvalue()
    for _ in range(rng.choice([0, 0, 1, 20])):
        place = rng.randrange(len(written))
        written = written[:place] + rng.choice('",;\t|\n\r\x0b\u2028\0') + written[place:]
    if rng.random() < 0.05:
        written = rng.choice(['"', '"a', ",", "\n,", '"",', "a\t\n", '"\n']) * 200_000
    code = rng.choice(["utf-8"] * 4 + ["utf-8-sig", "utf-16", "utf-16-be", "cp1252", "utf-32"])
    data = written.encode(code, "replace" if code == "cp1252" else "surrogatepass")
    return bytes_changed(data, rng) if rng.random() < 0.4 else data


def read_table(data: bytes) -> object:
    table = core.read_prompts(io.BytesIO(data), name="mine")
    table.columns.read_as, table.groups, "".join(table.notes).encode()
    if len(table.records) < 1000:
        core.save_counterfact(table.records, Path(os.devnull))
    return core.read_prompts(io.BytesIO(core.prompts_csv(table.records)), name="mine")


def damaged_workbook(rng: random.Random) -> bytes:
    """A workbook whose parts, XML or archive are damaged, or whose cells lie about their place."""
    rows = [[NO_XML.sub("?", cell) for cell in row] for row in table_rows(rng)]
    parts: dict[str, str | bytes] = dict(parts_of({"S": sheet_xml(rows), "T": sheet_xml(rows)}))
    sheet = "xl/worksheets/sheet1.xml"
    change = rng.randrange(5)
    if change == 0:
        name = rng.choice(list(parts))
        parts[name] = bytes_changed(str(parts[name]).encode(), rng)
    elif change == 1:
        del parts[rng.choice(list(parts))]
    elif change == 2:
        parts[sheet] = lying_sheet(rng)
    elif change == 3:
        old, new = rng.choice(LIES)
        parts = {name: str(content).replace(old, new) for name, content in parts.items()}
    data = zipped(parts)
    return bytes_changed(data, rng) if change == 4 or rng.random() < 0.1 else data


NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
LIES = (
    ("<sheetData>", '<dimension ref="A1:XFD1048576"/><sheetData>'),
    ('t="inlineStr"', 't="s"'),
    ('t="inlineStr"', 't="d"'),
    ('t="inlineStr"', 't="n"'),
    ('count="2"', 'count="4000000000"'),
    ("encoding=", "encoding='utf-16' x="),
    ("<worksheet", '<!DOCTYPE a [<!ENTITY a "a"><!ENTITY b "&a;&a;">]><worksheet'),
    ("sheet1.xml", "../../../../etc/passwd"),
    ('numFmtId="14"', 'numFmtId="99999999999999999999"'),
    ("<c ", "<x:c "),
    ('r="', 'R="'),
    ("</row>", "</row><row>"),
    ("</c>", "</c><c><v>1</v></c>"),
    ("</is>", "</is><v>1e999</v>"),
)


def lying_sheet(rng: random.Random) -> str:
    """Cells anywhere, or very many of them, with or without a place."""
    cells = []
    for _ in range(rng.choice([1, 5, 100])):
        row, column = rng.choice([1, 2, 20_000, 1_048_576, 2**31, 2**32 + 1]), rng.choice(COLUMNS)
        place = rng.choice([f' r="{column_letters(column)}{row}"', "", f' r="{rng.choice(HUGE)}"'])
        kind = rng.choice(["", ' t="s"', ' t="b"', ' t="str"', ' t="e"', ' s="1"', ' s="9"'])
        value = rng.choice(["0", "-1", "1e308", "NaN", "43952", "", "x", "9" * 400])
        number = rng.choice(["", f' r="{rng.choice(HUGE)}"', f' r="{row}"'])
        cells.append(f"<row{number}><c{place}{kind}><v>{value}</v></c></row>")
    if rng.random() < 0.1:
        cells = [rng.choice(["<row/>", "<c><v>1</v></c>", "<row><c/></row>", "<si/>"]) * 700_000]
    return f"{HEAD}<worksheet {MAIN}><sheetData>{''.join(cells)}</sheetData></worksheet>"


COLUMNS = (1, 2, 3, 16_384, 16_385, 10**9)


@cache
def notebook_file() -> bytes:
    return hostile_notebook([Hostile("words", "Obama")] * 3)


def damaged_notebook(rng: random.Random) -> bytes:
    """A part of it changed in its JSON, or the edit in it, or the archive's bytes."""
    if rng.random() < 0.3:
        return bytes_changed(notebook_file(), rng)
    with zipfile.ZipFile(io.BytesIO(notebook_file())) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(files))
    if name.endswith(".json"):
        changed = json_changed(json.loads(files[name]), rng)
        files[name] = json.dumps(changed).encode()
    elif rng.random() < 0.5:
        del files[name]
        content = damaged_edit(rng)
        files[f"edits/{hashlib.sha256(content).hexdigest()[:16]}.safetensors"] = content
    else:
        files[f"{hostile(rng).whole[:20]}{name}"] = files.pop(name)
    return zipped(files)


def read_notebook(data: bytes) -> object:
    pages = from_file(data)
    return [as_file(pages), as_page(pages)]


Damage = Callable[[random.Random], bytes]
Read = Callable[[bytes], object]
READERS: dict[str, tuple[Damage, Read]] = {
    "edit": (damaged_edit, read_edit),
    "records": (damaged_records, read_records),
    "study": (damaged_study, read_study),
    "gguf": (damaged_gguf, read_gguf),
    "folder": (damaged_folder, read_folder),
    "table": (damaged_table, read_table),
    "workbook": (damaged_workbook, read_table),
    "notebook": (damaged_notebook, read_notebook),
}


def damaged(kind: str, seed: int, number: int) -> bytes:
    """The file of this number: every eighth is no file of its kind at all."""
    rng = random.Random(f"{kind}:{seed}:{number}")
    if rng.random() < 1 / 8 and kind != "folder":
        return bombs(rng)
    return READERS[kind][0](rng)


def good(kind: str) -> bytes:
    """An undamaged file."""
    return {
        "edit": lambda: edit_file(MODEL),
        "records": MINI_COUNTERFACT.read_bytes,
        "study": study_file,
        "gguf": lambda: gguf_file("llama"),
        "folder": lambda: zipped(folder_files()),
        "table": core.prompts_template,
        "workbook": lambda: zipped(parts_of({"S": sheet_xml(PROMPTS)})),
        "notebook": notebook_file,
    }[kind]()
