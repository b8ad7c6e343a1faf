"""Finding and fetching pictures: sources, browser, downloads, and the embedded gallery."""
