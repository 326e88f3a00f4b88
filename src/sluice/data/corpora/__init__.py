"""Corpora: published ones, found or downloaded, user-supplied files, and texts in memory."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.data.corpora.imdb import resolve_imdb as resolve_imdb
    from sluice.data.corpora.in_memory import LabelledTexts as LabelledTexts
    from sluice.data.corpora.in_memory import SentencePairs as SentencePairs
    from sluice.data.corpora.in_memory import TextLines as TextLines
    from sluice.data.corpora.multi30k import resolve_multi30k as resolve_multi30k
    from sluice.data.corpora.parallel_files import ParallelFiles as ParallelFiles
    from sluice.data.corpora.penn_treebank import resolve_ptb as resolve_ptb
    from sluice.data.corpora.tables import LabelledTable as LabelledTable
    from sluice.data.corpora.tables import PairTable as PairTable
    from sluice.data.corpora.tagged_files import TagColumns as TagColumns
    from sluice.data.corpora.tagged_files import TaggedFiles as TaggedFiles
    from sluice.data.corpora.text_files import TextFiles as TextFiles
    from sluice.data.corpora.wikitext import resolve_wikitext2 as resolve_wikitext2

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "imdb": ["resolve_imdb"],
        "in_memory": ["LabelledTexts", "SentencePairs", "TextLines"],
        "multi30k": ["resolve_multi30k"],
        "parallel_files": ["ParallelFiles"],
        "penn_treebank": ["resolve_ptb"],
        "tables": ["LabelledTable", "PairTable"],
        "tagged_files": ["TagColumns", "TaggedFiles"],
        "text_files": ["TextFiles"],
        "wikitext": ["resolve_wikitext2"],
    },
)
