"""What the samples are worth: distances to real pictures, diversity, copies, and the pictures.

Everything here takes plain uint8 arrays (N×S×S×3, RGB) and needs no downloaded weights. None of
it is FID, and none of it is called so.
"""
