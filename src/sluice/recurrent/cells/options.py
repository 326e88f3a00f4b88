"""Options of the cells."""

from dataclasses import dataclass

from sluice.recurrent.activations import find_activation
from sluice.recurrent.initialisers import INITIALISERS


@dataclass(frozen=True, kw_only=True)
class CellOptions:
    """Options of a cell.

    Example:
        >>> from sluice.recurrent import RecurrentStack
        >>> options = CellOptions(forget_bias=2.0, recurrent_dropout=0.25)
        >>> stack = RecurrentStack(cell="lstm", input_size=5, hidden_size=4, options=options)
        >>> stack.cells[0].bias_ih.chunk(4)[1].tolist()
        [2.0, 2.0, 2.0, 2.0]
    """

    activation: str | None = None
    """f of the new state (f_h of an LSTM, applied to the cell state); None for the cell's default."""
    cell_activation: str | None = None
    """f_c of an LSTM, applied to the candidate; None for the cell's default."""
    forget_bias: float = 1.0
    """Initial bias of the forget gate; a GRU's update gate starts at this value minus 1. Ignored by other cells."""
    recurrent_dropout: float = 0.0
    """Dropout probability of the hidden units in the recurrent product, one mask for all steps of a sequence."""
    weight_dropout: float = 0.0
    """Dropout probability of the recurrent weights, sampled once per call (DropConnect)."""
    recurrent_init: str = "orthogonal"
    """Initialiser of each gate's recurrent matrix: "orthogonal", "xavier", or "uniform", which initialises all weights
    and biases as torch.nn does; `forget_bias` is added to it."""
    layernorm_init_gain: float | None = None
    """Initial gain of a layer-normalised recurrent product; None for the cell's default; ignored by other cells."""

    def check(self) -> None:
        """Checks the options.

        Raises:
            ValueError: for a dropout outside [0, 1), a gain of 0 or less, an unknown activation or initialiser.
        """
        for name in ("recurrent_dropout", "weight_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.layernorm_init_gain is not None and self.layernorm_init_gain <= 0:
            raise ValueError(f"layernorm_init_gain must be above 0, got {self.layernorm_init_gain}")
        for activation in (self.activation, self.cell_activation):
            if activation is not None:
                find_activation(activation)
        if self.recurrent_init not in INITIALISERS:
            known = ", ".join(sorted(INITIALISERS))
            raise ValueError(f"unknown recurrent_init {self.recurrent_init!r}: expected one of {known}")
