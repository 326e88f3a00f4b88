"""Greedy search, beam search and sampling over a step function."""

from sluice.decoding.beam import beam_search
from sluice.decoding.greedy import greedy_search
from sluice.decoding.length_penalty import LengthPenalty
from sluice.decoding.sampling import Continuations, fixed_length_beam_search, sample
from sluice.decoding.search import DecodingSettings, decode
from sluice.decoding.steps import Hypothesis, SearchState, StepFunction, StepOutput
from sluice.decoding.unk_replacement import replace_unknowns

__all__ = [
    "Continuations",
    "DecodingSettings",
    "Hypothesis",
    "LengthPenalty",
    "SearchState",
    "StepFunction",
    "StepOutput",
    "beam_search",
    "decode",
    "fixed_length_beam_search",
    "greedy_search",
    "replace_unknowns",
    "sample",
]
