"""Every cell learns to remember the first token of a sequence of random tokens."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sluice.recurrent import CELLS, OneHot, RecurrentStack

TOKENS, STEPS, BATCH, UNITS = 4, 8, 32, 64
UPDATES, RATE = 300, 2e-3
"""All cells reach 1.0 with every seed tried (twelve for the ReLU cell, whose units die at a higher rate)."""
CELLS_OF_SLUICE = sorted(name for name, cell in CELLS.items() if cell.__module__.startswith("sluice."))


class LastStateClassifier(nn.Module):
    """Classifies each sequence by the last state of a recurrent layer."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.stack = RecurrentStack(cell=cell, input_size=TOKENS, hidden_size=UNITS, one_hot=True)
        self.output = nn.Linear(UNITS, TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        lengths = torch.full((len(tokens),), STEPS)
        logits: Tensor = self.output(self.stack(OneHot(tokens, TOKENS), lengths).state.hidden[-1])
        return logits


class LastTokenClassifier(nn.Linear):
    """Classifies each sequence by its last token alone."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(F.one_hot(tokens[:, -1], TOKENS).float())


def accuracy_after_training(model: nn.Module, draw: torch.Generator) -> float:
    """Accuracy on new sequences; the class of a sequence is its first token."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(UPDATES):
        tokens = torch.randint(TOKENS, (BATCH, STEPS), generator=draw)
        loss = F.cross_entropy(model(tokens), tokens[:, 0])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    fresh = torch.randint(TOKENS, (1000, STEPS), generator=draw)
    with torch.no_grad():
        return (model(fresh).argmax(-1) == fresh[:, 0]).float().mean().item()


@pytest.mark.parametrize("cell", CELLS_OF_SLUICE)
def test_cell_remembers_the_first_token(cell: str) -> None:
    torch.manual_seed(1)
    assert accuracy_after_training(LastStateClassifier(cell), torch.Generator().manual_seed(1)) >= 0.99


def test_last_token_does_not_predict_the_first() -> None:
    torch.manual_seed(1)
    assert accuracy_after_training(LastTokenClassifier(TOKENS, TOKENS), torch.Generator().manual_seed(1)) < 0.35
