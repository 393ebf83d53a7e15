"""Statistics of belief: arrays or frames in, frozen results with intervals out. Nothing here reads a file."""
