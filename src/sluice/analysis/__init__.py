"""Hidden states, gradients and embedding spaces of trained networks: computed here, drawn in plots."""
