"""Several processes, joined by ``torch.distributed``, share an epoch without being told who they are."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fit_by_lightning
import pytest
import torch
from ranks import LIMIT_S, Ranks, joined
from torch.nn.parallel import DistributedDataParallel

import bigearth_xr as bex
from bigearth_xr.torch import Augmentation, PatchLoader

PAIRS = 23
WORLD_SIZE = 2


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bex.testing.write_store(tmp_path_factory.mktemp("store") / "ben.zarr", pairs=PAIRS)


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    with joined(WORLD_SIZE) as ranks:
        yield ranks


def loader_of(path: Path, split: str | None = None, **options: Any) -> PatchLoader:
    usual: Any = {"batch_size": 4, "bands": ["B04", "VV"], "device": "cpu", "threads": 1}
    return PatchLoader(bex.open(path).ben.select(split=split), **(usual | options))


def passed(path: Path, options: dict[str, Any]) -> tuple[list[list[int]], int]:
    """Rows of one pass, batch by batch, and the padding that is reported; on one rank."""
    loader = loader_of(path, **options)
    rows = [batch.row.tolist() for batch in loader]
    assert len(rows) == len(loader)
    torch.distributed.barrier()
    return rows, loader.padding


def handed_over(loader: PatchLoader) -> tuple[list[list[int]], int]:
    """Rows of one pass of a loader that was made elsewhere."""
    return [batch.row.tolist() for batch in loader], loader.padding


def flat(batches: list[list[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


def test_ranks_take_as_many_steps_to_train(path: Path, ranks: Ranks) -> None:
    (first, padding), (second, same) = ranks.do(passed, path, {})
    assert [len(batch) for batch in first] == [len(batch) for batch in second] == [4, 4, 4]
    assert padding == same == len(flat(first) + flat(second)) - PAIRS == 1
    assert set(flat(first) + flat(second)) == set(range(PAIRS))
    assert first == [batch.row.tolist() for batch in loader_of(path, rank=0, world_size=WORLD_SIZE)]


def test_ranks_see_each_patch_once_to_evaluate(path: Path, ranks: Ranks) -> None:
    (first, padding), (second, _) = ranks.do(passed, path, {"shuffle": False})
    assert flat(first) + flat(second) == list(range(PAIRS))
    assert padding == 0


def test_a_rank_that_is_given_wins(path: Path, ranks: Ranks) -> None:
    for rows, _ in ranks.do(passed, path, {"rank": 0, "world_size": 1}):
        assert sorted(flat(rows)) == list(range(PAIRS))


@pytest.mark.parametrize("cache", [None, "host"])
def test_a_loader_made_before_processes_are_joined_takes_its_share(path: Path, ranks: Ranks, cache: Any) -> None:
    loader = loader_of(path, cache=cache)
    assert len(loader) == 6
    for rank, (rows, padding) in enumerate(ranks.do(handed_over, loader)):
        alone = loader_of(path, cache=cache, rank=rank, world_size=WORLD_SIZE)
        assert (rows, padding) == ([batch.row.tolist() for batch in alone], 1)
    for rows, _ in ranks.do(handed_over, loader_of(path, rank=0, world_size=1)):
        assert len(flat(rows)) == PAIRS


def model_of() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(2, 4, 8, 8), torch.nn.Flatten(), torch.nn.Linear(4 * 15 * 15, 19))


def loss_of(model: torch.nn.Module, batch: Any) -> torch.Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(model(batch.image), batch.labels)


def trained(path: Path) -> list[torch.Tensor]:
    """Weights after an epoch, trained by all ranks together."""
    model = DistributedDataParallel(model_of())
    descent = torch.optim.SGD(model.parameters(), lr=0.01)
    for batch in loader_of(path):
        descent.zero_grad()
        torch.autograd.backward(loss_of(model, batch))
        descent.step()
    return [weights.detach().clone() for weights in model.parameters()]


def test_gradients_are_those_of_all_ranks(path: Path, ranks: Ranks) -> None:
    first, second = ranks.do(trained, path)
    model = model_of()
    descent = torch.optim.SGD(model.parameters(), lr=0.01)
    shares = [loader_of(path, rank=rank, world_size=WORLD_SIZE) for rank in range(WORLD_SIZE)]
    for batches in zip(*shares, strict=True):
        descent.zero_grad()
        torch.autograd.backward(torch.stack([loss_of(model, batch) for batch in batches]).mean())
        descent.step()
    for mine, theirs, alone in zip(first, second, model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        torch.testing.assert_close(mine, alone.detach(), rtol=1e-4, atol=1e-5)


def begun(path: Path, options: dict[str, Any]) -> tuple[dict[str, Any], list[torch.Tensor]]:
    """State after the first batch of the second epoch, and the batches that follow; on one rank."""
    loader = loader_of(path, **options)
    list(loader)
    passing = iter(loader)
    next(passing)
    state = loader.state_dict()
    return state, [batch.image for batch in passing]


def resumed(path: Path, options: dict[str, Any], state: dict[str, Any]) -> list[torch.Tensor]:
    loader = loader_of(path, **options)
    loader.load_state_dict(state)
    return [batch.image for batch in loader]


def test_every_rank_goes_on_from_the_state_of_the_first(path: Path, ranks: Ranks) -> None:
    # Trainers keep that of the first alone.
    options = {"augment": Augmentation(noise_std=0.1)}
    (state, *_), _ = begins = ranks.do(begun, path, options)
    for (_, expected), images in zip(begins, ranks.do(resumed, path, options, state), strict=True):
        assert len(images) == 2
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(images, expected, strict=True))


def run(command: list[str], log: Path) -> None:
    """Run a script, and whatever it starts, within the time limit."""
    loopback = os.environ | {"GLOO_SOCKET_IFNAME": socket.if_indextoname(1)}
    with log.open("w") as said:
        # In a session of its own, which the second rank is of too, as Lightning starts it.
        script = subprocess.Popen(command, stdout=said, stderr=said, env=loopback, start_new_session=True)
        try:
            assert script.wait(LIMIT_S) == 0, log.read_text()
        finally:
            if script.poll() is None:
                os.killpg(script.pid, signal.SIGKILL)
                script.wait()


def test_lightning_trains_on_two_ranks_and_resumes_in_an_epoch(tmp_path: Path) -> None:
    store = bex.testing.write_store(tmp_path / "ben.zarr", pairs=41)
    run([sys.executable, fit_by_lightning.__file__, str(tmp_path)], tmp_path / "log")
    validated = []
    for rank in range(WORLD_SIZE):
        options: Any = {"batch_size": 2, "rank": rank, "world_size": WORLD_SIZE}
        loader = loader_of(store, "train", **options)
        expected = [batch.row.tolist() for _ in range(2) for batch in loader]
        (rows, seen), (again, _) = (
            json.loads((tmp_path / f"{name}-{rank}.json").read_text()) for name in ("whole", "resumed")
        )
        assert rows == expected
        assert again == expected[3:]
        validated += seen
        early = [batch.row.tolist() for batch in loader_of(store, **options)]
        overfitted = [batch.row.tolist() for batch in loader_of(store, "train", **options, shuffle=False, pad=True)]
        for name, rows in (("early-True", early), ("early-False", early), ("overfitted", 2 * overfitted[:2])):
            assert json.loads((tmp_path / f"{name}-{rank}.json").read_text()) == rows
    assert sorted(validated) == sorted(2 * bex.open(store).ben.select(split="validation").row.values.tolist())
