"""Tools that made the bundled weights, pictures and tables. Not part of the wheel."""
