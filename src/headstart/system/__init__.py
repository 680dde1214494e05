"""What every room uses: settings, console, the Keras worker process, optional packages, GPU, cost."""
