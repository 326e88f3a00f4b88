"""Embeddings, dropout, pooling, attention and output layers."""
