"""Render on many machines: workers of a Ray cluster hold the model and write into the job folder that all of them share.

Workers return names and hashes of what they wrote, never pictures. A segment is the same bits whoever renders it and however
often, so one whose worker died is simply rendered again, from the trail that the dead one left.

Ray runs any code that reaches it. A cluster that is started here is therefore reached from this machine only, with a token that
nobody else knows, and without a dashboard; of a cluster that is there already the token is asked.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from reactive.diffusion.lora import parse_lora
from reactive.diffusion.models import FOLDERS, default_threads
from reactive.errors import ModelError, OutputError, ReactiveError
from reactive.render.books import Books
from reactive.render.deal import Deck
from reactive.render.execute import Tally
from reactive.render.job import Entry
from reactive.render.keys import differences, environment
from reactive.render.lease import lease_of
from reactive.render.settings import Rates
from reactive.render.work import Loading, Order, Todo, Worker, out_of_memory, used_prompts

LOCAL = "local"
# a worker that dies is begun again so often, and what it had in hand is tried again so often
RESTARTS = 4
RETRIES = 2
# the same segment may be lost with so many workers in turn before it is taken to be the cause
LOSSES = 3
# once one worker is ready, others that start with it are waited for so many seconds; later ones join in
_TOGETHER = 60.0
_OBJECTS = 100 << 20


@dataclass(frozen=True)
class Told:
    """What a worker is: machine, process, the model's hash, what its bits rest on, and whether it sees the job folder."""

    host: str
    process: int
    sha256: str
    environment: dict[str, Any]
    sees: bool


@dataclass(frozen=True)
class Done:
    """What a worker did: finished segments and their files, and why it stopped, if it did.

    `problem` is what, where and remedy of an error that a user can do something about; `memory` says that memory ran out.
    """

    pieces: tuple[tuple[int, tuple[Entry, ...]], ...]
    pictures: int
    again: int
    seconds: float
    problem: tuple[str, str, str] | None = None
    memory: bool = False


class Renderer:
    """What runs in a worker's process. Light until it is asked for something, so that it can be begun again at any time."""

    def __init__(self, order: Order, loading: Loading, prompts: frozenset[int]) -> None:
        self.order = order
        self.loading = loading
        self.prompts = prompts
        self.worker: Worker | None = None

    def ready(self, owner: str) -> Told | tuple[str, str, str]:
        """Load the model and tell of this worker, or what, where and remedy of what is wrong."""
        try:
            worker = self._worker(self.order.batch)
        except ReactiveError as problem:
            return problem.what, problem.where, problem.remedy
        held = lease_of(self.order.folder)
        around = environment(self.loading.device, self.order.threads)
        return Told(
            socket.gethostname(), os.getpid(), worker.model.sha256, around, held is not None and held.owner == owner
        )

    def render(self, todos: Sequence[Todo], batch: int) -> Done:
        """Render segments into the job folder; those that are finished count, whatever becomes of the others."""
        began = time.perf_counter()
        finished: list[tuple[int, tuple[Entry, ...]]] = []
        problem: tuple[str, str, str] | None = None
        memory = False
        worker, pictures, again = None, 0, 0
        try:
            worker = self._worker(batch)
            pictures, again = worker.core.pictures, worker.core.again
            worker.render(
                todos,
                finished=lambda number, entries: finished.append((number, tuple(entries))),
                done=lambda count: None,
            )
        except ReactiveError as error:
            problem = error.what, error.where, error.remedy
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            memory = True
        if worker is not None:
            pictures, again = worker.core.pictures - pictures, worker.core.again - again
        return Done(tuple(finished), pictures, again, time.perf_counter() - began, problem, memory)

    def _worker(self, batch: int) -> Worker:
        # it belongs to the thread that computes
        torch.set_num_threads(self.order.threads)
        if self.worker is None or self.worker.core.batch != batch:
            model = self.worker.model if self.worker else self.loading.load()
            if self.worker:
                self.worker.close()
            self.worker = Worker(model, self.order, self.prompts, batch=batch)
        return self.worker


@dataclass
class _Hand:
    """A worker of the cluster: its handle, what it has in hand, and the frames and seconds that it has rendered."""

    actor: Any
    numbers: list[int] = field(default_factory=list)
    frames: int = 0
    seconds: float = 0.0


