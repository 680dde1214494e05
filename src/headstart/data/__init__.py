"""Stage 2 of 7, data: takes files or tables, gives a Dataset, its audit and its split; next: features."""

from headstart.data.audit import Finding, audit
from headstart.data.dataset import Dataset, Skipped, list_images, load_dataset
from headstart.data.images import Decoder
from headstart.data.split import split

__all__ = ["Dataset", "Decoder", "Finding", "Skipped", "audit", "list_images", "load_dataset", "split"]
