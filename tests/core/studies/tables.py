"""Tables as spreadsheets write them: an XLSX workbook of hand-made parts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from core.studies.workbook import column_letters

SPACE = "http://schemas.openxmlformats.org/"
MAIN = f'xmlns="{SPACE}spreadsheetml/2006/main"'
LINKS = f'xmlns="{SPACE}package/2006/relationships"'
KIND = f"{SPACE}officeDocument/2006/relationships"
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
TYPES = (
    f'{HEAD}<Types xmlns="{SPACE}package/2006/content-types"><Default Extension="rels" ContentType'
    '="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
    'ContentType="application/xml"/></Types>'
)
STYLES = (  # the first is usual, the second a day
    f'{HEAD}<styleSheet {MAIN}><cellXfs count="2"><xf numFmtId="0"/>'
    '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>'
)


def cell(place: str, value: object) -> str:
    """A cell with a text of its own or a number; XML where it is given as bytes."""
    if isinstance(value, bytes):
        return value.decode().replace("HERE", place)
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value}</v></c>'
    text = f'<t xml:space="preserve">{escape(str(value))}</t>'
    return f'<c r="{place}" t="inlineStr"><is>{text}</is></c>'


def sheet_xml(rows: Sequence[Sequence[object]], first: int = 1) -> str:
    """A sheet's part; None and "" are no cells, and an empty row is none."""
    lines = []
    for number, row in enumerate(rows, first):
        cells = [
            cell(f"{column_letters(i)}{number}", value)
            for i, value in enumerate(row, 1)
            if value not in (None, "")
        ]
        if cells:
            lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    return f"{HEAD}<worksheet {MAIN}><sheetData>{''.join(lines)}</sheetData></worksheet>"


def parts_of(sheets: dict[str, str], hidden: Sequence[str] = ()) -> dict[str, str]:
    """The parts of a workbook with these sheets' XML."""
    named = "".join(
        f"<sheet name={quoteattr(name)} sheetId='{i}' r:id='rId{i}'"
        f"{' state=' + quoteattr('hidden') if name in hidden else ''}/>"
        for i, name in enumerate(sheets, 1)
    )
    links = "".join(
        f'<Relationship Id="rId{i}" Type="{KIND}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in range(1, len(sheets) + 1)
    )
    root = f'<Relationship Id="rId1" Type="{KIND}/officeDocument" Target="xl/workbook.xml"/>'
    parts = {
        "[Content_Types].xml": TYPES,
        "_rels/.rels": f"{HEAD}<Relationships {LINKS}>{root}</Relationships>",
        "xl/workbook.xml": f'{HEAD}<workbook {MAIN} xmlns:r="{KIND}"><sheets>{named}</sheets>'
        "</workbook>",
        "xl/_rels/workbook.xml.rels": f"{HEAD}<Relationships {LINKS}>{links}</Relationships>",
        "xl/styles.xml": STYLES,
    }
    return parts | {f"xl/worksheets/sheet{i}.xml": xml for i, xml in enumerate(sheets.values(), 1)}


def zipped(parts: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def xlsx(*sheets: Sequence[Sequence[object]], hidden: Sequence[str] = (), first: int = 1) -> bytes:
    """A workbook with these sheets, named Sheet1, Sheet2 …; their rows begin at number `first`."""
    named = {f"Sheet{i}": sheet_xml(rows, first) for i, rows in enumerate(sheets, 1)}
    return zipped(parts_of(named, hidden))
