"""Checks that validation logs the monitored metrics, and that their best value is the one that is selected."""

from sluice.config.fields import shown
from sluice.config.schema import Config
from sluice.errors import UserError

MINIMISED = ("loss", "perplexity", "rmse", "last_step")
"""Validation metrics of which smaller values are better; of the others of Sluice larger ones are."""

MINIMISING = ("EarlyStopping", "ModelCheckpoint")
"""Callbacks of Lightning whose default mode is "min"."""


def check_monitors(config: Config, known: list[str]) -> None:
    """Checks before training that validation logs the monitored metrics, and that their best value is selected.

    Args:
        config: the configuration.
        known: the metrics that validation logs; empty if they are not known in advance.

    Raises:
        UserError: for a metric that validation doesn't log, or a mode that selects the worst value of one of Sluice's.
    """
    monitors = {"task.monitor": config.task.monitor}
    for name, spec in (config.callbacks or {}).items():
        monitor = spec.get("monitor") if isinstance(spec, dict) else None
        if monitor is not None and not str(monitor).startswith("train/"):  # checked early
            monitors[f"callbacks.{name}.monitor"] = spec["monitor"]
    if (config.scheduler or {}).get("monitor") is not None:
        monitors["scheduler.monitor"] = str((config.scheduler or {})["monitor"])
    for key, metric in monitors.items():
        if known and metric not in known:
            raise UserError(f"{key}={metric} cannot be used: it must be one of {', '.join(known)}")
    _check_modes(config, known)


def _check_modes(config: Config, known: list[str]) -> None:
    given = {"task": (config.task.monitor, config.task.mode)}
    for name, spec in (config.callbacks or {}).items():
        if isinstance(spec, dict) and ("mode" in spec or str(spec.get("_target_")).endswith(MINIMISING)):
            given[f"callbacks.{name}"] = (str(spec.get("monitor")), spec.get("mode", "min"))
    schedule = config.scheduler or {}
    if (
        str(schedule.get("_target_")).endswith(("ReduceLROnPlateau", ".plateau"))
        and {"mode", "monitor"} & schedule.keys()
    ):
        mode = schedule.get("mode") or config.task.mode
        given["scheduler"] = (schedule.get("monitor") or config.task.monitor, mode)
    for key, (metric, mode) in given.items():
        expected = "min" if metric.rpartition("/")[2].startswith(MINIMISED) else "max"
        if metric in known and mode != expected:
            raise UserError(
                f"{key}.monitor={metric} cannot be combined with {key}.mode={shown(mode)}: set it to {expected}"
            )
