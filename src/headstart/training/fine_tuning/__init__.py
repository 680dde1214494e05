"""Fine-tuning: train the upper blocks of the base, starting from the trained head."""
