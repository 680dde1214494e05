"""Explanations of predictions: heat maps of images, weights of words, similar training examples."""
