"""Trains a model: python train.py model=lstm task=imdb"""

from pathlib import Path

from sluice.cli.train import main

if __name__ == "__main__":
    main(Path(__file__).resolve().parent / "conf")
