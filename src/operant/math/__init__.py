"""Tensors in, tensors out; imports torch and nothing of ours."""
