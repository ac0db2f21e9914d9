"""Weights of published networks, read from PyTorch's files without PyTorch."""
