"""RowAdagrad against its formula, with sparse and dense gradients."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from sluice.optim.row_adagrad import RowAdagrad, summed_rows

LR = 0.3


def gradients(steps: int = 3) -> list[tuple[Tensor, Tensor]]:
    """Ids, some repeated, and their rows."""
    draw = torch.Generator().manual_seed(2)
    return [(torch.randint(0, 6, (9,), generator=draw), torch.randn(9, 4, generator=draw)) for _ in range(steps)]


def sparse_gradient(ids: Tensor, rows: Tensor, words: int = 6) -> Tensor:
    return torch.sparse_coo_tensor(ids.unsqueeze(0), rows, (words, 4), check_invariants=True)


def stepped(table: Tensor, sparse: bool) -> Tensor:
    parameter = nn.Parameter(table.clone())
    optimizer = RowAdagrad([parameter], lr=LR)
    for ids, rows in gradients():
        gradient = sparse_gradient(ids, rows, len(table))
        parameter.grad = gradient if sparse else gradient.to_dense()
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("sparse", [True, False])
def test_step_equals_the_formula(sparse: bool) -> None:
    table = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    expected, squares = table.clone(), torch.zeros(8)
    for ids, rows in gradients():
        for word in ids.unique().tolist():
            row = rows[ids == word].sum(0)
            squares[word] += row.square().mean()
            expected[word] -= LR * row / squares[word].sqrt()
    found = stepped(table, sparse)
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[6:], table[6:]), "rows without a gradient are unchanged"


def test_rows_of_equal_ids_are_summed() -> None:
    ids, rows = gradients(1)[0]
    touched, summed = summed_rows(sparse_gradient(ids, rows))
    assert touched.tolist() == sorted(set(ids.tolist()))
    torch.testing.assert_close(summed, torch.zeros(6, 4).index_add_(0, ids, rows)[touched])


def test_parameters_of_any_shape_are_updated() -> None:
    module = nn.Conv1d(2, 3, 2)
    scalar = nn.Parameter(torch.tensor(1.0))
    optimizer = RowAdagrad([*module.parameters(), scalar], lr=LR)
    before = [parameter.detach().clone() for parameter in (*module.parameters(), scalar)]
    (module(torch.ones(1, 2, 3)).sum() * scalar).backward()
    optimizer.step()
    after = [*module.parameters(), scalar]
    assert all((was != now).any() for was, now in zip(before, after, strict=True))


def test_loaded_state_continues_identically() -> None:
    first, second = gradients(2)
    table = nn.Parameter(torch.ones(6, 4))
    optimizer = RowAdagrad([table], lr=LR)
    table.grad = sparse_gradient(*first)
    optimizer.step()
    other = nn.Parameter(table.detach().clone())
    restored = RowAdagrad([other], lr=LR)
    restored.load_state_dict(deepcopy(optimizer.state_dict()))
    for parameter, own in ((table, optimizer), (other, restored)):
        parameter.grad = sparse_gradient(*second)
        own.step()
    assert torch.equal(table, other)


def test_invalid_learning_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="lr must be above 0, got 0"):
        RowAdagrad([nn.Parameter(torch.ones(1))], lr=0)
