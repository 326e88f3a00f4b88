"""What may be chosen of any cell."""

from dataclasses import dataclass

from sluice.recurrent.activations import find_activation
from sluice.recurrent.initialisers import INITIALISERS


@dataclass(frozen=True, kw_only=True)
class CellOptions:
    """What may be chosen of any cell."""

    activation: str | None = None
    """f of the new state (f_h of an LSTM, which squashes the cell state); None for the cell's own."""
    cell_activation: str | None = None
    """f_c, of what enters an LSTM's cell state; None for the cell's own."""
    forget_bias: float = 1.0
    """Initial bias of the gate that keeps the old state; cells without one ignore it."""
    recurrent_dropout: float = 0.0
    """Share of the hidden units the recurrent product doesn't see, the same at every step of a sequence."""
    weight_dropout: float = 0.0
    """Share of the recurrent weights dropped, anew at every call (DropConnect)."""
    recurrent_init: str = "orthogonal"
    """How each gate's recurrent matrix begins: "orthogonal" or "xavier"."""
    layernorm_init_gain: float | None = None
    """Initial gain of a layer-normalised recurrent product; None for the cell's own, cells without one ignore it."""

    def check(self) -> None:
        """
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
            raise ValueError(f"there is no recurrent_init {self.recurrent_init!r}; there are {known}")
