"""Encoders of texts and images, compared with transformers: see ``tests/files/transformers/make.py``."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.bases.blocks import find_blocks
from headstart.errors import InputError
from tests.lazy import Lazy

keras = Lazy("keras")

MODELS = Path(__file__).parents[1] / "files" / "transformers"


@pytest.mark.parametrize("name", ["bert", "roberta", "xlm-roberta", "electra", "distilbert", "mpnet"])
def test_text_vectors_equal_those_of_transformers(name: str) -> None:
    base = hs.load_base(f"hf:{MODELS / name}")
    reader = base.reader()
    expected = np.load(MODELS / name / "expected.npz")
    ids = reader.batch([reader.decode(text.encode()) for text in expected["texts"].tolist()])
    assert len(ids) == 3
    assert ids.shape[1] == base.max_length or name != "mpnet"  # covers all buckets of relative positions
    np.testing.assert_allclose(base.model().predict(ids, verbose=0), expected["features"], atol=2e-6)


@pytest.mark.parametrize("name", ["vit", "deit", "dinov2", "dinov2-registers"])
def test_image_features_equal_those_of_transformers(name: str) -> None:
    expected = np.load(MODELS / name / "expected.npz")
    size = expected["pixels"].shape[1:3]  # not the model's default: the position table is interpolated
    base = hs.load_base(f"hf:{MODELS / name}", input_size=size)
    assert base.feature_dim == 16
    np.testing.assert_allclose(base.model().predict(expected["pixels"], verbose=0), expected["features"], atol=4e-6)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("bert", "bert."), ("xlm-roberta", "roberta."), ("deit", "deit."), ("dinov2-registers", "dinov2_with_registers.")],
)
def test_a_model_with_its_task_has_the_same_weights(name: str, prefix: str, tmp_path: Path) -> None:
    """As ``…ForImageClassification`` and the like are saved: the model's weights have a prefix, the top's have none."""
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(MODELS / name, tmp_path / name)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    plain = {key.removeprefix(prefix): value for key, value in tensors.items()}
    top = {"classifier.weight": np.zeros((3, 16), np.float32), "classifier.bias": np.zeros(3, np.float32)}
    save_file({**{prefix + key: value for key, value in plain.items()}, **top}, folder / "model.safetensors")
    network, original = (hs.load_base(f"hf:{path}").build(False) for path in (folder, MODELS / name))
    for ours, theirs in zip(network.get_weights(), original.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_size_and_resize_mode_are_read_from_the_files() -> None:
    vit, dinov2 = (hs.load_base(f"hf:{MODELS / name}") for name in ("vit", "dinov2"))
    assert (vit.input_size, vit.resize) == ((32, 32), "stretch")
    assert (dinov2.input_size, dinov2.resize) == ((28, 28), "crop")
    np.testing.assert_allclose(vit.preprocessing.array(np.array([[[0, 127.5, 255]]])), [[[-1, 0, 1]]], atol=1e-6)


def test_a_folder_of_hugging_face_is_also_read_as_a_preset() -> None:
    pytest.importorskip("keras_hub")
    of_hf, preset = (hs.load_base(f"{source}:{MODELS / 'vit'}") for source in ("hf", "preset"))
    assert preset.input_facts() == of_hf.input_facts()
    assert preset.handle == f"preset:{MODELS / 'vit'}"


def test_a_model_without_image_preprocessing_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(MODELS / "vit", tmp_path / "vit")
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, "size": {}}))
    with pytest.raises(InputError, match=r"has size = {}: expected height and width"):
        hs.load_base(f"hf:{folder}")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"expected preprocessor_config\.json .*beside its config\.json"):
        hs.load_base(f"hf:{folder}")
    with pytest.raises(InputError, match=r"input_size: 4x4 is smaller than a patch of hf:.*vit: expected at least 8"):
        hs.load_base(f"hf:{MODELS / 'vit'}", input_size=4)


def test_blocks_and_saving_of_a_vision_transformer(tmp_path: Path) -> None:
    base = hs.load_base(f"hf:{MODELS / 'dinov2'}")
    assert [block.name for block in find_blocks(base.build(False))] == ["patches", "positions", "layer_0", "layer_1"]
    model = base.model()
    model.save(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 3), np.uint8)
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(pixels, verbose=0), model.predict(pixels, verbose=0), atol=1e-6)
