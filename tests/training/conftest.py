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
