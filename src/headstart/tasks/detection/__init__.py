"""Object detection: a box, a class and a score for each object in an image."""
