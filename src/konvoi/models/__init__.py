"""Networks: plain torch modules, one file a family. Knows nothing of data."""
