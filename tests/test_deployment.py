"""Image, proxy and compose file agree with the app, its settings and each other; without Docker."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from app import settings

ROOT = Path(__file__).resolve().parents[1]
NAMES = {setting.name for setting in settings.ALL}
OURS = re.compile(rf"\b{settings.PREFIX}[A-Z_]+")
STAGES = {"app": "app", "caddy": "proxy"}  # of the Dockerfile, by the service that each becomes


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def stages() -> dict[str, list[tuple[str, str]]]:
    """The Dockerfile's stages by name: (instruction, what it says), its FROM first."""
    lines = "\n".join(line for line in text("Dockerfile").splitlines() if line[:1] != "#")
    found: dict[str, list[tuple[str, str]]] = {}
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if not line.strip():
            continue
        instruction, said = line.strip().split(maxsplit=1)
        if instruction == "FROM":
            stage = found[said.split(" AS ")[1]] = []
        stage.append((instruction, said))
    return found


def said(stage: str, instruction: str) -> list[str]:
    return [what for name, what in stages()[stage] if name == instruction]


def image_environment() -> dict[str, str]:
    pairs = shlex.split(" ".join(said("app", "ENV")))
    return dict(pair.split("=", 1) for pair in pairs)


def compose() -> dict:
    return yaml.safe_load(text("compose.yaml"))


def example() -> dict[str, str]:
    """What example.env sets or offers, by name."""
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text("deploy/example.env"), re.MULTILINE))


@pytest.mark.parametrize("stage", STAGES.values())
def test_images_are_pinned_and_not_root(stage):
    (image,) = said(stage, "FROM")
    assert re.match(r"\S+:\d+\.\d+\.\d+-\S+ AS ", image)
    (who,) = said(stage, "USER")
    assert all(int(number) > 0 for number in who.split(":"))


def test_the_image_has_the_locked_packages_and_python():
    (install,) = (run for run in said("app", "RUN") if "pip install" in run)
    torch, rest = re.findall(r"pip install [^&]*", install)
    assert "grep '^torch==' requirements.txt > torch.txt" in install
    assert "-r torch.txt" in torch
    assert "-r requirements.lock" in rest
    assert all("--no-deps" in command for command in (torch, rest))
    assert "pip check" in install
    assert "==" not in install.replace("'^torch=='", ""), "a version beside the lock's"
    assert said("app", "ARG") == ["TORCH_INDEX=https://download.pytorch.org/whl/cpu"]
    (locked_for,) = re.findall(r"--python-version (\S+)", text("Makefile"))
    assert said("app", "FROM")[0].startswith(f"python:{locked_for}.")


@pytest.mark.parametrize("file", ["Dockerfile", "compose.yaml", "deploy/example.env"])
def test_every_setting_that_is_named_is_one(file):
    assert set(OURS.findall(text(file))) <= NAMES


def test_the_app_starts_with_what_the_image_sets(monkeypatch):
    for name, value in image_environment().items():
        monkeypatch.setenv(name, value)
    assert settings.problems() == []
    assert not settings.DOWNLOADS.value
    assert settings.FOLDERS.value == ()


def test_the_example_offers_values_that_can_be_read(monkeypatch):
    offered = example()
    assert set(offered) >= {"LENS_NAME", "HF_TOKEN"}
    for name in set(offered) & NAMES:
        monkeypatch.setenv(name, offered[name])
    wrong = [sentence for sentence in settings.problems() if "there is no folder" not in sentence]
    assert wrong == []


def test_the_examples_limits_are_the_compose_files():
    defaults = dict(re.findall(r"\$\{(LENS_[A-Z]+):-([^}]+)\}", text("compose.yaml")))
    assert defaults == {name: value for name, value in example().items() if name[:5] == "LENS_"}


@pytest.mark.parametrize("name", STAGES)
def test_services_are_limited_and_can_change_nothing(name):
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["cpus"]
    assert service["pids_limit"] > 0
    assert "user" not in service, "the image's user is the one that is tested"
    assert service["build"]["target"] == STAGES[name]


