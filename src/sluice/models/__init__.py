"""Networks put together from layers and recurrent stacks."""
