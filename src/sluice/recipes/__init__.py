"""One recipe per task: from its settings to its data and LightningModule, and the use of its checkpoints."""
