"""What bench/scale.py is made of: the pictures, and what a command and its children used."""
