"""The page: an installation for a browser, live or as one file; the scripts in `assets` draw it from one document."""
