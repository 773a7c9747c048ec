"""Pages, pictures and videos of run folders."""
