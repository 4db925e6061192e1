"""A worker: one model in a process of its own, on whatever machine; and how Ray is begun."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from types import ModuleType

import torch

from core.errors import ModelError
from core.model.loading import load_model

ROOT = Path(__file__).resolve().parents[2]
STORE_BYTES = 200 * 2**20  # for results on their way, of an instance of our own
NAMESPACE = "backward-lens"
SLOW_START = {"worker_register_timeout_seconds": 300}  # a busy laptop needs more than Ray's 60
ONLY_HERE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0": Ray listens on the loopback address alone


class Worker:
    """Ray makes an actor of it; its calls come one after the other."""

    def load(self, name: str, dtype: str | None, device: str | None, threads: int) -> str:
        """Load the model, once; where it is now, in words."""
        torch.set_num_threads(threads)
        self.model = load_model(name, dtype=dtype, device=device)
        return f"{socket.gethostname()}, process {os.getpid()}"

    def begin(self, work: Callable) -> None:
        """What is to be done with each item from now on."""
        self.work = work

    def do(self, item: object) -> object:
        return self.work(self.model, item)


def import_ray() -> ModuleType:
    """Ray, which reports nothing to its makers. Raises ModelError where it is not installed."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError:
        raise ModelError(
            "More than one worker takes Ray, which is not installed here. Install it on each "
            "machine with: pip install -r requirements-cluster.txt"
        ) from None
    return ray


def begin_ray(ray: ModuleType, address: str | None, cpus: float) -> str:
    """Join the cluster at `address`, or start one of our own with at least so many CPUs ("local").

    The address of its dashboard, "" where it has none. Raises ModelError.
    """
    options = {"log_to_driver": False, "namespace": NAMESPACE, "configure_logging": False}
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        if address != "local":
            return page_of(ray.init(address=address, **options))
        with only_here(ray):
            return page_of(
                ray.init(
                    address="local",
                    num_cpus=max(os.cpu_count() or 1, ceil(cpus)),
                    object_store_memory=STORE_BYTES,
                    dashboard_host="127.0.0.1",
                    _system_config=SLOW_START,
                    **options,
                )
            )
    except Exception as error:  # sockets, folders, tokens, versions: Ray has no error of its own
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"Ray could not start on this machine: {first}"
            if address == "local"
            else f"There is no Ray cluster to join at {address!r}: {first} Begin one with "
            "ray start --head, or work on this machine alone with the address local."
        ) from error


def page_of(context: object) -> str:
    url = getattr(context, "dashboard_url", "") or ""
    return url if not url or "://" in url else f"http://{url}"


@contextmanager
def only_here(ray: ModuleType) -> Iterator[None]:
    """What is begun within listens on this machine only: Ray's processes read it from the
    environment, and this one has read it already."""
    constants, before = ray._private.ray_constants, os.environ.get(ONLY_HERE)
    may_be_many, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    os.environ[ONLY_HERE] = "0"
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = may_be_many
        os.environ.pop(ONLY_HERE)
        if before is not None:
            os.environ[ONLY_HERE] = before
