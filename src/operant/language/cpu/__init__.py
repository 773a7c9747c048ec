"""Hand-written passes for the processor; each stands behind one door and equals the readable path."""
