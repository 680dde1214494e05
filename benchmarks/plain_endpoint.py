"""What most people write: a FastAPI endpoint that calls Keras's ``model.predict`` for each picture.

    RUN=runs/photos uvicorn --app-dir benchmarks plain_endpoint:app

benchmarks/serving.py starts it, to compare. An ordinary ``def``, as FastAPI advises for work that blocks: it is called
in threads.
"""

import json
import os
from pathlib import Path

import keras
import numpy as np
from fastapi import FastAPI, UploadFile
from PIL import Image

_FOLDER = Path(os.environ["RUN"])
_FACTS = json.loads((_FOLDER / "run.json").read_text(encoding="utf-8"))
_HEIGHT, _WIDTH = _FACTS["base"]["input_size"]

app = FastAPI()
model = keras.models.load_model(_FOLDER / "model.keras")
model.predict(np.zeros((1, _HEIGHT, _WIDTH, 3), np.uint8), verbose=0)  # the first call traces


@app.post("/predict")
def predict(files: UploadFile) -> dict[str, object]:
    """Say what a picture shows."""
    picture = Image.open(files.file).convert("RGB").resize((_WIDTH, _HEIGHT))
    probabilities = model.predict(np.asarray(picture)[np.newaxis], verbose=0)[0]
    best = int(probabilities.argmax())
    return {
        "predicted": _FACTS["classes"][best],
        "probability": float(probabilities[best]),
        "probabilities": dict(zip(_FACTS["classes"], map(float, probabilities), strict=True)),
    }
