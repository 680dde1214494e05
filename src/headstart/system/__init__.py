"""What every room uses: settings, progress, the Keras worker process, optional packages, GPU, cost."""
