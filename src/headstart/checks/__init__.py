"""Finds mistakes in users' own Keras transfer learning: scripts, notebooks and model files.

Scripts and model files are converted to networks of layers (``network.py``); the rules look at these networks.
"""
