"""From arrays, functions, tables, logs and maps to models."""
