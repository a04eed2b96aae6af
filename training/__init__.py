"""How the weights that ship were made. Not part of the wheel."""
