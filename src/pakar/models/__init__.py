"""Base models, adapters and tokenizers: found, checked, loaded; and the one renderer of prompts."""
