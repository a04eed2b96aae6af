"""How ember was made. Needs the extra ``[train]``; nothing else in the package imports it."""
