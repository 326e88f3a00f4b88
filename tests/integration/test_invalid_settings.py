"""Invalid settings are reported in one sentence that names the valid ones."""

from pathlib import Path

import pytest

from running import CONF, TINY, error_of, joined, sluice, train

MODELS = ", ".join(sorted(file.stem for file in (CONF / "model").glob("*.yaml")))
CELLS = MODELS.replace("none, ", "")
UNKNOWN = [
    (["model=foo"], f"there is no model=foo: there are {MODELS}"),
    (["model=lstn"], "did you mean lstm?"),
    (["task=foo"], "there is no task=foo: there are adding, copy, corpus, "),
    (
        ["embedding=one_hot"],
        "there is no embedding=one_hot: there are index, learned, onehot, pretrained (did you mean onehot?)",
    ),
    (["experiment=foo"], "there is no experiment=foo: there are "),
    (["optimizer=foo"], "there is no optimizer=foo: there are adam, adamw"),
    (["sed=1"], "there is no setting 'sed': the top level has task, model"),
    (["sed=1"], "(did you mean seed?)"),
    (["+foo=1"], "there is no setting 'foo': the top level has task, model"),
    (["nogroup=lstm"], "there is no setting 'nogroup'"),
    (["+nogroup=lstm"], "there is no setting 'nogroup'"),
    (["model.hiden_size=4"], "(did you mean hidden_size?)"),
    (["+model.foo=4"], "there is no setting 'model.foo': model has name, cell, module, hidden_size"),
    (["task.data.batchsize=3"], "task.data has batch_size, global_batch_size, max_tokens"),
    (["task.data.batchsize=3"], "(did you mean batch_size?)"),
    (["+task.data.foo=3"], "there is no setting 'task.data.foo': task.data has batch_size"),
    (["paths.foo=1"], "paths has data_dir, cache_dir, output_dir"),
    (["optimizer.foo=1"], "optimizer.foo"),
    (["+optimizer.foo=1"], "optimizer cannot be built: AdamW.__init__() got an unexpected keyword argument 'foo'"),
    (["+scheduler.foo=1"], "scheduler cannot be built: one_cycle() got an unexpected keyword argument 'foo'"),
    (["+trainer.foo=1"], "trainer cannot be built: Trainer.__init__() got an unexpected keyword argument 'foo'"),
    (
        ["optimizer._target_=torch.optim.Foo"],
        "optimizer._target_=torch.optim.Foo cannot be used: it must be the dotted name",
    ),
    (["--seed=1"], "there is no option --seed=1: settings are written key=value"),
    (["task.monitor=val/foo"], "task.monitor=val/foo cannot be used: it must be one of val/loss, val/accuracy"),
    (["callbacks.early_stopping.monitor=val/foo"], "callbacks.early_stopping.monitor=val/foo cannot be used"),
]
MALFORMED = [
    (["="], "key=value"),
    (["foo"], "'foo' cannot be parsed: write settings as key=value"),
    (["init_from=[1"], "'init_from=[1' cannot be parsed"),
    (["seed=1,2"], "seed=1,2': add -m for a sweep"),
    (["optimizer=null"], "optimizer=null cannot be used: optimizer is a group"),
    (["task.data.batch_size="], "task.data.batch_size= cannot be used: it must be a whole number"),
    (["task.data.batch_size=x"], "task.data.batch_size=x cannot be used: it must be a whole number"),
    (["model.hidden_size=4.5"], "model.hidden_size=4.5 cannot be used: it must be a whole number"),
    (["model.dropout=much"], "model.dropout=much cannot be used: it must be a number"),
    (["model.bidirectional=maybe"], "model.bidirectional=maybe cannot be used: it must be true or false"),
    (["seed=null"], "seed=null cannot be used: it must not be null"),
    (["trainer.max_epochs=x"], "trainer.max_epochs=x cannot be used: it must be a whole number"),
    (["optimizer.lr=-1"], "optimizer cannot be built: Invalid learning rate: -1"),
]
OUT_OF_RANGE = [
    (["model.hidden_size=-1"], "model.hidden_size=-1 cannot be used: it must be at least 1"),
    (["model.num_layers=0"], "model.num_layers=0 cannot be used: it must be at least 1"),
    (["embedding.size=0"], "embedding.size=0 cannot be used: it must be at least 1"),
    (["seed=-1"], "seed=-1 cannot be used: it must be at least 0"),
    (["task.data.batch_size=0"], "task.data.batch_size=0 cannot be used: it must be at least 1"),
    (["task.data.batch_size=-8"], "task.data.batch_size=-8 cannot be used: it must be at least 1"),
    (["task.data.max_length=0"], "task.data.max_length=0 cannot be used: it must be at least 1"),
    (["task.data.max_tokens=3"], "task.data.max_tokens=3 cannot be used: it must be at least task.data.max_length=400"),
    (["task.data.sample_size=3"], "task.data.sample_size=3 cannot be used: it must be at least 20"),
    (["task.data.validation_fraction=1"], "it must be above 0 and below 1"),
    (["task.max_epochs=0"], "task.max_epochs=0 cannot be used: it must be at least 1"),
    (["trainer.max_epochs=0"], "trainer.max_epochs=0 cannot be used"),
    (["trainer.max_epochs=-1"], "trainer.max_epochs=-1 cannot be used"),
    (["trainer.limit_val_batches=0"], "trainer.limit_val_batches=0 cannot be used"),
    (["model.dropout=1"], "model.dropout=1.0 cannot be used: it must be at least 0 and below 1"),
    (["model.dropout=1.5"], "model.dropout=1.5 cannot be used"),
    (["model.dropout=-0.1"], "model.dropout=-0.1 cannot be used"),
    (["model.input_dropout=1"], "model.input_dropout=1.0 cannot be used"),
    (["task.output_dropout=1"], "task.output_dropout=1.0 cannot be used"),
    (["embedding.word_dropout=1"], "embedding.word_dropout=1.0 cannot be used"),
    (["task.label_smoothing=1"], "task.label_smoothing=1.0 cannot be used"),
    (["task.segment_length=0"], "task.segment_length=0 cannot be used"),
    (["task.pooling=foo"], "it must be one of last, max, mean, max_mean, attention"),
    (["task.mode=up"], "it must be one of max, min"),
    (["task.data.source=foo"], "it must be one of auto, local, download, sample"),
    (["task.data.truncation=middle"], "it must be one of head, tail, head_tail"),
    (["task.text.tokenizer=foo"], "it must be one of basic_english, whitespace"),
    (["model.cell=foo"], f"there is no model.cell=foo: there are {CELLS}"),
    (["model.recurrent_dropout=1"], "model.recurrent_dropout=1.0 cannot be used: it must be at least 0 and below 1"),
    (["model.weight_dropout=-0.1"], "model.weight_dropout=-0.1 cannot be used: it must be at least 0 and below 1"),
    (["model.activation=foo"], "model.activation=foo cannot be used: it must be one of tanh, relu, "),
    (["model.cell_activation=foo"], "model.cell_activation=foo cannot be used: it must be one of tanh, relu, "),
    (["model=gru", "model.cell_activation=relu"], "cell_activation=relu cannot be used: GRUCell supports activation"),
    (["model.recurrent_init=zeros"], "model.recurrent_init=zeros cannot be used: it must be one of orthogonal, xavier"),
    (["model.residual=true"], "residual=true needs num_layers of 2 or more, got 1"),
    (["model.module=nowhere.py"], "nowhere.py does not exist: name the file that registers the cell"),
    (["model.initial_state=ones"], "it must be one of zeros, learned"),
    (["task.text.min_freq=100000"], "min_freq=100000 leaves no word in the vocabulary"),
    (["task.segment_length=10", "task.pooling=last"], "pooling 'last' uses only the last segment of a text"),
    (
        ["embedding.adversarial_epsilon=0.1", "embedding=onehot"],
        "embedding.adversarial_epsilon needs a learned embedding",
    ),
    (["+callbacks.x._target_=builtins.dict"], "it creates a dict, expected a Callback of pytorch_lightning"),
    (["+logger.x._target_=builtins.dict"], "it creates a dict, expected a Logger of pytorch_lightning"),
    (["+callbacks.x.patience=3"], "callbacks.x has no _target_"),
    (["+callbacks.x=3"], "callbacks.x has no _target_"),
    (["trainer._target_=builtins.dict"], "it creates a dict, expected a Trainer of pytorch_lightning"),
    (["task.class_weights=heavy"], "it must be null, balanced, or a weight for each of neg, pos"),
    (["task.class_weights={neg: 1}"], "a weight for each of neg, pos"),
    (["task.class_weights={neg: 1, pos: -1}"], "every weight must be a finite number above 0"),
    (["name=a/b"], "name='a/b' cannot be used"),
    (["init_from=nowhere"], "there is no nowhere: give a run folder or a checkpoint file"),
    (["trainer.accelerator=foo"], "trainer.accelerator=foo cannot be used: it must be one of auto, cpu"),
]