class RayExecutor:
    """Renders by workers of a Ray cluster.

    Parameters
    ----------
    address
        ``local`` for workers on this machine, ``auto`` or HOST:PORT for a cluster that is there.
    order, loading
        The job; its folder and all files lie on paths that all workers share.
    owner
        Who holds the job's lease.
    sha256, environment
        The model's hash and what bits rest on, which workers must agree with unless `mixed`.
    workers
        How many; 0: as many as there is room for.
    anywhere
        Whether the device was left to us: a cluster's GPUs must not lie idle then since this machine has none.
    rates
        Told the frames a second of each worker.

    Raises
    ------
    ReactiveError
        If the cluster can't be reached or has no room, or a worker differs or does not see the job folder.
    """

    def __init__(
        self,
        address: str,
        order: Order,
        loading: Loading,
        *,
        owner: str,
        sha256: str,
        environment: Mapping[str, Any],
        workers: int = 0,
        anywhere: bool = True,
        mixed: bool = False,
        rates: Rates | None = None,
    ) -> None:
        self.order = _placed_order(order)
        self.loading = _placed_loading(loading)
        self.owner, self.sha256, self.environment, self.mixed = owner, sha256, dict(environment), mixed
        self.rates: Rates = rates or (lambda each: None)
        self.lost: dict[int, int] = {}
        self.hands: list[_Hand] = []
        # workers that are still loading, by what they will tell
        self.coming: dict[Any, _Hand] = {}
        self.open = contextlib.ExitStack()
        self.open.enter_context(cluster(address, room=max(1, workers) * self._cores()))
        self.ray = require_ray()
        try:
            if anywhere and not self._gpu():
                _refuse_idle_gpus(self.ray)
            self.count = workers or room_for(self.ray, gpu=self._gpu(), cores=self._cores())
        except BaseException:
            self.close()
            raise
        self.notes: tuple[str, ...] = ()

    def render(self, books: Books, *, batch: int, done: Callable[[int], None], tally: Tally) -> None:
        """Render all that is missing."""
        todos = books.missing()
        if not self.hands:
            self._begin(frozenset(used_prompts(self.order.timeline, todos)))
            tally.notes += self.notes
        deck = Deck(todos, batch=batch, longest=books.plan.longest)
        busy: dict[Any, _Hand] = {}
        memory = False
        with self._failures():
            while True:
                for hand in [] if memory else self.hands:
                    if not hand.numbers and (numbers := deck.take()):
                        hand.numbers = numbers
                        busy[hand.actor.render.remote([books.todo(n) for n in numbers], batch)] = hand
                if not busy:
                    break
                finished, _ = self.ray.wait([*busy, *self.coming], num_returns=1)
                for reference in finished:
                    if reference in self.coming:
                        self._welcome(reference)
                        continue
                    hand = busy.pop(reference)
                    memory |= self._take_in(reference, hand, deck, books, done, tally)
        if memory:
            raise MemoryError
        # a worker that wrote nothing it was asked for would be asked for ever
        if books.missing():
            raise OutputError("workers left pieces unfinished", where=str(self.order.folder), remedy="run it again")

    def close(self) -> None:
        """Let go of the workers, and of the cluster if it was begun here."""
        with contextlib.suppress(Exception):
            for hand in (*self.hands, *self.coming.values()):
                self.ray.kill(hand.actor)
        self.open.close()

    def _gpu(self) -> bool:
        return self.loading.device == "cuda"

    def _cores(self) -> int:
        return 1 if self._gpu() else self.order.threads

    def _begin(self, prompts: frozenset[int]) -> None:
        """Begin the workers, and wait until those that are there are ready."""
        with self._failures():
            order = self.ray.put(self.order)
            self.kind = self.ray.remote(Renderer).options(
                num_cpus=self._cores(), num_gpus=1 if self._gpu() else 0,
                max_restarts=RESTARTS, max_task_retries=RETRIES,
            )  # fmt: skip
            self.given = order, self.loading, prompts
            for _ in range(self.count):
                self._hire()
            while not self.hands:
                self._welcome(self.ray.wait(list(self.coming), num_returns=1)[0][0])
            if self.coming:
                there, _ = self.ray.wait(list(self.coming), num_returns=len(self.coming), timeout=_TOGETHER)
                for reference in there:
                    self._welcome(reference)

    def _hire(self) -> None:
        hand = _Hand(self.kind.remote(*self.given))
        self.coming[hand.actor.ready.remote(self.owner)] = hand

    def _welcome(self, reference: Any) -> None:
        """Take in a worker that is ready.

        Raises
        ------
        ReactiveError
            If it can't do the job.
        """
        hand = self.coming.pop(reference)
        try:
            told = self.ray.get(reference)
        except self.ray.exceptions.RayActorError:
            if self.hands or self.coming:
                return
            raise
        if not isinstance(told, Told):
            raise ModelError(told[0], where=told[1], remedy=told[2])
        who = f"the worker on {told.host}"
        if not told.sees:
            raise OutputError(
                f"is not seen by {who}", where=str(self.order.folder),
                remedy="put it on a path that all workers share, with --job or -o",
            )  # fmt: skip
        if told.sha256 != self.sha256:
            raise ModelError(
                f"is another model for {who}", where=self.loading.name, remedy="bring the same files there"
            )
        if differs := differences(self.environment, told.environment):
            if not self.mixed:
                raise OutputError(
                    f"{who} differs: {differs}",
                    remedy="install the same versions there, leave it out, or pass --mixed (pieces then agree to within "
                    "rounding, feedback only in kind)",
                )
            self.notes += (f"{who} differs ({differs}): pieces agree to within rounding, feedback in kind.",)
        self.hands.append(hand)

    def _take_in(
        self, reference: Any, hand: _Hand, deck: Deck, books: Books, done: Callable[[int], None], tally: Tally
    ) -> bool:
        """Note what a worker did; return whether memory ran out."""
        numbers, hand.numbers = hand.numbers, []
        try:
            told: Done = self.ray.get(reference)
        except self.ray.exceptions.RayActorError:
            # begun again and tried again in vain: another takes its place
            self._replace(hand, numbers, deck)
            return False
        for number, entries in told.pieces:
            books.accept(number, list(entries))
            deck.finished(number)
            frames = deck.frames[number]
            hand.frames += frames
            done(frames)
        tally.pictures += told.pictures
        tally.again += told.again
        hand.seconds += told.seconds
        self.rates([each.frames / each.seconds if each.seconds else 0.0 for each in self.hands])
        if told.problem is not None:
            what, where, remedy = told.problem
            raise OutputError(what, where=where, remedy=remedy)
        return told.memory

    def _replace(self, hand: _Hand, numbers: Sequence[int], deck: Deck) -> None:
        for number in numbers:
            self.lost[number] = self.lost.get(number, 0) + 1
            deck.back(number)
        if max((self.lost[number] for number in numbers), default=0) >= LOSSES:
            raise OutputError(
                "was lost with every worker that tried it; perhaps their memory does not hold it",
                where=f"segment {numbers[0]}", remedy="run it again with a smaller --batch or fewer --workers",
            )  # fmt: skip
        self.hands.remove(hand)
        self.ray.kill(hand.actor)
        self._hire()
        while not self.hands:
            self._welcome(next(iter(self.coming)))

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what Ray itself raises into one line."""
        try:
            yield
        except self.ray.exceptions.RayTaskError:
            # no fault of the cluster's
            raise
        except self.ray.exceptions.RayError as problem:
            raise OutputError(_line(problem), where="Ray", remedy="what is finished stays; run it again") from None


def require_ray() -> Any:
    """Return the module Ray, set up so that nothing is told to anybody.

    Raises
    ------
    OutputError
        If it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise OutputError(
            "needs Ray, which is not installed", where="--ray", remedy="pip install 'reactive-clip[ray]'"
        ) from None
    return ray


