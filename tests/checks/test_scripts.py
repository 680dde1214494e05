"""Scripts with one mistake, and the corrected scripts; correct scripts in many styles."""

import re
from pathlib import Path

import pytest

import headstart as hs
from headstart.checks.rules.catalog import RULES
from headstart.errors import InputError


def _cases() -> dict[str, list[str]]:
    """Rule -> pairs of scripts, the one with the mistake first; empty name -> the code that begins every script."""
    sections = re.split(r"^## (.+)$", Path(__file__).with_name("mistakes.md").read_text(), flags=re.MULTILINE)
    return {
        rule: re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        for rule, text in zip(["", *sections[1::2]], sections[0::2], strict=True)
    }


CASES = _cases()
(BEGINNING,) = CASES.pop("")
PAIRS = [(rule, *pair) for rule, scripts in CASES.items() for pair in zip(scripts[::2], scripts[1::2], strict=True)]


@pytest.fixture
def broken_rules(tmp_path: Path):
    """A function that returns the names of the rules that a script breaks."""

    def check(code: str) -> set[str]:
        script = tmp_path / "script.py"
        script.write_text(code, encoding="utf-8")
        return {finding.name for finding in hs.check(script)}

    return check


def test_every_rule_for_scripts_has_a_case() -> None:
    assert set(CASES) == {rule.name for rule in RULES if "scripts" in rule.found_in}


@pytest.mark.parametrize(("rule", "script", "corrected"), PAIRS, ids=[rule for rule, *_ in PAIRS])
def test_a_mistake_is_found_but_not_in_the_corrected_script(broken_rules, rule, script, corrected) -> None:
    assert broken_rules(BEGINNING + script) == {rule}
    assert broken_rules(BEGINNING + corrected) == set()


@pytest.mark.parametrize(
    "script", sorted(Path(__file__).with_name("correct_scripts").glob("*.py")), ids=lambda path: path.stem
)
def test_nothing_is_found_in_correct_scripts(script: Path) -> None:
    assert hs.check(script) == []


@pytest.mark.parametrize(
    ("script", "warnings"),
    [("guide", {"accuracy-of-logits", "batchnorm-not-frozen"}), ("tutorial", {"batchnorm-not-frozen"})],
)
def test_two_common_patterns_have_warnings_but_no_errors(script, warnings) -> None:
    """The warnings are correct: a threshold of 0.5 for logits, and changing statistics (Keras issue 20285)."""
    findings = hs.check(Path(__file__).parent / "common_scripts" / f"{script}.py")
    assert {finding.name for finding in findings} == warnings
    assert {finding.severity for finding in findings} == {"warning"}


def test_place_and_message_of_a_finding(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "from keras import applications, layers, Sequential\n"
        "base = applications.Xception(include_top=False)\n"
        "Sequential([layers.Rescaling(1 / 127.5, offset=1), base])\n"
    )
    (finding,) = hs.check(script)
    assert (finding.code, finding.severity, finding.file, finding.line) == ("HS103", "error", str(script), 3)
    assert finding.message == "Xception was trained on values in [-1, 1], but gets values in [1, 3]."


def test_every_branch_is_checked(broken_rules) -> None:
    """An unknown condition is taken as true and as false, and equal conditions have the same truth."""
    script = (
        "import sys\nif sys.argv[1] == 'vgg':\n"
        "    base, scale = frozen(VGG16), keras.applications.vgg16.preprocess_input\n"
        "elif sys.argv[1] == 'xception':\n    base, scale = frozen(Xception), layers.Rescaling(1 / 127.5, {offset})\n"
        "else:\n    raise SystemExit\nmodel = classifier(base, scale)\n"
        "if sys.argv[2]:\n    train(model, data)\nif not sys.argv[2]:\n    model.compile('adam')\n"
    )
    assert broken_rules(BEGINNING + script.format(offset="1")) == {"wrong-rescaling"}
    assert broken_rules(BEGINNING + script.format(offset="-1")) == set()


def test_models_that_unknown_code_may_have_changed_are_not_reported(broken_rules) -> None:
    script = "from mine import prepare\nmodel = classifier(base)\nmodel.trainable = False\n{}train(model, data)"
    assert broken_rules(BEGINNING + script.format("")) == {"nothing-to-train"}
    assert broken_rules(BEGINNING + script.format("prepare(model)\n")) == set()


def test_functions_and_methods_without_calls_are_checked(broken_rules) -> None:
    function = "def late(rate):\n    train(classifier(base, lambda x: x), data, rate)"
    method = (
        "class Late:\n    def __init__(self, rate):\n        self.rate, self.base = rate, frozen()\n"
        "    def run(self):\n        train(classifier(self.base, lambda x: x), data, self.rate)"
    )
    for script in (function, method):
        assert broken_rules(BEGINNING + script) == {"missing-rescaling"}


