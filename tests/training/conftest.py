import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 scanned digits from scikit-learn: far from ImageNet, so fine-tuning can help."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("data") / "digits"
    sample = load_digits()
    for number, (pixels, label) in enumerate(zip(sample.images[:600], sample.target[:600], strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray((255 - 15 * pixels).clip(0, 255).astype(np.uint8))
        grey.resize((32, 32), Image.Resampling.BICUBIC).save(folder / str(label) / f"{number:03}.png")
    return folder


@pytest.fixture(scope="session")
def few_digits(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every third of the digits."""
    folder = tmp_path_factory.mktemp("data") / "few-digits"
    for number, path in enumerate(sorted(digits.rglob("*.png"), key=lambda path: path.name)):
        if number % 3 == 0:
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.parent.name)
    return folder


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base for images of 32 pixels that is prepared and trained in a moment: 8 convolutions in 6 blocks.

    Each is followed by BatchNormalization; the features are too few for the digits, so fine-tuning helps.
    """
    rng = np.random.default_rng(0)
    sections = ["[net]\nheight=32\nwidth=32"]
    values = [np.array([0, 2, 5, 0, 0], "<i4").tobytes()]

    def convolution(inputs: int, outputs: int, options: str, size: int = 1, groups: int = 1) -> None:
        sections.append(
            f"[convolutional]\nbatch_normalize=1\npad=1\nfilters={outputs}\nsize={size}\ngroups={groups}\n{options}"
        )
        per_output = inputs // groups * size**2
        bias, mean = rng.normal(0, 0.1, (2, outputs))
        kernel = rng.normal(0, (2 / per_output) ** 0.5, outputs * per_output)
        norm = [bias, np.ones(outputs), mean, rng.uniform(0.8, 1.2, outputs)]
        values.append(np.concatenate([*norm, kernel]).astype("<f4").tobytes())

    convolution(3, 16, "activation=relu6\nstride=2", size=3)
    for inputs, outputs in ((16, 16), (16, 32), (32, 32)):
        convolution(inputs, inputs, f"activation=relu6\nstride={outputs // inputs}", size=3, groups=inputs)
        convolution(inputs, outputs, "activation=linear")
        if inputs == outputs:
            sections.append("[shortcut]\nfrom=-3\nactivation=linear")
    convolution(32, 12, "activation=relu6")
    cfg = tmp_path_factory.mktemp("bases") / "small.cfg"
    cfg.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    cfg.with_suffix(".weights").write_bytes(b"".join(values))
    return f"yolo:{cfg}"
