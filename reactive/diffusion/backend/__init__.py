"""Where and how a model computes: device, memory, graphs, threads, overflow, folded convolutions."""
