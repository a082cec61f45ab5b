"""The language model, read through TransformerLens: loading, sites, activations, spliced losses."""
