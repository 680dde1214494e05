"""The rules of `headstart check`: code, name, severity, why it matters, where that is written, and the fix.

docs/checks.md is made of this table (:func:`page`). What finds the mistakes is in ``network_rules.py`` and
``data_rules.py``.
"""

import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

from headstart.errors import InputError, did_you_mean

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Rule:
    """One mistake of the field.

    Attributes:
        code: stable, such as HS101.
        name: in words, such as missing-rescaling.
        severity: ``error`` where the model learns something wrong or nothing, or its score is wrong; ``warning`` where
            it costs quality, or does so in most cases.
        found_in: ``scripts``, ``models`` or both.
        title: one sentence.
        why: what happens, and how it is recognised.
        source: where that is written.
        fix: one sentence.
        example: the right way, a few lines of Python.
    """

    code: str
    name: str
    severity: Severity
    found_in: str
    title: str
    why: str
    source: str
    fix: str
    example: str

    def to_json(self) -> dict[str, Any]:
        """As a dict."""
        return asdict(self)

    def text(self) -> str:
        """The whole entry, for a terminal."""
        head = f"{self.code} {self.name} ({self.severity}; found in {self.found_in})"
        example = textwrap.indent(self.example, "    ")
        paragraphs = [head, self.title, fill(self.why, 100), fill(f"Fix: {self.fix}", 100), example]
        return "\n\n".join([*paragraphs, f"Source: {self.source}"])


@dataclass(frozen=True)
class Finding:
    """A mistake that was found.

    Attributes:
        code: of its rule.
        name: of its rule.
        severity: ``error`` or ``warning``.
        message: what is wrong here.
        file: where.
        line: likewise, from 1; None in a model file.
        fix: what to do.
        cell: number of the code cell in a notebook, from 1; ``line`` counts in it. None elsewhere.
    """

    code: str
    name: str
    severity: Severity
    message: str
    file: str
    line: int | None
    fix: str
    cell: int | None = None

    @property
    def place(self) -> str:
        """File and line: ``train.py:31``, ``train.ipynb:cell 3:7``."""
        return ":".join(
            [self.file, *([f"cell {self.cell}"] if self.cell else []), *([str(self.line)] if self.line else [])]
        )

    def to_json(self) -> dict[str, Any]:
        """As a dict."""
        return asdict(self)


_GUIDE = "https://keras.io/guides/transfer_learning/"
_APPLICATIONS = "https://keras.io/api/applications/"
_LOADING = "https://keras.io/api/data_loading/image/"
_LOSSES = "https://keras.io/api/losses/probabilistic_losses/"
_TF_DATA = "https://www.tensorflow.org/guide/data_performance"