def overridden(overrides: list[str]) -> list[str]:
    """The settings of a tiny run with `overrides` applied."""
    keys = {override.lstrip("+").split("=")[0] for override in overrides}
    return [*(setting for setting in TINY if setting.split("=")[0] not in keys), *overrides]


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize(("overrides", "words"), [*UNKNOWN, *MALFORMED, *OUT_OF_RANGE], ids=joined)
def test_invalid_setting_is_reported(overrides: list[str], words: str) -> None:
    assert words in error_of(train(*overridden(overrides)))


@pytest.mark.usefixtures("workdir")
@pytest.mark.parametrize(("overrides", "words"), [*UNKNOWN[:2], *MALFORMED[:6:5], *OUT_OF_RANGE[:1]], ids=joined)
def test_prepare_reports_the_same_errors(overrides: list[str], words: str) -> None:
    assert words in error_of(sluice("prepare", *overrides))


@pytest.mark.usefixtures("workdir")
def test_missing_gpu_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    settings = [setting for setting in TINY if not setting.startswith("trainer.")]
    assert "trainer.accelerator=gpu cannot be used: no GPU is available" in error_of(train(*settings, "trainer=gpu"))


def test_existing_run_name_is_refused(workdir: Path) -> None:
    assert train(*TINY, "name=mine").code == 0
    results = workdir / "outputs" / "imdb" / "lstm" / "sample-mine" / "results.json"
    before = results.read_bytes()
    error = error_of(train(*TINY, "name=mine", "seed=2"))
    assert f"{results.parent} already contains a run: choose another name=" in error
    assert results.read_bytes() == before


def test_invalid_setting_is_reported_before_writing(workdir: Path) -> None:
    for overrides in (["model.hidden_size=-1"], ["trainer.max_epochs=0"], ["task.pooling=foo"]):
        error_of(train(*overridden(overrides)))
    assert not (workdir / "data" / "cache").exists()
    assert not list(workdir.rglob("config.yaml"))


def test_traceback_is_shown_on_request(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_TRACEBACK", "1")
    with pytest.raises(ValueError, match="there is no model=foo"):
        train("model=foo")