def test_what_the_app_writes_lies_in_the_volume():
    volume, place = compose()["services"]["app"]["volumes"][0].split(":")
    assert volume in compose()["volumes"]
    environment = image_environment()
    kept = ("HOME", "HF_HOME", settings.MODELS.name, settings.CACHE.name)
    assert all(Path(environment[name]).is_relative_to(place) for name in kept)
    assert any(f"-o lens -g lens {place}" in run for run in said("app", "RUN"))
    volume, place = compose()["services"]["caddy"]["volumes"][0].split(":")
    assert volume in compose()["volumes"]
    assert f"XDG_DATA_HOME={place}" in said("proxy", "ENV")


def test_only_the_proxy_is_reached_and_it_waits_for_the_app():
    app, caddy = (compose()["services"][name] for name in STAGES)
    assert "ports" not in app
    assert {port.split("/")[0] for port in caddy["ports"]} == {"80:80", "443:443"}
    assert caddy["depends_on"]["app"]["condition"] == "service_healthy"
    port = image_environment()["STREAMLIT_SERVER_PORT"]
    assert said("app", "EXPOSE") == [port]
    assert f"reverse_proxy {{$LENS_APP:app:{port}}}" in text("deploy/Caddyfile")


def test_the_image_gets_what_the_app_needs_and_no_secrets():
    lines = text(".dockerignore").splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    assert let_in >= {"requirements.txt", "requirements.lock", "streamlit_app.py", "scripts"}
    assert let_in >= {"app", "core", "pages", "data", ".streamlit/config.toml", "deploy/Caddyfile"}
    assert all((ROOT / path).exists() for path in let_in)
    assert not {path for path in let_in if path.startswith((".env", ".streamlit"))} - {
        ".streamlit/config.toml"
    }
    assert ".env" in text(".gitignore").splitlines()


@contextmanager
def answering(status: int) -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything with this status: its port, and what it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield str(server.server_port), asked
        finally:
            server.shutdown()
            thread.join()


def check_health(port: str) -> int:
    _, _, command = said("app", "HEALTHCHECK")[0].partition("CMD ")
    script = yaml.safe_load(command)[1]
    nowhere = {"http_proxy": "http://127.0.0.1:9"}
    environment = os.environ | nowhere | {"STREAMLIT_SERVER_PORT": port}
    return subprocess.run([sys.executable, ROOT / script], env=environment).returncode


@pytest.mark.parametrize(("status", "code"), [(200, 0), (204, 1), (503, 1)])
def test_the_health_check_tells_an_answer_from_an_error(status, code):
    with answering(status) as (port, asked):
        assert check_health(port) == code
    assert asked == ["/_stcore/health"]


def test_the_health_check_fails_where_nobody_listens():
    with answering(200) as (port, _):
        pass
    assert check_health(port) == 1


@pytest.mark.skipif(not shutil.which("sh"), reason="there is no sh here")
@pytest.mark.parametrize("python", ["found/python", "copy/.venv/bin/python"])
def test_the_server_takes_the_place_of_the_script_that_starts_it(tmp_path, python):
    """So that a signal to end reaches it. It runs in its own folder, wherever it is called."""
    assert yaml.safe_load(said("app", "CMD")[0]) == ["sh", "scripts/serve.sh"]
    script = tmp_path / "copy" / "scripts" / "serve.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "serve.sh", script)
    stand_in = tmp_path / python
    stand_in.parent.mkdir(parents=True)
    stand_in.write_text('#!/bin/sh\necho "$$ $PWD $*"\n')
    stand_in.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'found'}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        ["sh", str(script), "--server.port", "1"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    told, _ = process.communicate()
    arguments = "-m streamlit run --server.headless true --server.port 1"
    assert told.strip() == f"{process.pid} {script.parents[1]} {arguments}"
