"""Pictures that stop other programs, and odd ones that are pictures all the same."""
