"""The result page: one HTML file that works offline, with everything a run has to show."""