def test_modules_beside_a_script_are_checked(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/__init__.py").touch()
    (tmp_path / "lib/sizes.py").write_text(
        "SIZE = 32\nfrom . import models\nfrom ........ import nothing\nimport main\n"
    )
    (tmp_path / "lib/models.py").write_text(
        "from keras import applications, Sequential\nfrom .sizes import SIZE\n\n"
        "def build(size=SIZE):\n"
        "    return Sequential([applications.EfficientNetB0(include_top=False, input_shape=(size, size, 3))])\n"
    )
    for imports in (
        "from lib.models import build",
        "import lib.models as m\nbuild = m.build",
        "from lib.models import *",
    ):
        (tmp_path / "main.py").write_text(f"{imports}\nbuild().summary()\n")
        (finding,) = hs.check(tmp_path / "main.py")
        assert (finding.name, finding.place) == ("input-size-far-from-default", f"{tmp_path / 'lib/models.py'}:5")
    assert hs.check(tmp_path, tmp_path / "main.py") == [finding]
    monkeypatch.chdir(tmp_path)
    assert [finding.place for finding in hs.check(".")] == ["lib/models.py:5"]
    (tmp_path / "lib/sizes.py").write_text("SIZE = 32 if\n")
    assert hs.check(tmp_path / "main.py") == []


def test_files_that_cannot_be_checked(tmp_path: Path) -> None:
    for name, content, message in (
        ("a.py", b"def f(:\n", r"a\.py:1 is not Python 3: invalid syntax"),
        ("b.py", b"x = '\xff'\n", r"b\.py.* is not Python 3: .*unicode"),
        ("c.py", b"x\0", r"c\.py.* null"),
        ("d.txt", b"", r"cannot check .*d\.txt: expected a file that ends in \.py, \.ipynb, \.keras or \.h5"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            hs.check(tmp_path / name)
    with pytest.raises(InputError, match=r"no file at .*nowhere\.py"):
        hs.check(tmp_path / "nowhere.py")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no files to check in .*empty"):
        hs.check(tmp_path / "empty")


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ("import torch\nfrom torch import nn\nmodel = nn.Linear(2, 3)", "it imports torch (PyTorch) in line 1"),
        ("# better than keras\nimport timm", "it imports timm (PyTorch) in line 2"),
        (
            "import numpy\nimport torch\nfrom tensorflow import keras\n(x, y), _ = keras.datasets.mnist.load_data()",
            "it imports torch (PyTorch) in line 2",
        ),
        ("import jax.numpy as jnp", "it imports jax (JAX) in line 1"),
        ("from sklearn.svm import SVC", "it imports sklearn (scikit-learn) in line 1"),
        (
            "import tensorflow as tf\ntf.compat.v1.Session()",
            "it imports tensorflow (TensorFlow without Keras) in line 1",
        ),
        ("import os, csv", "it imports os, csv"),
        ("", "it imports nothing"),
        (
            "from keras.models import Sequential\nmodel = Sequential()\nmodel.fit(x, y, nb_epoch=5)",
            "it is code for Keras 1 (fit with nb_epoch in line 3), which Keras 2 and 3 do not read",
        ),
        ("import keras\nkeras.layers.Conv2D(8, 3, border_mode='same')", "Keras 1 (Conv2D with border_mode in line 2)"),
        ("from keras.layers import *\nConvolution2D(32, 3, 3)", "Keras 1 (Convolution2D with three numbers in line 2)"),
    ],
)
def test_scripts_without_keras_training_are_named(tmp_path: Path, script, seen) -> None:
    (tmp_path / "train.py").write_text(script)
    with pytest.raises(InputError, match=rf"no Keras training seen in .*train\.py: .*{re.escape(seen)}"):
        hs.check(tmp_path / "train.py")


@pytest.mark.parametrize(
    "script",
    [
        "import tensorflow as tf\ntf.keras.layers.Dense(3)",
        "import tensorflow.keras as K\nK.layers.Dense(3)",
        "import tensorflow as tf\nK = tf.keras\nK.layers.Dense(3)",
        "import torch, keras\nkeras.Sequential()",
        "import keras\nkeras.utils.image_dataset_from_directory('a')",
        "import tensorflow_hub as hub\nhub.KerasLayer('a')",
        "from transformers import TFViTModel\nTFViTModel.from_pretrained('a').fit(x)",
        "from tensorflow.keras.layers import Convolution2D\nConvolution2D(32, 3, strides=2)",
        "import keras\ndef train(nb_epoch=3):\n    keras.Model().fit(x, epochs=nb_epoch)\ntrain(nb_epoch=5)",
    ],
)
def test_scripts_with_keras_are_checked(tmp_path: Path, script) -> None:
    (tmp_path / "train.py").write_text(script)
    assert hs.check(tmp_path / "train.py") == []


def test_a_script_without_keras_beside_one_with_keras_is_a_warning(tmp_path: Path, caplog) -> None:
    for name, script in (("a.py", "import torch"), ("b.py", "import keras\nkeras.Sequential()"), ("c.py", "import os")):
        (tmp_path / name).write_text(script)
    assert hs.check(tmp_path) == []
    assert not caplog.text
    assert hs.check(tmp_path / "a.py", tmp_path / "b.py") == []
    assert "a.py: it imports torch (PyTorch) in line 1." in caplog.text
    (tmp_path / "b.py").unlink()
    with pytest.raises(InputError, match=r"a\.py: it imports torch .* The same is true of 1 other file\."):
        hs.check(tmp_path)


def test_folders(tmp_path: Path, caplog) -> None:
    """Unreadable files in a folder lead to a warning; virtual environments are skipped."""
    script = "import keras\nkeras.Sequential([keras.layers.Dense(1, 'softmax')]).compile()"
    for name in ("b/c.py", "a.py", ".git/d.py", "venv/lib/e.py", "old.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(script)
    (tmp_path / "venv/pyvenv.cfg").touch()
    (tmp_path / "old.py").write_text("print 'keras'")
    assert [finding.file for finding in hs.check(tmp_path)] == [str(tmp_path / "a.py"), str(tmp_path / "b/c.py")]
    assert "old.py:1 is not Python 3" in caplog.text


def test_scripts_are_not_executed(tmp_path: Path) -> None:
    (tmp_path / "executed.py").write_text(
        f"open({str(tmp_path / 'trace')!r}, 'w')\nwhile True: pass\nx = 9 ** 9 ** 9 ** 9 # keras"
    )
    (tmp_path / "warns.py").write_text("import keras\nkeras.utils.image_dataset_from_directory('a\\d')")
    assert hs.check(tmp_path) == []
    assert not (tmp_path / "trace").exists()