RULES = (
    # --- HS10x: what the base is given -------------------------------------------------------------------------------
    Rule(
        code="HS101",
        name="missing-rescaling",
        severity="error",
        found_in="scripts",
        title="The base is given raw pixels and was trained on scaled ones.",
        why=(
            "Its weights were learnt on values of a certain range, such as [-1, 1]. Pixels of 0 to 255 are far "
            "outside: the features are of little use, and training looks as if the base were a bad one. Models that "
            "scale inside (EfficientNet, EfficientNetV2, MobileNetV3, ConvNeXt) want raw pixels and are not meant."
        ),
        source=_APPLICATIONS,
        fix="Put the base's own preprocess_input, or the Rescaling that equals it, in front of the base.",
        example=(
            "x = keras.applications.xception.preprocess_input(inputs)  # or Rescaling(1 / 127.5, offset=-1)\n"
            "x = base(x, training=False)"
        ),
    ),
    Rule(
        code="HS102",
        name="double-rescaling",
        severity="error",
        found_in="scripts and models",
        title="The pixels are scaled twice.",
        why=(
            "Either the base has a rescaling layer of its own (EfficientNet, EfficientNetV2, MobileNetV3, ConvNeXt: "
            "their preprocess_input does nothing), or two steps do the same in front of it, often one in the data set"
            " and one in the model. All that the base sees is then almost one value."
        ),
        source="https://keras.io/api/applications/efficientnet/",
        fix="Scale once: give such a base raw pixels, and any other one step, best inside the model.",
        example=(
            "base = keras.applications.EfficientNetV2B0(include_top=False)\n"
            "x = base(inputs, training=False)  # pixels of 0 to 255"
        ),
    ),
    Rule(
        code="HS103",
        name="wrong-rescaling",
        severity="error",
        found_in="scripts and models",
        title="The pixels are scaled to another range than the base was trained on.",
        why=(
            "Rescaling(1 / 127.5, offset=1) gives [1, 3] where [-1, 1] is wanted: one sign is enough. [0, 1] is "
            "another usual one: it is what none of the models of Keras Applications wants. ResNet and VGG want BGR "
            "pixels less their mean, which no Rescaling gives. The steps on the way are computed, so that one that "
            "equals preprocess_input is right, whatever it is called."
        ),
        source=_APPLICATIONS,
        fix="Use the preprocess_input of the base, or the Rescaling that equals it.",
        example="x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)  # [0, 255] to [-1, 1]",
    ),
    Rule(
        code="HS104",
        name="other-preprocess-input",
        severity="error",
        found_in="scripts",
        title="The preprocess_input is that of another kind of model.",
        why=(
            "Each module of keras.applications has a preprocess_input of the same name and they differ: [-1, 1] "
            "(Xception, Inception, MobileNet, ResNetV2, NASNet), BGR less the mean (ResNet, VGG), ImageNet's mean and"
            " deviation (DenseNet), nothing (those that scale inside). One of another module that does the same is no"
            " mistake."
        ),
        source=_APPLICATIONS,
        fix="Import preprocess_input from the module of the base.",
        example="from keras.applications.resnet import ResNet50, preprocess_input",
    ),
    Rule(
        code="HS105",
        name="input-too-small",
        severity="error",
        found_in="scripts",
        title="The images are smaller than the base takes.",
        why=(
            "Below 32 pixels a side (71 for Xception, 75 for InceptionV3 and InceptionResNetV2) nothing is left of "
            "the map before the last layers. Keras refuses it when the model is built."
        ),
        source=_APPLICATIONS,
        fix="Use larger images, or resize them inside the model.",
        example="x = keras.layers.Resizing(160, 160)(inputs)",
    ),
    Rule(
        code="HS106",
        name="input-size-far-from-default",
        severity="warning",
        found_in="scripts and models",
        title="The images are much smaller or larger than those that the base was trained on.",
        why=(
            "A convolutional base takes many sizes, and half its own still works. Below 0.4 or above 2.5 times that "
            "size, the objects have another scale than its filters know: the same pictures resized give better "
            "features. A base that was trained on large images, such as EfficientNetB7 (600), is wasted on small "
            "ones."
        ),
        source="Touvron et al., Fixing the train-test resolution discrepancy, https://arxiv.org/abs/1906.06423",
        fix="Resize the images to about the size of the base, or choose a base for your size.",
        example="x = keras.layers.Resizing(224, 224)(inputs)  # 32 pixel photos, for instance",
    ),
    Rule(
        code="HS107",
        name="top-left-on",
        severity="error",
        found_in="scripts and models",
        title="The new head stands on the old top of the base.",
        why=(
            "include_top is True unless it is set: the base then ends in 1,000 probabilities of ImageNet's classes. A"
            " head on these learns from what the base would have answered, not from what it saw."
        ),
        source=_GUIDE,
        fix="Build the base with include_top=False, and pool its last map.",
        example='base = keras.applications.Xception(include_top=False, pooling="avg", input_shape=(299, 299, 3))',
    ),
    # --- HS11x: what is frozen, and how it is trained ----------------------------------------------------------------
    Rule(
        code="HS111",
        name="nothing-to-train",
        severity="error",
        found_in="scripts",
        title="Every layer is frozen when fit is called.",
        why=(
            "trainable = False on the whole model reaches its new head, too. fit then goes through the data and "
            "changes nothing. It is the base that has to be frozen."
        ),
        source=_GUIDE,
        fix="Freeze the base and not the model, or unfreeze the head and compile.",
        example="base.trainable = False  # and not model.trainable = False",
    ),
    Rule(
        code="HS112",
        name="nothing-frozen",
        severity="warning",
        found_in="scripts",
        title="A pretrained base is trained together with a new head, at a high learning rate.",
        why=(
            "The new head is random at first, and so are the gradients that it sends back. At a rate of 0.001 (Adam's"
            " default) these first steps spoil what the base has learnt before the head is of any use. Training all "
            "of it from the beginning at a low rate is not meant."
        ),
        source="Kumar et al., Fine-Tuning can Distort Pretrained Features, https://arxiv.org/abs/2202.10054",
        fix="Freeze the base, train the head, then unfreeze and compile with a low learning rate.",
        example=("base.trainable = False\nmodel.compile(...)\nmodel.fit(...)"),
    ),
    Rule(
        code="HS113",
        name="frozen-random-weights",
        severity="error",
        found_in="scripts and models",
        title="The base is frozen and its weights are random.",
        why=(
            "weights=None builds a base that has learnt nothing, and frozen it never will. In a model file this is "
            "seen by BatchNormalization statistics that are exactly as they were made."
        ),
        source=_APPLICATIONS,
        fix='Build the base with weights="imagenet" (the default), load weights, or do not freeze it.',
        example='base = keras.applications.Xception(weights="imagenet", include_top=False)',
    ),
    Rule(
        code="HS114",
        name="unfreeze-without-effect",
        severity="error",
        found_in="scripts",
        title="A slice of the base is unfrozen although all of it was trainable.",
        why=(
            "base.trainable = True unfreezes every layer. To set it True once more for base.layers[10:] changes "
            "nothing: the first ten layers, which were meant to stay frozen, are trained as well. The same happens if"
            " the base was never frozen."
        ),
        source="https://www.tensorflow.org/tutorials/images/transfer_learning#un-freeze_the_top_layers_of_the_model",
        fix="Set trainable = False for the layers that are to stay frozen.",
        example=("base.trainable = True\nfor layer in base.layers[:10]:\n    layer.trainable = False"),
    ),
    Rule(
        code="HS115",
        name="trainable-without-compile",
        severity="error",
        found_in="scripts",
        title="trainable is changed between two calls of fit without compiling again.",
        why=(
            "The training step that Keras built for the first fit is used again by the second, with the weights that "
            "were trainable then: fine-tuning seems to run, and the base stays frozen. What is frozen late goes on "
            "being trained."
        ),
        source="https://keras.io/guides/transfer_learning/#finetuning",
        fix="Call compile after every change of trainable.",
        example=(
            "base.trainable = True\n"
            "model.compile(optimizer=keras.optimizers.Adam(1e-5), loss=..., metrics=[...])\n"
            "model.fit(...)"
        ),
    ),
    Rule(
        code="HS116",
        name="learning-rate-too-high",
        severity="warning",
        found_in="scripts and models",
        title="Pretrained layers are trained at a high learning rate.",
        why=(
            "Fine-tuning is to change the base a little. At Adam's default of 0.001 (or with SGD at 0.05 and more) a "
            "few batches undo what it has learnt. A schedule with warm-up, or a callback that sets the rate, is not "
            "judged."
        ),
        source=_GUIDE,
        fix="Compile with a learning rate of about 1e-5 for fine-tuning.",
        example="model.compile(optimizer=keras.optimizers.Adam(1e-5), loss=..., metrics=[...])",
    ),
    Rule(
        code="HS117",
        name="frozen-in-name-only",
        severity="warning",
        found_in="scripts and models",
        title="BatchNormalization moves although the base is called with training=False.",
        why=(
            "training=False is meant to keep the statistics of the base still while it is fine-tuned. In Keras 3 up "
            "to 3.15.1 that fails in fit: a model built with the functional API does not hand the argument on to "
            "layers inside a nested model, and the moving mean and variance follow the new data. Only trainable = "
            "False on each BatchNormalization keeps them."
        ),
        source="https://github.com/keras-team/keras/issues/20285",
        fix="Freeze the BatchNormalization layers after unfreezing the base.",
        example=(
            "base.trainable = True\n"
            "for layer in base.layers:\n"
            "    if isinstance(layer, keras.layers.BatchNormalization):\n"
            "        layer.trainable = False"
        ),
    ),
    Rule(
        code="HS118",
        name="batchnorm-in-training-mode",
        severity="warning",
        found_in="scripts",
        title="The BatchNormalization layers of a pretrained base are trained.",
        why=(
            "Unfrozen, they normalise each batch by itself and move their statistics towards it. With small batches "
            "of new pictures this destroys what the rest of the base relies on, often in the first epoch."
        ),
        source="https://keras.io/guides/transfer_learning/#finetuning",
        fix="Freeze the BatchNormalization layers after unfreezing the base.",
        example=(
            "base.trainable = True\n"
            "for layer in base.layers:\n"
            "    if isinstance(layer, keras.layers.BatchNormalization):\n"
            "        layer.trainable = False"
        ),
    ),
    Rule(
        code="HS119",
        name="optimizer-used-again",
        severity="error",
        found_in="scripts",
        title="An optimizer object that has trained is used for other weights.",
        why=(
            "Its momentum and its step count belong to the weights that it was built for. Keras 3 stops with `Unknown"
            " variable`; older versions went on with a state that does not fit."
        ),
        source="https://keras.io/api/optimizers/",
        fix="Make a new optimizer for each compile.",
        example="model.compile(optimizer=keras.optimizers.Adam(1e-5), loss=..., metrics=[...])",
    ),
    # --- HS12x: outputs, loss, metrics -------------------------------------------------------------------------------
    Rule(
        code="HS121",
        name="softmax-with-from-logits",
        severity="error",
        found_in="scripts and models",
        title="The model ends in softmax or sigmoid, and the loss applies it again.",
        why=(
            "from_logits=True tells the loss that it gets raw scores. Probabilities squeezed once more lie close "
            "together: the gradients are small, training stalls, and the loss cannot reach zero. The TensorFlow "
            "backend warns and puts it right where it can see the activation; torch and JAX do not."
        ),
        source=_LOSSES,
        fix="Leave out the activation, or from_logits=True.",
        example=(
            'outputs = keras.layers.Dense(5, activation="softmax")(x)\n'
            'model.compile("adam", "sparse_categorical_crossentropy")'
        ),
    ),
    Rule(
        code="HS122",
        name="logits-without-from-logits",
        severity="error",
        found_in="scripts and models",
        title="The model ends without activation, and the loss expects probabilities.",
        why=(
            "A Dense layer without activation gives any number, and crossentropy takes its logarithm: values are cut "
            "off at 0 and 1, and most examples send back no gradient."
        ),
        source=_LOSSES,
        fix="Add the activation, or from_logits=True to the loss.",
        example=(
            "outputs = keras.layers.Dense(5)(x)\nloss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
        ),
    ),
    Rule(
        code="HS123",
        name="accuracy-of-logits",
        severity="warning",
        found_in="scripts and models",
        title="The accuracy compares logits with a threshold for probabilities.",
        why=(
            "Dense(1) without activation gives logits, of which 0 means a probability of one half. Accuracy, "
            "precision and recall for two classes compare with 0.5 unless told otherwise: that is a probability of "
            "0.62, and the figure is not the one of the model's decisions."
        ),
        source="https://keras.io/api/metrics/accuracy_metrics/#binaryaccuracy-class",
        fix="Give the metric a threshold of 0, or the layer a sigmoid.",
        example="metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)]",
    ),
    Rule(
        code="HS124",
        name="loss-for-other-labels",
        severity="error",
        found_in="scripts",
        title="The loss is for labels of another form.",
        why=(
            "Class numbers go with sparse_categorical_crossentropy, one-hot vectors with categorical_crossentropy, 0 "
            "and 1 in one column with binary_crossentropy on one unit. image_dataset_from_directory gives class "
            "numbers unless label_mode says otherwise, ImageDataGenerator one-hot vectors. Some wrong pairs stop with"
            " an error, others train on nonsense."
        ),
        source=_LOSSES,
        fix="Choose the loss for the labels, or label_mode for the loss.",
        example=(
            'train = keras.utils.image_dataset_from_directory("photos")  # label_mode="int"\n'
            'model.compile("adam", "sparse_categorical_crossentropy")'
        ),
    ),
    Rule(
        code="HS125",
        name="loss-for-other-outputs",
        severity="warning",
        found_in="scripts and models",
        title="The loss does not belong to the activation.",
        why=(
            "softmax gives one distribution over all classes, judged by categorical crossentropy. sigmoid gives every"
            " class a probability of its own, judged by binary crossentropy. Mixed, it may train, but the loss is not"
            " that of the model's answer."
        ),
        source=_LOSSES,
        fix=(
            "softmax with categorical crossentropy for one class of several, sigmoid with binary for one label or many."
        ),
        example=(
            'outputs = keras.layers.Dense(5, activation="softmax")(x)\n'
            'model.compile("adam", "sparse_categorical_crossentropy")'
        ),
    ),
    Rule(
        code="HS126",
        name="one-unit-softmax",
        severity="error",
        found_in="scripts and models",
        title="softmax over one unit.",
        why=(
            "softmax makes its outputs add up to 1. With one output that is 1 for every picture: there is nothing to "
            "learn."
        ),
        source="https://keras.io/api/layers/activations/#softmax-function",
        fix="Dense(1) with sigmoid, or one unit for each class with softmax.",
        example=(
            'outputs = keras.layers.Dense(1, activation="sigmoid")(x)\nmodel.compile("adam", "binary_crossentropy")'
        ),
    ),
    Rule(
        code="HS127",
        name="one-unit-categorical",
        severity="error",
        found_in="scripts and models",
        title="Categorical crossentropy on one output.",
        why=(
            "It compares distributions over classes. Over one class there is only one, so the loss is 0 whatever the "
            "model says, and accuracy is that of chance."
        ),
        source=_LOSSES,
        fix="binary_crossentropy for one output, or one unit for each class.",
        example=(
            'outputs = keras.layers.Dense(1, activation="sigmoid")(x)\nmodel.compile("adam", "binary_crossentropy")'
        ),
    ),
    Rule(
        code="HS128",
        name="units-not-classes",
        severity="error",
        found_in="scripts",
        title="The last layer has not one unit for each class.",
        why=(
            "With fewer units than classes some labels are out of range, which is an error on a CPU and NaN on a GPU."
            " With more, some outputs are for nothing, and the number is mostly a slip. It is checked where the "
            "script says how many classes there are."
        ),
        source=_LOSSES,
        fix="Take the number of units from the data.",
        example="outputs = keras.layers.Dense(len(train.class_names))(x)",
    ),
    Rule(
        code="HS129",
        name="flatten-large-map",
        severity="warning",
        found_in="scripts and models",
        title="A large map of the base is flattened into a Dense layer.",
        why=(
            "Every position of every channel gets weights of its own: millions, for what are mostly a few hundred or "
            "thousand pictures. The head learns them by heart. Global average pooling has one value for each channel,"
            " has no weights and does not care about the image size. Reported from 5 million weights on."
        ),
        source="Lin et al., Network In Network, https://arxiv.org/abs/1312.4400",
        fix="Use GlobalAveragePooling2D in place of Flatten.",
        example="x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))",
    ),
    # --- HS13x: data -------------------------------------------------------------------------------------------------
    Rule(
        code="HS131",
        name="augmentation-before-cache",
        severity="warning",
        found_in="scripts",
        title="The data set is cached after augmentation.",
        why=(
            "cache keeps what it has seen in the first epoch. The random versions of that epoch come again in all "
            "others: it is as if there were no augmentation, with worse pictures."
        ),
        source=_TF_DATA,
        fix="cache first, then augment; or put the augmentation into the model.",
        example=(
            "train = train.cache().map(lambda x, y: (augmentation(x, training=True), y)).prefetch(tf.data.AUTOTUNE)"
        ),
    ),
    Rule(
        code="HS132",
        name="augmentation-on-validation",
        severity="error",
        found_in="scripts",
        title="Validation or test data are augmented.",
        why=(
            "The score is then that of random versions: lower, different each time, and not what the model does with "
            "pictures as they come. An ImageDataGenerator with validation_split augments both parts."
        ),
        source="https://keras.io/guides/preprocessing_layers/",
        fix="Augment the training data only; augmentation layers inside the model take care of that themselves.",
        example=(
            "validation = keras.preprocessing.image.ImageDataGenerator(rescale=1 / 255)  # a generator of its own"
        ),
    ),
    Rule(
        code="HS133",
        name="augmentation-always-on",
        severity="error",
        found_in="scripts and models",
        title="Augmentation is active at prediction.",
        why=(
            "Random layers are switched off outside training by themselves. Called with training=True inside the "
            "model they are not: each prediction is that of a random version of the picture."
        ),
        source="https://keras.io/guides/preprocessing_layers/",
        fix="Call the augmentation without training=True.",
        example="x = augmentation(inputs)",
    ),
    Rule(
        code="HS134",
        name="splits-overlap",
        severity="error",
        found_in="scripts",
        title="Training and validation part of a folder are not divided in the same way.",
        why=(
            "image_dataset_from_directory shuffles the files, then takes its part. Both calls have to shuffle with "
            "the same seed and to divide at the same place; otherwise pictures are in both parts, and the score is "
            "too good. Without a seed Keras stops."
        ),
        source=_LOADING,
        fix='Give both calls the same seed and validation_split, or use subset="both".',
        example=(
            "train, validation = keras.utils.image_dataset_from_directory(\n"
            '    "photos", validation_split=0.2, subset="both", seed=1\n'
            ")"
        ),
    ),
    Rule(
        code="HS135",
        name="validation-is-training",
        severity="error",
        found_in="scripts",
        title="The model is validated on its training data.",
        why="The score says how well it remembers. Over-fitting cannot be seen, and early stopping stops nothing.",
        source=_LOADING,
        fix="Keep a part of the data apart.",
        example=(
            "train, validation = keras.utils.image_dataset_from_directory(\n"
            '    "photos", validation_split=0.2, subset="both", seed=1\n'
            ")"
        ),
    ),
    Rule(
        code="HS136",
        name="split-after-reshuffle",
        severity="error",
        found_in="scripts",
        title="A data set that is shuffled anew in every epoch is divided by take and skip.",
        why=(
            "tf.data's shuffle gives another order each time that the data set is gone through. The first 800 "
            "elements are others in every epoch, so that after a few the model has trained on all that it is "
            "validated on."
        ),
        source="https://www.tensorflow.org/api_docs/python/tf/data/Dataset#shuffle",
        fix="Divide first and shuffle the training part, or set reshuffle_each_iteration=False.",
        example="validation, train = data.take(200), data.skip(200).shuffle(1000)",
    ),
    Rule(
        code="HS137",
        name="predict-in-other-order",
        severity="error",
        found_in="scripts",
        title="Predictions and labels come from a data set that is shuffled each time.",
        why=(
            "To go through it for the labels and again for predict gives two orders: confusion matrix and report then"
            " compare each picture with the label of another, and look like chance. image_dataset_from_directory and "
            "flow_from_directory shuffle unless told otherwise."
        ),
        source=_LOADING,
        fix="Load the test data with shuffle=False.",
        example='test = keras.utils.image_dataset_from_directory("test", shuffle=False)',
    ),
)
"""All rules, by code."""

