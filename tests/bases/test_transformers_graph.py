"""Models that only transformers builds, compared with its results: see ``tests/files/transformers/make.py``."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.bases import TextBase, transformers_graph
from headstart.bases.text import MAX_TOKENS
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


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**SMALL, "vocab_size": 12, "intermediate_size": 32, "max_position_embeddings": 40, "pad_token_id": 0}
IMAGE = {**SMALL, "intermediate_size": 32, "image_size": 32, "patch_size": 8}
XLNET = {"vocab_size": 12, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32, "pad_token_id": 0}
LEVIT = {"image_size": 64, "hidden_sizes": [16, 32, 48], "num_attention_heads": [1, 2, 3], "depths": [1, 1, 1]}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """A function that saves a model of a kind, with random weights, and a tokenizer."""
    import torch
    import transformers

    def save_model(kind: str, **settings: Any) -> Path:
        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **settings)).float()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn(weight.shape) * 0.2)
        model.save_pretrained(tmp_path / kind)
        shutil.copy(MODELS / "bert" / "tokenizer.json", tmp_path / kind)
        (tmp_path / kind / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
        return tmp_path / kind

    return save_model


def _read(folder: Path, size: list[int] | None = None) -> tuple[dict[str, Any], Any]:
    """Facts, and the graph as a function, as the separate process makes them."""
    import openvino

    out = folder / "graph"
    out.mkdir()
    transformers_graph.read_model(str(folder), str(out), folder.name, size)
    graph = openvino.Core().compile_model(out / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return json.loads((out / "facts.json").read_text()), lambda x: graph(x)[0]


def _original(folder: Path, x: np.ndarray, **settings: Any) -> np.ndarray:
    """The last hidden state of transformers, with the attention that it chooses itself."""
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(folder, **settings).eval()
    tensor = torch.from_numpy(x.astype(np.int64) if x.ndim == 2 else np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    with torch.no_grad():
        return model(tensor).last_hidden_state.numpy()


@pytest.mark.filterwarnings("ignore")
def test_alibi_is_added_once(save: Callable[..., Path]) -> None:
    """transformers 5.24 adds it twice with the attention ``eager``, and does not use that by itself."""
    settings = {name: value for name, value in TEXT.items() if name not in ("intermediate_size",)}
    folder = save("falcon", **settings, alibi=True)
    ids = np.random.default_rng(0).integers(1, 12, (2, 9)).astype(np.int32)
    np.testing.assert_allclose(_read(folder)[1](ids), _original(folder, ids), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "settings", "longest"),
    [
        ("xlm-roberta-xl", {**TEXT, "pad_token_id": 1}, 38),
        ("ibert", {**TEXT, "pad_token_id": 1}, 38),  # its embeddings are of a class of its own
        (
            "xlnet",
            {"vocab_size": 12, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32, "pad_token_id": 0},
            MAX_TOKENS,
        ),
    ],
)
def test_texts_are_as_long_as_there_are_positions(
    save: Callable[..., Path], kind: str, settings: dict[str, Any], longest: int
) -> None:
    """Without those of the padding in models such as RoBERTa; in XLNet, -1 stands for no limit."""
    facts, graph = _read(save(kind, **settings))
    assert facts["max_length"] == longest
    assert np.isfinite(graph(np.full((1, min(longest, 64)), 5, np.int32))).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "settings", "size"),
    [
        ("vit_mae", {**IMAGE, "mask_ratio": 0.75}, [32, 32]),
        ("levit", LEVIT, [64, 64]),
    ],
)
def test_images_without_a_mask_and_with_a_memory(
    save: Callable[..., Path], kind: str, settings: dict[str, Any], size: list[int]
) -> None:
    """ViTMAE hides most of an image at random in training, and LeViT keeps what it computes at the first call."""
    folder = save(kind, **settings)
    pixels = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    features = _read(folder, size)[1](pixels)
    states = _original(folder, pixels, **({"mask_ratio": 0.0} if kind == "vit_mae" else {}))
    np.testing.assert_allclose(features, states[:, 0] if kind == "vit_mae" else states.mean(1), atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_models_whose_features_would_be_others_are_refused(save: Callable[..., Path]) -> None:
    """Those with weights that transformers ignores, with fixed lengths, and those that depend on the padding."""
    import safetensors.numpy

    folder = Path(shutil.copytree(MODELS / "bert", save("bert", **TEXT).parent / "relative"))
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    name = "encoder.layer.0.attention.self.distance_embedding.weight"  # as transformers 4 writes relative_key
    safetensors.numpy.save_file({**tensors, name: np.zeros((39, 8), np.float32)}, folder / "model.safetensors")
    with pytest.raises(InputError, match=rf"transformers does not use weights of relative, such as {name}"):
        _read(folder)
    small = {name: TEXT[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "pad_token_id")}
    with pytest.raises(InputError, match="OpenVINO cannot compute mamba at other sizes"):
        _read(save("mamba", **small, state_size=4))
    folder = save("mobilebert", **TEXT, embedding_size=8, intra_bottleneck_size=8)
    with pytest.raises(InputError, match="mobilebert gives a text other vectors if padding stands after it"):
        _read(folder)


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


def test_a_tokenizer_whose_class_replaces_its_steps_is_refused(save: Callable[..., Path], tmp_path: Path) -> None:
    """The class of XLNet cleans a text in its own way, and ignores the steps in ``tokenizer.json``."""
    tokenizers = pytest.importorskip("tokenizers")
    folder = save("xlnet", **XLNET)
    own = tokenizers.Tokenizer(tokenizers.models.Unigram([("<unk>", 0.0), ("▁film", -1.0), ("f", -3.0)], 0))
    own.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "XLNetTokenizer"}')
    with pytest.raises(InputError, match=r"tokenizer\.json gives other tokens than XLNetTokenizer of the installed"):
        _read(folder)


@pytest.mark.filterwarnings("ignore")
def test_a_word_that_the_configuration_takes_for_padding_is_read(save: Callable[..., Path]) -> None:
    """In a model with a vocabulary of one's own, the default ``pad_token_id`` is that of a word."""
    import torch
    import transformers

    folder = save("gpt2", vocab_size=12, n_embd=16, n_layer=1, n_head=2, n_positions=40, pad_token_id=5)
    facts, graph = _read(folder)
    ids = np.array([[3, 5, 7, 5]], np.int32)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(ids).long(), attention_mask=torch.ones(1, 4)).last_hidden_state.numpy()
    padded = np.pad(ids, ((0, 0), (0, 2)), constant_values=facts["pad"])
    np.testing.assert_allclose(graph(padded)[:, :4], expected, atol=1e-5)
    assert not graph(padded)[:, 4:].any()
