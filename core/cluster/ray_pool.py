"""Workers on one machine and on many, through Ray: one model each, and the work shared out.

Everything here is the driver's: it hands out items, a few at a time, and takes the results. Lost
workers and machines cost what they had in hand, which is done again; machines that join help.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from types import TracebackType

from core.cluster.hands import Hands
from core.cluster.pool import Item, Result
from core.cluster.worker import ROOT, Worker, begin_ray, import_ray
from core.errors import BackwardLensError, Cancelled, ModelError
from core.model.language_model import LanguageModel

log = logging.getLogger(__name__)

LOOK = 3.0  # seconds between two looks at which machines there are
RETRY = 30.0  # seconds until another worker is made after one that could not begin
PATIENCE = 300.0  # seconds without any machine that can hold a worker
MOST_FAILURES = 3  # workers that could not begin, one after the other


@dataclass(eq=False)
class Hired:
    """A worker as the driver knows it."""

    actor: object
    loading: object  # Ray's promise that the model is loaded
    place: str = ""  # the machine and process, from when it is loaded on
    work: object = None  # what it was told to do with items


class RayPool:
    """A Pool over a Ray cluster: as many workers as it holds, or `workers`. A context manager.

    `model` is a name or path that `load_model` finds on each machine; name a `dtype`, as otherwise
    each machine's memory decides. A worker has `cpus` cores (and as many threads) and `gpus`
    graphics cards; without any it computes on the CPU. `address` is that of a cluster, "auto" for
    the one that runs on this machine, "local" for one that is made here and ends with the pool,
    None for auto or else local. The project must lie in the same folder on each machine.

    `dashboard` is the address of Ray's page, "" where it has none. Raises ModelError where Ray is
    not installed or cannot begin, and where no machine can hold a worker.
    """

    def __init__(
        self,
        model: str,
        *,
        address: str | None = "auto",
        workers: int | None = None,
        cpus: float = 1,
        gpus: float = 0,
        dtype: str | None = None,
    ) -> None:
        if cpus <= 0 or gpus < 0 or (workers is not None and workers < 1):
            raise ModelError(
                f"{workers} workers with {cpus:g} cores and {gpus:g} GPUs each cannot work: each "
                "needs a part of a core at least."
            )
        self.model, self.dtype, self.address = model, dtype, address
        self.workers, self.cpus, self.gpus = workers, cpus, gpus
        self.dashboard = ""
        self.staff: list[Hired] = []
        self.failures = 0  # workers that could not begin since the last one that could
        self.next_look = self.next_try = 0.0
        self.last_room = time.monotonic()

    def __enter__(self) -> RayPool:
        self.ray = import_ray()
        self.began = not self.ray.is_initialized()
        if self.began:
            self.dashboard = self.join()
        try:
            if not self.room():
                raise ModelError(
                    f"No machine of the cluster has {self.cpus:g} cores and {self.gpus:g} GPUs for "
                    "a worker. Ask for less a worker, or add a machine."
                )
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def join(self) -> str:
        cores = self.cpus * (self.workers or 1)
        if self.address is not None:
            return begin_ray(self.ray, self.address, cores)
        try:
            return begin_ray(self.ray, "auto", cores)
        except ModelError:
            return begin_ray(self.ray, "local", cores)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for hired in list(self.staff):
            self.dismiss(hired)
        if self.began:
            self.ray.shutdown()

    @property
    def ready(self) -> int:
        """How many workers have their model."""
        return sum(bool(hired.place) for hired in self.staff)

    def map(
        self, work: Callable[[LanguageModel, Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result], None, None]:
        """See Pool. What is in the workers' hands when it is closed is forgotten."""
        hands, told = Hands(items), self.ray.put(work)
        running: dict[object, tuple[Hired, int]] = {}  # Ray's promise -> whose, of which item
        while hands.left:
            self.hire(hands.left)
            for hired in filter(lambda hired: hired.place, self.staff):
                if hired.work is not told:
                    hired.actor.begin.remote(told)
                    hired.work = told
                while (index := hands.take(hired)) is not None:
                    running[hired.actor.do.remote(items[index])] = hired, index
            loading = {hired.loading: hired for hired in self.staff if not hired.place}
            promises = [*loading, *running]
            if not promises:
                time.sleep(LOOK)
                continue
            for promise in self.ray.wait(promises, num_returns=1, timeout=LOOK)[0]:
                if promise in loading:
                    self.loaded(loading[promise])
                    continue
                hired, index = running.pop(promise)
                try:
                    result = self.received(promise)
                except self.ray.exceptions.RayError as error:
                    log.warning("the worker on %s is lost: %s", hired.place, first_line(error))
                    self.dismiss(hired)
                    running = {p: pair for p, pair in running.items() if pair[0] is not hired}
                    hands.lost(hired)
                    continue
                hands.finished(hired, index)
                yield index, result

    def received(self, promise: object) -> object:
        """What a worker returned. Raises what the work raised, and RayError for a lost worker."""
        try:
            return self.ray.get(promise)
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, BackwardLensError | Cancelled):
                raise error.cause from None
            raise RuntimeError(f"A worker failed: {error}") from error

    def loaded(self, hired: Hired) -> None:
        """The worker's model is there, or it could not begin."""
        try:
            hired.place = self.received(hired.loading)
        except (self.ray.exceptions.RayError, ValueError, RuntimeError) as error:
            self.dismiss(hired)
            log.warning("a worker could not begin: %s", first_line(error))
            self.failures += MOST_FAILURES if isinstance(error, BackwardLensError) else 1
            self.next_try = time.monotonic() + RETRY if self.ready else 0.0
            if self.failures >= MOST_FAILURES and not self.staff:
                if isinstance(error, BackwardLensError):
                    raise
                raise ModelError(
                    f"No worker could begin: {first_line(error)} The project must lie in {ROOT} "
                    "on each machine, with the same packages."
                ) from error
        else:
            self.failures = 0
            log.info("a worker is ready on %s", hired.place)

    def room(self) -> int:
        """How many workers all machines can hold."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        needs = {"CPU": self.cpus, "GPU": self.gpus}
        return sum(
            min(int(node.get(kind, 0) / need + 1e-9) for kind, need in needs.items() if need)
            for node in nodes
        )

    def hire(self, most: int) -> None:
        """As many workers as there may be, at most `most`."""
        now = time.monotonic()
        if now < self.next_look and self.staff:
            return
        room = self.room()
        self.next_look = now + LOOK
        if room:
            self.last_room = now
        elif now - self.last_room > PATIENCE and not self.ready:
            raise ModelError(
                "No machine that can hold a worker is left in the cluster. What is done stays: "
                "begin again when there is one."
            )
        if now < self.next_try:
            return
        for _ in range(min(self.workers or room, most) - len(self.staff)):
            self.staff.append(self.new_worker())

    def new_worker(self) -> Hired:
        actor = (
            self.ray.remote(Worker)
            .options(
                num_cpus=self.cpus,
                num_gpus=self.gpus,
                scheduling_strategy="SPREAD",
                runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
            )
            .remote()
        )
        device = None if self.gpus else "cpu"
        threads = max(1, int(self.cpus))
        return Hired(actor, actor.load.remote(self.model, self.dtype, device, threads))

    def dismiss(self, hired: Hired) -> None:
        self.staff.remove(hired)
        self.next_look = 0.0  # another one may be made at once
        self.ray.kill(hired.actor)


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
