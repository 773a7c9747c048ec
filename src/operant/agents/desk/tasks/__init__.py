"""Templates of tasks: importing one of the modules registers them."""
