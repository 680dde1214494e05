"""The sources ``preset:`` and ``kaggle:`` with presets that KerasHub writes, compared with KerasHub's results."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.bases.blocks import find_blocks
from headstart.errors import InputError, UnavailableError
from headstart.exporting.companions import write_companions
from headstart.exporting.formats import FORMATS
from tests.lazy import Lazy, needs

keras, keras_hub, sentencepiece = Lazy("keras"), Lazy("keras_hub"), Lazy("sentencepiece")

pytestmark = [pytest.mark.slow, needs("keras_hub", "sentencepiece")]

SMALL = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32, "max_sequence_length": 24}
TEXTS = ["The film is 2 hours too long, isn't it?", "good", "Two  spaces and naïve words at the end ", "ไทย 日本語 é!"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz0123456789,.'?!"]
VOCABULARY += ["film", "good", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]


def _save(folder: Path, *parts: Any) -> Path:
    for part in parts:
        part.save_to_preset(str(folder))
    return folder


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[8],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="bottleneck_block",
        image_shape=(None, None, 3),
    )
    converter = keras_hub.layers.ResNetImageConverter(
        image_size=(48, 48),
        scale=[0.017, 0.0175, 0.0174],
        offset=[-2.1, -2.0, -1.8],
        crop_to_aspect_ratio=False,
        pad_to_aspect_ratio=True,
        antialias=True,
    )
    return _save(tmp_path_factory.mktemp("presets") / "resnet", backbone, converter)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=(8, 8), num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    converter = keras_hub.layers.ViTImageConverter(image_size=(32, 32), scale=1 / 127.5, offset=-1.0)
    return _save(tmp_path_factory.mktemp("presets") / "vit", backbone, converter)


def _sentence_pieces(**options: Any) -> bytes:
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20 + VOCABULARY[5:]), model_writer=proto, vocab_size=60, hard_vocab_limit=False,
        minloglevel=2, **options,
    )  # fmt: skip
    return proto.getvalue()


@pytest.fixture(scope="module", params=["bert", "roberta", "xlm_roberta"])
def text_preset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each kind of tokenizer: word pieces, byte pairs, SentencePiece."""
    import tokenizers

    models, folder = keras_hub.models, tmp_path_factory.mktemp("presets")
    if request.param == "bert":
        tokenizer = models.BertTokenizer(vocabulary=VOCABULARY, lowercase=True, strip_accents=True)
        backbone = models.BertBackbone
    elif request.param == "roberta":
        pairs = tokenizers.ByteLevelBPETokenizer()
        specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        pairs.train_from_iterator(TEXTS * 9, vocab_size=300, special_tokens=specials, show_progress=False)
        vocabulary, merges = pairs.save_model(str(folder))
        tokenizer = models.RobertaTokenizer(vocabulary=vocabulary, merges=merges)
        backbone = models.RobertaBackbone
    else:
        tokenizer = models.XLMRobertaTokenizer(proto=_sentence_pieces(unk_id=0, bos_id=1, eos_id=2, pad_id=-1))
        backbone = models.XLMRobertaBackbone
    return _save(folder / request.param, backbone(vocabulary_size=tokenizer.vocabulary_size(), **SMALL), tokenizer)


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_image_features_equal_those_of_kerashub(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder = request.getfixturevalue(name)
    base = hs.load_base(f"preset:{folder}")
    pixels = np.random.default_rng(0).integers(0, 256, (2, *base.input_size, 3), np.uint8)
    converter = keras_hub.layers.ImageConverter.from_preset(str(folder))
    maps = np.asarray(keras_hub.models.Backbone.from_preset(str(folder)).predict(converter(pixels), verbose=0))
    expected = maps[:, 0] if name == "vit" else maps.mean((1, 2))
    np.testing.assert_allclose(base.model().predict(pixels, verbose=0), expected, rtol=1e-4, atol=1e-5)
    assert (base.resize, base.feature_dim) == (("crop", 16) if name == "vit" else ("pad", 256))
    for size in ((150, 97), (90, 140)):  # the converter crops or pads, with or without antialias
        patches = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8))
        image = patches.resize(size, Image.Resampling.BICUBIC)
        image.save(tmp_path / "image.png")
        read = base.preprocessing.array(base.reader().read(tmp_path / "image.png"))
        converted = np.asarray(converter(np.asarray(image, np.float32)))
        np.testing.assert_allclose(read, converted, atol=2.01 * np.max(base.preprocessing.scale))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # KerasHub leaves a file open
