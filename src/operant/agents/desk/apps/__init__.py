"""The apps of the desk: importing one offers its endpoints."""
