"""Fine-tuning: train the upper blocks of the base on, from the trained head."""
