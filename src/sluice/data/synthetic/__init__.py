"""Tasks made by a program, after the experiments that the papers made with them."""
