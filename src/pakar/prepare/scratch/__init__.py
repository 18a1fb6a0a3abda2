"""Pre-training from scratch: the base model is made from the sources themselves before anything else happens."""
