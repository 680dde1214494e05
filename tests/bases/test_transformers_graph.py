"""Models that only transformers builds, compared with its results: see ``tests/files/transformers/make.py``."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.bases import TextBase
from headstart.errors import InputError
from tests.lazy import needs

pytestmark = [pytest.mark.slow, needs("transformers", "torch")]

WORDS = ["a", "film", "and", "long"]
MODELS = Path(__file__).parents[1] / "files" / "transformers"


@pytest.mark.parametrize("name", ["modernbert", "gpt-neox"])
def test_text_vectors_equal_those_of_transformers(name: str) -> None:
    base = hs.load_base(f"hf:{MODELS / name}")
    assert isinstance(base, TextBase)
    assert base.pooling == ("last" if name == "gpt-neox" else "mean")
    expected = np.load(MODELS / name / "expected.npz")
    texts = expected["texts"].tolist()
    assert base.reader().coverage(texts[2])[0] > 30
    np.testing.assert_allclose(hs.extract(base, texts).rows(range(3)), expected["features"], atol=3e-6)


@pytest.mark.parametrize("name", ["convnext", "clip"])
def test_image_features_equal_those_of_transformers(name: str, tmp_path: Path) -> None:
    expected = np.load(MODELS / name / "expected.npz")
    folder = shutil.copytree(MODELS / name, tmp_path / name)
    if name == "clip":  # as transformers 5 saves a model of images and texts
        settings = json.loads((folder / "preprocessor_config.json").read_text())
        (folder / "preprocessor_config.json").unlink()
        (folder / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    size = expected["pixels"].shape[1:3]
    base = hs.load_base(f"hf:{folder}", input_size=size, resize="stretch")  # the network alone is compared
    files = [tmp_path / f"{i}.png" for i in range(2)]
    for file, pixels in zip(files, expected["pixels"], strict=True):
        Image.fromarray(pixels).save(file)
    np.testing.assert_allclose(hs.extract(base, files).rows(range(2)), expected["features"], atol=3e-6)


def test_the_model_works_on_any_backend_of_keras(tmp_path: Path) -> None:
    """On TensorFlow here: called, in ``predict``, saved and loaded, and below layers that are trained."""
    import keras

    expected = np.load(MODELS / "gpt-neox/expected.npz")
    base = hs.load_base(f"hf:{MODELS / 'gpt-neox'}")
    model, reader = base.model(), base.reader()
    inputs = reader.batch([reader.decode(text.encode()) for text in expected["texts"]])
    features = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(features, expected["features"], atol=3e-6)
    np.testing.assert_array_equal(model(inputs), features)
    classifier = keras.Sequential([model, keras.layers.Dense(2)])
    classifier.compile("sgd", "mse")
    classifier.fit(inputs, np.ones((len(inputs), 2)), verbose=0)
    classifier.save(tmp_path / "classifier.keras")
    again = keras.models.load_model(tmp_path / "classifier.keras")
    np.testing.assert_allclose(again(inputs), classifier(inputs), atol=1e-6)
    np.testing.assert_array_equal(again.layers[0](inputs), features)


def test_a_run_is_trained_saved_and_used_without_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "films.csv"
    starts = [" ".join(WORDS[number // 4**place % 4] for place in range(3)) for number in range(40)]
    rows = [f"{start} that is {word},{word}" for start in starts for word in ("good", "bad")]
    table.write_text("text,label\n" + "\n".join(rows))
    model = shutil.copytree(MODELS / "modernbert", tmp_path / "model")
    run = hs.train(table, base=f"hf:{model}", runs=tmp_path / "runs", fine_tune="auto")
    facts = json.loads((run.folder / "run.json").read_text())
    assert facts["engine"]["kind"] == "openvino"
    assert "stays frozen: headstart uses it as a graph without gradients" in facts["fine_tuning"]["reason"]
    shutil.rmtree(model)
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert run.predict("long film that is bad").predicted == "bad"
    program = (
        "import headstart.bases.openvino_layer, keras, numpy, sys\n"
        "golden = numpy.load(sys.argv[2])\n"
        "probabilities = keras.models.load_model(sys.argv[1]).predict(golden['inputs'], verbose=0)\n"
        "numpy.testing.assert_allclose(probabilities, golden['probabilities'], atol=1e-2)"  # bfloat16 on some CPUs
    )
    command = [sys.executable, "-c", program, run.folder / "model.keras", run.folder / "golden.npz"]
    subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": "openvino"})


def test_errors_for_unusable_models(tmp_path: Path) -> None:
    folder = shutil.copytree(MODELS / "clip", tmp_path / "clip")
    with pytest.raises(InputError, match="cannot be used at 48x48 pixels"):
        hs.load_base(f"hf:{folder}", input_size=48)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "made-up"}))
    with pytest.raises(InputError, match=r"transformers cannot read hf:.*made-up"):
        hs.load_base(f"hf:{folder}")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"has no model\.safetensors.* A pickle"):
        hs.load_base(f"hf:{folder}")