_BY_NAME = {**{rule.name: rule for rule in RULES}, **{rule.code: rule for rule in RULES}}


def find(name: str) -> Rule:
    """A rule by code or name.

    Raises:
        InputError: there is none.
    """
    rule = _BY_NAME.get(name.upper()) or _BY_NAME.get(name.lower())
    if rule is None:
        raise InputError(
            f"there is no rule {name!r}: `headstart check --rules` lists them.{did_you_mean(name, _BY_NAME)}"
        )
    return rule


def finding(name: str, message: str, file: Path, line: int, cell: int | None = None) -> Finding:
    """A finding of a rule; ``line`` is 0 where there is none."""
    rule = find(name)
    first = message.partition(" ")[0]
    text = message[:1].upper() + message[1:] if first.isalpha() and first.islower() else message
    return Finding(rule.code, rule.name, rule.severity, text, str(file), line or None, rule.fix, cell)


def page() -> str:
    """docs/checks.md."""
    rows = ["| code | name | severity | found in | what |", "|---|---|---|---|---|"]
    for rule in RULES:
        link = f"[{rule.code}](#{rule.code.lower()}-{rule.name})"
        rows.append(f"| {link} | `{rule.name}` | {rule.severity} | {rule.found_in} | {rule.title} |")
    parts = [_INTRODUCTION, "\n".join(rows)]
    for rule in RULES:
        source = rule.source if " " in rule.source else f"<{rule.source}>"
        parts.append(f"## {rule.code} {rule.name}\n\n**{rule.title}** ({rule.severity}; found in {rule.found_in})")
        parts += [
            fill(rule.why, 120, break_on_hyphens=False),
            rule.fix,
            f"```python\n{rule.example}\n```",
            f"Source: {source}",
        ]
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """# What `headstart check` looks for

    headstart check train.py                   # a script or a notebook: read, never run
    headstart check model.keras                # a model: opened without running code that it may hold
    headstart check --explain HS103            # one of the rules below, in the terminal

`check` looks at your own Keras transfer learning. It follows a script through its functions, loops and conditions, and
into the modules beside it, on what is known of each value. It speaks only of what is wrong for certain: what it cannot
know (an option from the command line, a helper of another package) raises no alarm, so silence is no proof. `--json`
prints the findings for programs. The exit code is 2 if there is an error (`--fail-on warning`: anything; `never`: 0 all
the same)."""
