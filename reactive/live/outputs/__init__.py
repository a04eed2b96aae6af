"""Outputs: the running picture for the programs of a stage, each behind the one interface of `sink`."""
