"""The arrows between the rooms: who may import whom, read from the imports themselves.

core: errors <- model <- gradients <- editing and studies, which do not know each other <-
benchmarking; model <- cluster <- studies and benchmarking.
app: words, titles, outliers and settings <- charts <- findings <- work <- workshop <- shell <-
gallery <- notebook <- lessons <- cells; pages <- main.
"""

import ast
import importlib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODEL, GRADIENTS = "core.model", "core.gradients"
EDITING, STUDIES = "core.editing", "core.studies"
CLUSTER, BENCHMARKING = "core.cluster", "core.benchmarking"
CORE = ("core.errors", MODEL, GRADIENTS, CLUSTER, EDITING, STUDIES, BENCHMARKING, "core")
BELOW_THE_SHELL = (
    "app.words",
    "app.titles",
    "app.outliers",
    "app.settings",
    "app.charts",
    "app.findings",
    "app.work",
    "app.workshop",
)
APP = (
    *BELOW_THE_SHELL,
    "app.shell",
    "app.gallery",
    "app.notebook",
    "app.lessons",
    "app.cells",
)
# Each room, and what it may import besides itself. `core` is its public face.
ROOMS = (
    {
        "core.errors": (),
        MODEL: ("core.errors",),
        GRADIENTS: ("core.errors", MODEL),
        EDITING: ("core.errors", MODEL, GRADIENTS),
        STUDIES: ("core.errors", MODEL, GRADIENTS, CLUSTER),
        CLUSTER: ("core.errors", MODEL),
        BENCHMARKING: ("core.errors", MODEL, GRADIENTS, CLUSTER, EDITING, STUDIES),
        "core.benchmark": CORE,  # its command line
        "core": CORE,
    }
    | {room: (*CORE, *APP[:place]) for place, room in enumerate(APP)}
)
ROOMS |= {"app.main": (*CORE, *APP), "app": (), "pages": (*CORE, *APP)}
ROOMS |= {"app.workshop.__main__": (*CORE, *APP)}  # a command of its own, like app.main


def modules() -> dict[str, Path]:
    """Every module of core, app and pages by its name; a package is its `__init__`."""
    found = {}
    for top in ("core", "app", "pages"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
COMMANDS = {"core.benchmark"}  # only ever run; `from core import benchmark` is core's function


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere, inside functions too, by their full names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are written in full"
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in MODULES.keys() - COMMANDS else node.module


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name in MODULES}


def room_of(module: str) -> str:
    return max((r for r in ROOMS if module == r or module.startswith(f"{r}.")), key=len)


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_one_way(module):
    room = room_of(module)
    allowed = {room, *ROOMS[room]}
    wrong = {name for name in ours(MODULES[module]) if room_of(name) not in allowed}
    assert not wrong, f"{module} may import {sorted(allowed)}, not {sorted(wrong)}"


def test_no_files_import_each_other_in_a_circle():
    graph = {module: ours(path) - {module} for module, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_imported_by_nobody(command):
    """Imported, it would take the place of the function of its name."""
    asked = {name for path in MODULES.values() for name in imports(path)}
    assert command not in asked
    assert callable(getattr(importlib.import_module("core"), command.removeprefix("core.")))


def test_every_file_has_a_room():
    alone = {m for m in MODULES if m.startswith("core.") and room_of(m) == "core"}
    assert not alone, f"{sorted(alone)} lie in core/ itself: give them a room"
    assert {m for m in MODULES if m.startswith("app.") and room_of(m) == "app"} == set()


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("core")])
def test_core_works_without_streamlit(module):
    assert not {name for name in imports(MODULES[module]) if name.split(".")[0] == "streamlit"}


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith("core")])
def test_the_mathematics_is_cores(module):
    assert not {name for name in imports(MODULES[module]) if name.split(".")[0] == "torch"}


@pytest.mark.parametrize(
    "room", [r for r in ROOMS if "." in r and (ROOT / r.replace(".", "/")).is_dir()]
)
def test_every_room_says_what_it_is_for(room):
    text = ast.get_docstring(ast.parse(MODULES[room].read_text(encoding="utf-8")))
    assert text, f"{room} has no docstring"
    assert len(text.splitlines()) <= 4
    assert "mport" in text, f"{room} does not say who may import whom"