@contextlib.contextmanager
def cluster(address: str, *, room: int) -> Iterator[None]:
    """Start a cluster on this machine, or join one that is there, and leave it again; one that was joined already stays.

    Parameters
    ----------
    address
        ``local``, or where the cluster is.
    room
        Cores that a cluster on this machine has at least.

    Raises
    ------
    OutputError
        If it can't be reached, or does not take our token.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL and "ray" not in sys.modules:
        # reached from this machine only: Ray takes its own address for this one's, unless there can be no others
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    if address == LOCAL:
        options |= {
            "include_dashboard": False, "num_cpus": max(room, default_threads()), "object_store_memory": _OBJECTS,
            "_node_ip_address": "127.0.0.1",
            # Ray would have its workers give way to everything else on the machine
            "_system_config": {"worker_niceness": 0},
        }  # fmt: skip
    ray = require_ray()
    if ray.is_initialized():
        yield
        return
    # Ray takes SIGTERM for itself
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, **options)
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, OSError) as problem:
        remedy = "start one with `ray start --head`, and give its token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        if address == LOCAL:
            remedy = "run it without --ray"
        raise OutputError(f"can't be joined ({_line(problem)})", where=f"Ray at {address}", remedy=remedy) from None
    finally:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, before)
    try:
        yield
    finally:
        ray.shutdown()


def room_for(ray: Any, *, gpu: bool, cores: int) -> int:
    """Return how many workers a cluster has room for.

    Raises
    ------
    OutputError
        If for none.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(
        int(min(node.get("CPU", 0) // cores, node.get("GPU", 0) if gpu else node.get("CPU", 0))) for node in nodes
    )
    if not room:
        wanted = "a GPU" if gpu else f"{cores} cores"
        raise OutputError(f"no machine of it has {wanted}", where="Ray", remedy="add one, or choose other --threads")
    return room


def _refuse_idle_gpus(ray: Any) -> None:
    if any(node["Resources"].get("GPU", 0) >= 1 for node in ray.nodes() if node["Alive"]):
        raise OutputError(
            "its workers have GPUs, and this machine has none", where="Ray",
            remedy="start this command on one of their machines, or pass --device cpu",
        )  # fmt: skip


def _placed_order(order: Order) -> Order:
    """Return an order whose files are named from the root, since workers stand elsewhere."""
    photos, videos = (tuple(path.absolute() for path in files) for files in (order.photos, order.videos))
    return replace(order, folder=order.folder.absolute(), photos=photos, videos=videos)


def _placed_loading(loading: Loading) -> Loading:
    def placed(name: str) -> str:
        return str(Path(name).absolute()) if name not in FOLDERS and Path(name).exists() else name

    loras = []
    for text in loading.loras:
        name, _ = parse_lora(text)
        loras.append(placed(name) + text.removeprefix(name))
    vae = placed(loading.vae) if loading.vae else None
    return replace(loading, name=placed(loading.name), loras=tuple(loras), vae=vae)


def _line(problem: BaseException) -> str:
    """Return the first line of what Ray says, which says much."""
    return next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)[:200]
