"""The lock files hold what the requirements ask for, and both the same of it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pins(name: str) -> set[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in lines if line.strip() and line.strip()[0] not in "#-"}


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_every_requirement_is_pinned_and_locked(name):
    wanted = pins(f"{name}.txt")
    assert all("==" in line for line in wanted)
    assert wanted <= pins(f"{name}.lock"), "run make lock"


def test_users_and_tests_run_the_same_packages():
    assert pins("requirements.lock") <= pins("requirements-dev.lock"), "run make lock"


def test_a_laptop_needs_no_cuda():
    names = {line.split("==")[0] for line in pins("requirements-dev.lock")}
    assert not {name for name in names if name.startswith(("nvidia", "cuda", "triton"))}
