"""Lightning callbacks: checkpoints, training state, progress, metrics, and examples for TensorBoard."""

from typing import TYPE_CHECKING

from sluice.lazy import lazy_exports

if TYPE_CHECKING:
    from sluice.callbacks.averaged_weights import AveragedWeights as AveragedWeights
    from sluice.callbacks.checkpoints import AtomicCheckpointIO as AtomicCheckpointIO
    from sluice.callbacks.checkpoints import BestCheckpoint as BestCheckpoint
    from sluice.callbacks.checkpoints import LastCheckpoint as LastCheckpoint
    from sluice.callbacks.generated_text import GeneratedText as GeneratedText
    from sluice.callbacks.last_epochs import LastEpochs as LastEpochs
    from sluice.callbacks.misclassified import Misclassified as Misclassified
    from sluice.callbacks.progress import ProgressBar as ProgressBar
    from sluice.callbacks.progress import ProgressLines as ProgressLines
    from sluice.callbacks.progress import make_progress as make_progress
    from sluice.callbacks.stop_on_nan import StopOnNaN as StopOnNaN
    from sluice.callbacks.training_monitor import PairThroughput as PairThroughput
    from sluice.callbacks.training_monitor import Throughput as Throughput
    from sluice.callbacks.training_monitor import TrainingMonitor as TrainingMonitor
    from sluice.callbacks.training_state import TrainingState as TrainingState
    from sluice.callbacks.translations import Translations as Translations
    from sluice.callbacks.weight_averaging import ExponentialMovingAverage as ExponentialMovingAverage
    from sluice.callbacks.weight_averaging import StochasticWeightAverage as StochasticWeightAverage
    from sluice.callbacks.weight_averaging import TrainingAverage as TrainingAverage

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "averaged_weights": ["AveragedWeights"],
        "checkpoints": ["AtomicCheckpointIO", "BestCheckpoint", "LastCheckpoint"],
        "generated_text": ["GeneratedText"],
        "last_epochs": ["LastEpochs"],
        "misclassified": ["Misclassified"],
        "progress": ["ProgressBar", "ProgressLines", "make_progress"],
        "stop_on_nan": ["StopOnNaN"],
        "training_monitor": ["PairThroughput", "Throughput", "TrainingMonitor"],
        "training_state": ["TrainingState"],
        "translations": ["Translations"],
        "weight_averaging": ["ExponentialMovingAverage", "StochasticWeightAverage", "TrainingAverage"],
    },
)
