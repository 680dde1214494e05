"""Settings: values, rules between them, recipes, and what happens when one is given twice."""

import json
from pathlib import Path

import pytest

import headstart as hs
from headstart.config import (
    FineTuneConfig,
    TrainConfig,
    all_settings,
    given_settings,
    merge_settings,
    read_recipe,
    unused_settings,
)
from headstart.errors import InputError, field_name


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("dense", "256,128", (256, 128)),
        ("dense", [64], (64,)),
        ("dense", 64, (64,)),
        ("input_size", 224, (224, 224)),
        ("input_size", "192x256", (192, 256)),
        ("input_size", [192, 256], (192, 256)),
        ("time_limit", "10m", 600.0),
        ("time_limit", 90, 90.0),
        ("time_limit", "1h", 3600.0),
        ("label_column", "a, b", ("a", "b")),
        ("label_column", ["a,b"], ("a,b",)),
        ("val", "0.2", 0.2),
        ("seed", 3.0, 3),
        ("fine_tune", "from:block3", "from:block3"),
        ("augment", "none", "none"),
    ],
)
def test_values_from_python_text_and_files_mean_the_same(name: str, value: object, parsed: object) -> None:
    assert TrainConfig.from_settings({name: value}).to_dict()[name] == (
        list(parsed) if isinstance(parsed, tuple) else parsed
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dropout": 1}, r"dropout: expected a number of at least 0 and below 1, got '1'"),
        ({"epochs": 0}, "epochs: expected a whole number of at least 1, got '0'"),
        ({"seed": 1.5}, "seed: expected a whole number"),
        ({"strict": "yes"}, "strict: expected true or false, got 'yes'"),
        ({"engine": "openvin"}, "engine: expected auto, openvino or keras, got 'openvin'. Did you mean 'openvino'?"),
        ({"heed": 1}, "heed: there is no such setting here. Did you mean 'seed'?"),
        ({"input_size": "big"}, "input_size: expected pixels such as 224 or 192x256, got 'big'"),
        ({"time_limit": "soon"}, "time_limit: expected a time such as 90s, 10m or 1h, got 'soon'"),
        ({"fine_tune": "last:0"}, "fine_tune: expected auto, none, all, last:N or from:NAME"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a number above 0 and below 1, got 'nan'"),
        ({"augment": object()}, "augment: object is not one of Keras's own layers"),
        ({"head": "linear", "dense": (8,)}, "head: a linear head has no hidden layers: leave out dense"),
        ({"val": 0.5, "test": 0.5}, "val: 0.5 and test 0.5 leave nothing to train on"),
        ({"search": 5, "shots": 3}, "search: it is judged on validation examples, and shots leaves none"),
        ({"max_mb": 5}, "max_mb: it is for a choice among several bases: set base='auto' as well"),
        ({"input_size": 100_000}, "input_size: expected at most 4096 pixels per side, got 100000x100000"),
        ({"sample_range": "9:1"}, "sample_range: expected the lower number first, such as 0:4095, got 9:1"),
        ({"base": "auto", "weights": "none"}, "weights: it is for one base"),
        ({"label_separator": ""}, "label_separator: it is empty"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_was_expected(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainConfig.from_settings(values)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(InputError) as caught:
        TrainConfig.from_settings({"dropout": 2, "epochs": 0, "time_limit": "x"})
    assert str(caught.value).startswith("3 settings cannot be used:")
    assert all(name in str(caught.value) for name in ("dropout", "epochs", "time_limit"))


def test_a_stage_checks_its_values_by_itself() -> None:
    with pytest.raises(InputError, match="lora: expected a whole number of at least 1"):
        FineTuneConfig(lora=0)


def test_every_setting_has_help_a_label_and_a_default_that_it_accepts() -> None:
    for name, setting in all_settings().items():
        assert setting.help.endswith((".", "*")), name
        assert setting.label, name
        if setting.default is not None:
            assert setting.parse(setting.default) == setting.default, name


def test_one_setting_with_two_values_is_an_error_and_never_overwritten(tmp_path: Path) -> None:
    blocks = FineTuneConfig(fine_tune="last:2", augment="none")
    assert merge_settings(blocks, {"views": 1}) == {"fine_tune": "last:2", "augment": "none", "views": 1}
    assert merge_settings(blocks, {"fine_tune": "last:2"})["fine_tune"] == "last:2"
    for call in (hs.train, hs.tune):
        with pytest.raises(InputError, match="fine_tune: it is all here and last:2 in config"):
            call(tmp_path, config=blocks, fine_tune="all")


def test_settings_that_a_command_does_not_take_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="val: there is no such setting here"):
        hs.tune(tmp_path, val=0.2)


def test_a_recipe_is_toml_or_what_a_run_records(tmp_path: Path) -> None:
    toml = tmp_path / "recipe.toml"
    toml.write_text('base = "keras:Xception"\n[head]\ndense = [8, 4]\n[fine_tuning]\ntime_limit = "5m"\n')
    config = TrainConfig.from_settings(merge_settings(toml, {}))
    assert given_settings(config) == {"base": "keras:Xception", "dense": (8, 4), "time_limit": 300.0}
    record = tmp_path / "run.json"
    record.write_text(json.dumps({"name": "photos", "config": config.to_dict()}))
    assert TrainConfig.from_settings(read_recipe(record)) == config


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_record_of_a_run_of_any_format_is_a_recipe(version: str) -> None:
    run = Path(__file__).parent.parent / "files" / "runs" / f"{version}-images"
    config = TrainConfig.from_settings(read_recipe(run / "run.json"))
    assert (config.fine_tuning.fine_tune, config.split.test) == ("last:1", 0.25)
    assert config == TrainConfig.from_settings(hs.load(run).facts.config)


@pytest.mark.parametrize(("name", "text"), [("recipe.toml", "base = "), ("recipe.json", "[1]"), ("recipe.json", "{")])
def test_what_is_no_recipe_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=rf"{name} is not a recipe"):
        read_recipe(tmp_path / name)
    with pytest.raises(InputError, match="cannot read the recipe"):
        read_recipe(tmp_path / "missing.toml")


def test_errors_name_settings_as_each_front_end_does() -> None:
    error = InputError(f"leave out {field_name('dense')}, or set {field_name('head', 'mlp')}.", field="dropout")
    assert str(error) == "dropout: leave out dense, or set head='mlp'."
    assert error.render(lambda name, value: f"<{name} {value}>") == (
        "<dropout None>: leave out <dense None>, or set <head mlp>."
    )


@pytest.mark.parametrize(
    ("values", "sentences"),
    [
        (
            {"fine_tune": "none", "learning_rate": 0.1, "time_limit": "1m"},
            ["nothing is fine-tuned: learning rate, time"],
        ),
        ({"fine_tune": "none", "views": 1, "search": 3}, []),
        ({"fine_tune": "none", "views": 1}, ["nothing is fine-tuned: views"]),
        ({"epochs": 5, "fine_tune": "none", "lora": 2}, ["fine-tuned: lora rank", "hidden layers: epochs of the head"]),
        ({"epochs": 5, "dense": 8}, []),
        ({"learning_rate": 0.1}, []),
    ],
)
def test_settings_without_effect_are_listed(values: dict[str, object], sentences: list[str]) -> None:
    listed = unused_settings(TrainConfig.from_settings(values))
    assert len(listed) == len(sentences)
    assert all(part in sentence for part, sentence in zip(sentences, listed, strict=True))


def test_a_wrong_setting_of_a_recipe_is_named_with_the_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("epochz = 3\n")
    with pytest.raises(
        InputError, match=r"recipe\.toml: epochz: there is no such setting here\. Did you mean 'epochs'"
    ):
        merge_settings(recipe, {})
    with pytest.raises(InputError, match=r"config: cannot read the recipe .*: it is a folder\. Expected a \.toml file"):
        merge_settings(tmp_path, {})
