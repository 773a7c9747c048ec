"""Learning from demonstrations: what an expert did, or says should be done."""
