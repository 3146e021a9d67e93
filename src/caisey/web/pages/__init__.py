"""One file per group of pages; each has `PAGES`, which `table.py` puts together."""
