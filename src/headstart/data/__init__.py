"""Stage 2 of 7, data: takes files or tables, gives a Dataset, its audit and its split; next: features."""

from headstart.data.dataset import Dataset, load_dataset
from headstart.data.example_rows import Skipped
from headstart.data.images import Decoder

__all__ = ["Dataset", "Decoder", "Skipped", "load_dataset"]
