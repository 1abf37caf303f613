"""The loss model: what a linear(ized) network's loss curve must look like. No statistics here."""
