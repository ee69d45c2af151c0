"""From Datasets to batches in memory, without torch: what is loaded, how it is made, ahead of time and used again."""
