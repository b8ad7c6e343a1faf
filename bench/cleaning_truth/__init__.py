"""Truth for bench/cleaning.py, composed from any photos: copies, collages and hostile files."""
