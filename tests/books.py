"""Small generated texts for language models, and settings of runs on them."""

import random
from pathlib import Path

SMALL = (
    *("trainer.accelerator=cpu", "model.hidden_size=8", "embedding.size=8", "trainer.max_epochs=2"),
    *("trainer.log_every_n_steps=1", "task.data.batch_size=4", "task.data.chunk_length=20", "task.sample_tokens=5"),
)
SAMPLE = ("task=wikitext2", "task.data.source=sample", "task.data.sample_size=20", "task.data.test_streams=20", *SMALL)
"""A run of a second on the generated sample."""

ANIMALS = ("cat", "dog", "bird", "fox", "owl")
PLACES = ("house", "wood", "garden", "town")


def write_book(path: Path, lines: int, seed: int) -> Path:
    """Writes random sentences of a small vocabulary."""
    draw = random.Random(seed)
    sentences = (
        f"The {draw.choice(ANIMALS)}, it's said, saw the {draw.choice(ANIMALS)} in the {draw.choice(PLACES)}."
        for _ in range(lines)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")
    return path
