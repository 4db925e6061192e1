"""What is free for a model: a container's limit counts, in both ways in which Linux shows it."""

import psutil
import pytest

from core.model import memory
from core.model.loading import free_memory

MB = 10**6


@pytest.fixture
def group(monkeypatch, tmp_path):
    """A control group's folder, on a machine with 8,000 MB free."""
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    machine = type("Machine", (), {"available": 8000 * MB})
    monkeypatch.setattr(psutil, "virtual_memory", machine)
    return tmp_path


def newer(folder, limit, used: int, kept: int) -> None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {kept}\nactive_file 7\n")


def older(folder, limit: int, used: int, kept: int) -> None:
    folder = folder / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{used}\n")
    stat = f"inactive_file {3 * kept}\ntotal_inactive_file {kept}\n"
    (folder / "memory.stat").write_text(stat)


def test_without_a_limit_it_is_what_the_machine_has(group):
    assert free_memory("cpu") == 8000 * MB


@pytest.mark.parametrize("write", [newer, older])
def test_a_limit_counts_and_kept_files_are_free(group, write):
    write(group, 6000 * MB, 1500 * MB, 200 * MB)
    assert free_memory("cpu") == 4700 * MB


@pytest.mark.parametrize("write", [newer, older])
def test_a_limit_above_the_machine_changes_nothing(group, write):
    write(group, 2**63 - 4096, 1500 * MB, 200 * MB)  # what the older way shows for "none"
    assert free_memory("cpu") == 8000 * MB


def test_a_group_without_a_limit(group):
    newer(group, "max", 1500 * MB, 200 * MB)
    assert free_memory("cpu") == 8000 * MB


def test_more_in_use_than_allowed_leaves_nothing(group):
    newer(group, 1000 * MB, 1001 * MB, 0)
    assert free_memory("cpu") == 0
