"""Processes that ``torch.distributed`` joins, as a launcher would start them: on loopback, with a time limit."""

import os
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch

LIMIT_S = 300
"""How long ranks may take to answer, or to wait for each other."""


class Ranks:
    """Processes of one group, each of which does what it is told."""

    def __init__(self, processes: list[Any], ends: list[Any]) -> None:
        self._processes, self._ends = processes, ends

    def do(self, work: Callable[..., Any], *args: Any) -> list[Any]:
        """Have every rank do the same at once; gives what they answer, by rank."""
        for end in self._ends:
            end.send((work, args))
        answers = []
        for rank, end in enumerate(self._ends):
            assert end.poll(LIMIT_S), f"rank {rank} does not answer: it waits for another"
            done, answer = end.recv()
            assert done, f"rank {rank}: {answer}"
            answers.append(answer)
        return answers


@contextmanager
def joined(world_size: int) -> Iterator[Ranks]:
    """Start ranks, and stop them however this ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawning = torch.multiprocessing.get_context("spawn")
    pipes = [spawning.Pipe() for _ in range(world_size)]
    processes = [
        spawning.Process(target=_serve, args=(rank, world_size, port, end)) for rank, (_, end) in enumerate(pipes)
    ]
    try:
        for process, (_, theirs) in zip(processes, pipes, strict=True):
            process.start()
            theirs.close()
        yield Ranks(processes, [mine for mine, _ in pipes])
    finally:
        for mine, _ in pipes:
            mine.close()
        for process in processes:
            process.join(10)
            process.kill()


def _serve(rank: int, world_size: int, port: int, end: Any) -> None:
    """Join the group; then do what is asked for until nobody asks any more."""
    os.environ["GLOO_SOCKET_IFNAME"] = socket.if_indextoname(1)  # the loopback, whatever it is called here
    torch.set_num_threads(1)
    address, limit = f"tcp://127.0.0.1:{port}", timedelta(seconds=LIMIT_S)
    torch.distributed.init_process_group("gloo", address, limit, world_size, rank)
    while True:
        try:
            work, args = end.recv()
        except EOFError:
            return
        try:
            end.send((True, work(*args)))
        except Exception:
            end.send((False, traceback.format_exc()))
