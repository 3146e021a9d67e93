"""The console: pages that a technician works with in a browser.

Owns how things are shown, and nothing else: every page reads and writes through the JSON API in process, as the person
who asks (`inside.py`). It imports `control` and `core`, never `api`.
"""
