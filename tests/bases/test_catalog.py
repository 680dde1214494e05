"""The catalogue and ``headstart bases``."""

import json

import pytest
from click.testing import CliRunner

from headstart.bases import load_base
from headstart.bases.catalog import entries, select
from headstart.bases.efficientnet_lite import FEATURE_DIM
from headstart.cli.main import cli
from headstart.errors import InputError


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


def run(*arguments: str):
    result = CliRunner().invoke(cli, ["bases", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result


def handles(selected) -> list[str]:
    return [entry.handle for entry in selected]


def test_entries_are_complete():
    all_entries = entries()
    assert len(all_entries) == len(set(handles(all_entries))) == 41
    assert all_entries[0].handle == "embedded:efficientnet-lite0"
    assert (all_entries[0].feature_dim, all_entries[0].weights) == (FEATURE_DIM, "in package")
    for entry in all_entries:
        assert entry.min_size < entry.input_size
        assert entry.size_mb == pytest.approx(entry.params_m * 4)
        assert entry.top5 is None or entry.top1 < entry.top5 < 100


@pytest.mark.parametrize("entry", entries()[1:], ids=lambda entry: entry.handle)
def test_entries_agree_with_the_loaded_base(entry):
    base = load_base(entry.handle, weights="none")
    assert (base.handle, base.input_size) == (entry.handle, (entry.input_size, entry.input_size))
    assert (base.feature_dim, base.preprocessing.name) == (entry.feature_dim, entry.preprocessing)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"contains": "MOBILENETV2"}, ["keras:MobileNetV2"]),
        ({"contains": "embedded"}, ["embedded:efficientnet-lite0"]),
        ({"max_mb": 10}, ["keras:MobileNetV2", "keras:MobileNetV3Small"]),
        ({"min_top1": 86}, ["keras:ConvNeXtLarge", "keras:ConvNeXtXLarge"]),
        ({"local_only": True}, ["embedded:efficientnet-lite0"]),
        ({"contains": "vgg", "sort": "size"}, ["keras:VGG16", "keras:VGG19"]),
        ({"contains": "netv3", "sort": "top1"}, ["keras:MobileNetV3Large", "keras:MobileNetV3Small"]),
        ({"contains": "nasnet", "sort": "input"}, ["keras:NASNetMobile", "keras:NASNetLarge"]),
        ({"contains": "nasnet", "max_mb": 1}, []),
    ],
)
def test_select(conditions, expected):
    assert handles(select(entries(), **conditions)) == expected


def test_fractions_are_refused():
    with pytest.raises(InputError, match=r"min_top1: 0\.75 looks like a fraction: expected percent"):
        select(entries(), min_top1=0.75)


def test_downloaded_weights_are_local(keras_home):
    (keras_home / "models").mkdir()
    (keras_home / "models" / "efficientnetv2-b0_notop.h5").write_bytes(b"")
    assert handles(select(entries(), local_only=True)) == ["embedded:efficientnet-lite0", "keras:EfficientNetV2B0"]


def test_table_fits_a_terminal():
    lines = run().stdout.splitlines()
    assert len(lines) == 2 + 41
    assert max(len(line) for line in lines) <= 120
    assert lines[0].split()[:2] == ["base", "MB"]


def test_json():
    listed = json.loads(run("resnet50", "--json", "--sort", "size").stdout)
    assert [entry["handle"] for entry in listed] == ["keras:ResNet50V2", "keras:ResNet50"]
    assert listed[1]["top1"] == 74.9
    assert "measured" not in listed[0]


def test_no_base_meets_the_conditions():
    result = run("mobilenet", "--max-mb", "0.1")
    assert result.stdout == ""
    assert "no base meets all these conditions" in result.stderr
    assert json.loads(run("mobilenet", "--max-mb", "0.1", "--json").stdout) == []


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("xceptoin", "keras:Xception"), ("keras:mobilnetv3small", "keras:MobileNetV3Small"), ("no-such-base", None)],
)
def test_a_name_of_no_base_is_an_error_with_the_nearest_name(name, suggestion):
    for options in ([], ["--json"], ["--max-mb", "20"]):
        with pytest.raises(InputError, match=f"no base has a name with '{name}'") as caught:
            run(name, *options)
        assert ("Did you mean" in str(caught.value)) == bool(suggestion)
        assert str(suggestion or "") in str(caught.value)


def test_help_ends_with_an_example():
    assert run("--help").stdout.rstrip().splitlines()[-1].strip().startswith("Example: headstart bases")


@pytest.mark.slow
def test_measure():
    result = run("embedded:efficientnet-lite0", "--measure", "--json")
    (entry,) = json.loads(result.stdout)
    assert entry["measured"]
    for speed in entry["measured"].values():
        assert speed["images_per_second"] > 1
        assert speed["ms_per_image"] > 0
    assert "not transfer learning" not in result.stderr
