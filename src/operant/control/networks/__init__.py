"""Networks that see pictures, named parts and the past; perceptrons stand in `operant.control.mlp`."""
