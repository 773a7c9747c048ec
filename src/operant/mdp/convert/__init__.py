"""Rows from the forms in which people have models (arrays, matrices, dictionaries), and into files."""