def test_token_ids_and_vectors_equal_those_of_kerashub(text_preset: Path) -> None:
    base = hs.load_base(f"preset:{text_preset}")
    reader = base.reader()
    inputs = keras_hub.models.TextClassifierPreprocessor.from_preset(str(text_preset), sequence_length=24)(TEXTS)
    masks = np.asarray(inputs["padding_mask"])
    arrays = [reader.decode(text.encode()) for text in TEXTS]
    expected_ids = [ids[mask].tolist() for ids, mask in zip(np.asarray(inputs["token_ids"]), masks, strict=True)]
    assert [ids.tolist() for ids in arrays] == expected_ids
    backbone = keras_hub.models.Backbone.from_preset(str(text_preset))
    states = backbone.predict({name: np.asarray(inputs[name]) for name in backbone.input}, verbose=0)
    states = states["sequence_output"] if isinstance(states, dict) else states
    expected = (states * masks[..., None]).sum(1) / masks.sum(1, keepdims=True)
    np.testing.assert_allclose(base.model().predict(reader.batch(arrays), verbose=0), expected, atol=1e-5)
    assert [block.name for block in find_blocks(base.build(False))] == ["transformer_layer_0", "transformer_layer_1"]


def test_a_model_whose_vectors_depend_on_padding_is_refused(tmp_path: Path) -> None:
    """FNet mixes all positions of a batch, and takes no mask."""
    pieces = {"pad_piece": "<pad>", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "user_defined_symbols": ["[MASK]"]}
    proto = _sentence_pieces(unk_id=0, pad_id=3, bos_id=4, eos_id=5, **pieces)
    tokenizer = keras_hub.models.FNetTokenizer(proto=proto)
    backbone = keras_hub.models.FNetBackbone(tokenizer.vocabulary_size(), 1, 16, 32, max_sequence_length=24)
    folder = _save(tmp_path / "f_net", backbone, tokenizer)
    with pytest.raises(InputError, match="gives a text other vectors if padding stands after it"):
        hs.load_base(f"preset:{folder}")


def test_tokens_without_a_class_token_are_averaged(tmp_path: Path) -> None:
    """Swin of Hugging Face, compared with transformers: see ``tests/files/transformers/make.py``.

    KerasHub's layers of Swin cannot be saved; headstart fixes that.
    """
    folder = Path(__file__).parents[1] / "files/transformers/swin"
    expected = np.load(folder / "expected.npz")
    model = hs.load_base(f"hf:{folder}").model()
    model.save(tmp_path / "swin.keras")
    for network in (model, keras.saving.load_model(tmp_path / "swin.keras")):
        features = network.predict(expected["pixels"], verbose=0)
        np.testing.assert_allclose(features, expected["features"], atol=3e-6)


def test_images_have_the_size_of_the_processor(tmp_path: Path) -> None:
    """Where the configuration of a Swin states another one, transformers computes with the processor's."""
    pytest.importorskip("transformers")
    folder = shutil.copytree(Path(__file__).parents[1] / "files/transformers/swin", tmp_path / "swin")
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    settings["size"] = {"height": 48, "width": 48}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    base = hs.load_base(f"hf:{folder}")
    assert (base.input_size, bool(base.frozen_reason)) == ((48, 48), True)


def test_a_run_on_a_preset_is_complete(vit: Path, photos: Path, tmp_path: Path) -> None:
    """KerasHub's first layer of ViT cannot load its own configuration; headstart fixes that."""
    run = hs.train(photos, base=f"preset:{vit}", fine_tune="none", runs=tmp_path)
    assert run.facts.engine.kind == "openvino"
    expected = run.predict(photos / "china/07.jpg").probabilities
    model = keras.saving.load_model(run.folder / "model.keras")
    pixels = hs.load_base(f"preset:{vit}").reader().read(photos / "china/07.jpg")
    probabilities = dict(zip(run.classes, model.predict(pixels[None], verbose=0)[0], strict=True))
    assert probabilities == pytest.approx(expected, abs=1e-4)
    write_companions(tmp_path, run.folder, run.facts, FORMATS["keras"], {})
    assert "pip install numpy pillow keras tensorflow keras-hub\n" in (tmp_path / "predict.py").read_text()
    explained = hs.explain(run, photos / "china/07.jpg", nearest=2)
    assert (explained.method, len(explained.nearest)) == ("occlusion", 2)  # its output is a token, not a feature map
    with pytest.raises(InputError, match=r"grad-cam needs a base that ends in a feature map, and preset:.* not"):
        hs.explain(run, photos / "china/07.jpg", method="grad-cam")


