"""Generated data: sample corpora, and synthetic tasks from the literature."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.data.synthetic.counting import Counting as Counting
    from sluice.data.synthetic.execute import Execute as Execute
    from sluice.data.synthetic.memory_problems import Adding as Adding
    from sluice.data.synthetic.memory_problems import Copying as Copying
    from sluice.data.synthetic.memory_problems import Echo as Echo
    from sluice.data.synthetic.parallel import SampleParallel as SampleParallel
    from sluice.data.synthetic.reviews import SampleReviews as SampleReviews
    from sluice.data.synthetic.reviews import SampleText as SampleText
    from sluice.data.synthetic.tagging import SampleTagging as SampleTagging
    from sluice.data.synthetic.temporal_order import TemporalOrder as TemporalOrder
    from sluice.data.synthetic.text_pairs import SamplePairs as SamplePairs
    from sluice.data.synthetic.vec2seq import BookSentences as BookSentences
    from sluice.data.synthetic.vec2seq import LabelSentences as LabelSentences
    from sluice.data.synthetic.waves import Waves as Waves

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "counting": ["Counting"],
        "execute": ["Execute"],
        "memory_problems": ["Adding", "Copying", "Echo"],
        "parallel": ["SampleParallel"],
        "reviews": ["SampleReviews", "SampleText"],
        "tagging": ["SampleTagging"],
        "temporal_order": ["TemporalOrder"],
        "text_pairs": ["SamplePairs"],
        "vec2seq": ["BookSentences", "LabelSentences"],
        "waves": ["Waves"],
    },
)
