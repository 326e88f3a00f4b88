"""Trained models in use: classes of texts, generated text, translations, perplexities."""