def test_there_is_no_block_boundary_between_two_uses_of_a_layer(tmp_path: Path) -> None:
    """ALBERT's layers share their weights: training the last one would change the layers below it."""
    sizes = {**SMALL, "num_layers": 3, "embedding_dim": 8, "num_groups": 1}
    pieces = _sentence_pieces(
        pad_id=0, unk_id=1, bos_id=2, eos_id=3, bos_piece="[CLS]", eos_piece="[SEP]", user_defined_symbols="[MASK]"
    )
    tokenizer = keras_hub.models.AlbertTokenizer(proto=pieces)
    backbone = keras_hub.models.AlbertBackbone(vocabulary_size=tokenizer.vocabulary_size(), **sizes)
    base = hs.load_base(f"preset:{_save(tmp_path / 'albert', backbone, tokenizer)}")
    assert len(find_blocks(base.build(False))) == 1


def test_the_files_of_a_kaggle_model_show_its_kind(
    resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    variation = tmp_path / "models/some/model/keras/tiny"
    variation.mkdir(parents=True)
    handle = "kaggle:some/model/keras/tiny"
    with pytest.raises(UnavailableError, match=rf"{handle} is not on this .* Or copy its files into {variation}"):
        hs.load_base(handle)
    with pytest.raises(UnavailableError, match=rf"into {variation}/7, and create an empty file 7\.complete beside it"):
        hs.load_base(f"{handle}/7")
    for version in (2, 10):
        (variation / str(version)).symlink_to(resnet)
    (variation / "2.complete").touch()  # version 10 is incomplete
    assert hs.load_base(handle).handle == f"{handle}/2"
    (variation / "10.complete").touch()
    assert hs.load_base(handle).handle == f"{handle}/10"
    assert hs.load_base(f"{handle}/2").input_size == (48, 48)
    (variation / "11").mkdir()
    (variation / "11.complete").touch()
    with pytest.raises(
        InputError, match=r"tiny/11 has no files .*: expected a preset of KerasHub, a SavedModel, or one"
    ):
        hs.load_base(handle)
    with pytest.raises(InputError, match=r"expected kaggle:OWNER/MODEL/FRAMEWORK/VARIATION\[/VERSION\]"):
        hs.load_base("kaggle:some/model")


def test_files_that_kerashub_downloaded_one_by_one_are_used_offline(
    resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    folder = shutil.copytree(resnet, tmp_path / "models/some/model/keras/tiny/3")
    names = [path.name for path in folder.iterdir()]
    markers = folder.parent / ".complete/3"
    markers.mkdir(parents=True)
    for name in names:
        with pytest.raises(UnavailableError, match="offline"):
            hs.load_base("kaggle:some/model/keras/tiny")
        (markers / f"{name}.complete").touch()
    base = hs.load_base("kaggle:some/model/keras/tiny")
    assert (base.handle, base.input_size) == ("kaggle:some/model/keras/tiny/3", (48, 48))


def test_a_keras_file_of_kaggle_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(8, 3)]
    folder = tmp_path / "models/some/model/keras/own/1"
    folder.mkdir(parents=True)
    keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]).save(folder / "m.keras")
    folder.with_suffix(".complete").touch()
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    base = hs.load_base("kaggle:some/model/keras/own")
    assert (base.handle, base.input_size) == ("kaggle:some/model/keras/own/1", (32, 32))
    assert base.build(False).output_shape[-1] == 8


def test_wrong_presets_are_refused(vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"has no such preset\. Did you mean 'resnet_50_imagenet'"):
        hs.load_base("preset:resnet_50_imagenett")
    with pytest.raises(UnavailableError, match=r"headstart fetch preset:resnet_50_imagenet --to bundle/"):
        hs.load_base("preset:resnet_50_imagenet")
    with pytest.raises(InputError, match=r"input_size: 64x64 cannot be used with preset:.*vit: expected 32x32"):
        hs.load_base(f"preset:{vit}", input_size=64)
    config = json.loads((vit / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"has no weights: expected model\.weights\.h5"):
        hs.load_base(f"preset:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "unheard_of"}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(InputError, match=r"(KerasHub|transformers) cannot read .*unheard_of"):
        hs.load_base(f"preset:{tmp_path}")
