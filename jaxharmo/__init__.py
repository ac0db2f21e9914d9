"""CT harmonization across scanners and reconstruction kernels, in JAX/Flax."""
