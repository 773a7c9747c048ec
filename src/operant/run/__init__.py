"""What runs a training loop: job, drain, run folder, checkpoints, faults, progress, metrics. It knows no world."""
