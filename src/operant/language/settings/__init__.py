"""What a person may set of a run on a language model; torch-free."""
