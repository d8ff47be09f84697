"""What the engine is worth: `make bench`, and `python -m bench.gpu` where there is a GPU. Nothing here is imported by the library."""
