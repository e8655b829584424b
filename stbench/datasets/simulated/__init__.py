"""The embedded default dataset: simulated tissue whose expected expression is known."""
