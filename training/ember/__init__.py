"""Training of ember. Needs the extra ``[train]``; nothing else in the package imports it."""
