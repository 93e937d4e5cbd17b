"""Packages and programs that are downloaded: pinned, checked, and kept in folders of ours."""
