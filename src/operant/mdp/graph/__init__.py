"""What follows from which transitions are possible, whatever their probabilities."""
