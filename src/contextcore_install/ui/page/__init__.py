"""The page: an installation's story for a browser, live or as one file to keep. One renderer serves both.

`story` folds a run's events, `document` makes the JSON that the page is drawn from, `html` puts the page together,
and the scripts in `assets` draw it: pure functions from that JSON to elements.
"""
