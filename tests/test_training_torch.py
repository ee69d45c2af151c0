"""A moment's training takes the steps that torch's own Adam takes, and loads no compiler for it."""

import subprocess
import sys

import torch

from bigearth_xr.learn import SCNN, fit

TRAINED = """
import sys, torch
from bigearth_xr.learn import SCNN, fit
fit(SCNN(bands=2, labels=4), lambda epoch: torch.rand(4, 2, 20, 20), torch.eye(4), epochs=2)
print("torch._dynamo" in sys.modules)
"""


def test_steps_are_those_of_adam() -> None:
    torch.manual_seed(0)
    images, labels = torch.rand(5, 6, 2, 24, 24), (torch.rand(6, 4) < 0.5).float()
    ours, theirs = SCNN(bands=2, labels=4), SCNN(bands=2, labels=4)
    theirs.load_state_dict(ours.state_dict())
    losses = fit(ours, lambda epoch: images[epoch], labels, epochs=5, learning_rate=3e-3)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=3e-3)
    expected = []
    for batch in images:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(theirs(batch), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimizer.step()
        expected.append(loss.item())
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-4, atol=1e-5)
    for ours_now, theirs_now in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours_now, theirs_now, rtol=1e-3, atol=1e-5)


def test_no_compiler_is_loaded() -> None:
    run = subprocess.run([sys.executable, "-c", TRAINED], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
