"""Speed measurements: `make bench`, and `python -m bench.gpu` on a GPU. The library imports nothing from here."""
