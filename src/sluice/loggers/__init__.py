"""metrics.csv and TensorBoard, both fit for resuming."""
