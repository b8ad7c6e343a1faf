"""Coverage-guided fuzzing of all that decodes what strangers send: ``fuzz.py`` runs it."""
