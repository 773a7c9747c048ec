"""One file per algorithm that trains a language model."""
