"""The rules that look at a network: what its base is given, what is frozen in it, what comes out and how it is judged.

They hold for scripts and for model files alike. ``report(rule, line, message)`` takes what they find.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from headstart.checks.network import (
    AUGMENTATION,
    SOME,
    UNKNOWN,
    WITHOUT_WEIGHTS,
    Base,
    Compiled,
    Network,
    Node,
    Site,
    differ,
    trains,
)
from headstart.checks.pixels import RAW, does_something, wanted_by, way_to

Report = Callable[[str, int, str], None]

FAR_BELOW, FAR_ABOVE = 0.4, 2.5
"""Multiples of the size that a base was trained on. Half is common, and works: 150 for 299, 96 for 224."""

HIGH_RATE = {"SGD": 0.05, "Adagrad": 0.05, "Adadelta": 10.0, "Ftrl": 0.05}
"""Learning rates from which on fine-tuning does harm; 0.001 for Adam and its kin, whose default it is."""

LARGE_KERNEL = 5_000_000
"""Weights of a Dense layer on a flattened map, of which pooling would need 1/49 at a map of 7 x 7."""

_NAMES = {
    "binary": "binary_crossentropy",
    "categorical": "categorical_crossentropy",
    "sparse": "sparse_categorical_crossentropy",
}


# --- what the base is given ----------------------------------------------------------------------------------------


def check_architecture(network: Network, images: Node | None, report: Report) -> None:
    """See what a network is made of, and what its bases see.

    Args:
        network: the network.
        images: what it is given, if that is known.
        report: takes what is found.
    """
    outside = ([images],) if images else ()
    for base, site in network.bases(outside):
        if base.pretrained:
            _check_values(base, site, report)
        _check_size(base, site, report)
    for site in network.sites(outside):
        _check_dense(site, report)
        _check_augmentation(site.node, report)


def _check_values(base: Base, site: Site, report: Report) -> None:
    wanted, way = wanted_by(base), way_to(site)
    if wanted is None or way is None:
        return
    should = RAW.after(wanted)
    # Pixels that we know nothing of may have been divided by 255 before.
    if way.values.are(should) or (not way.from_raw and (not way.steps or way.values.are(should, brightest=1.0))):
        return
    wants = f"{base.kind} was trained on {_described(wanted.name, should.range())}"
    if not way.steps:
        report("missing-rescaling", site.node.line, f"{base.kind} is given raw pixels of 0 to 255. {wants}.")
        return
    last, _ = way.steps[-1]
    gets = f"what reaches it is in {way.values.range()}" + (", with the channels as BGR" if way.values.bgr else "")
    if len(way.steps) == 1 and last.layer.kind == "preprocess_input":
        family = last.layer.config["family"]
        rule, what = "other-preprocess-input", f"preprocess_input of {family} is for other models. {wants}"
    elif not does_something(wanted):
        rule, what = "double-rescaling", f"{base.kind} scales its pixels itself, and they are scaled before"
    elif len(way.steps) > 1 and any(RAW.after(step).are(should) for _, step in way.steps):
        rule, what = "double-rescaling", f"the pixels are scaled {len(way.steps)} times. {wants}"
    else:
        rule, what = "wrong-rescaling", wants
    report(rule, last.line, f"{what}; {gets}.")


def _described(name: str, values: str) -> str:
    if name == "caffe":
        return f"BGR pixels less their mean, {values}"
    return f"pixels less ImageNet's mean over its deviation, {values}" if name == "torch" else f"values in {values}"


def _check_size(base: Base, site: Site, report: Report) -> None:
    shapes = [node.shape for node in site.node.inputs if node.shape and len(node.shape) == 3]
    size = base.size or (shapes[0][:2] if shapes and shapes[0] else None)
    if not size or not all(size):
        return
    smallest, facts = min(side for side in size if side), base.facts
    shown = f"{base.kind} is given images of {size[0]} x {size[1]} pixels"
    line = base.line or site.node.line
    if smallest < facts.min_size:
        report("input-too-small", line, f"{shown}; the smallest that it takes are {facts.min_size} x {facts.min_size}.")
    elif base.pretrained and not FAR_BELOW <= smallest / facts.default_size <= FAR_ABOVE:
        report("input-size-far-from-default", line, f"{shown}; it was trained on {facts.default_size}.")


def _check_dense(site: Site, report: Report) -> None:
    """A Dense layer on the top that was to be removed, or on a large flattened map."""
    node = site.node
    if node.layer.kind != "Dense" or isinstance(node.layer, Base):
        return
    before = list(site.upstream())[1:]
    below = next((one for one in before if one.layer.kind not in WITHOUT_WEIGHTS or one.layer.kind == "Flatten"), None)
    if below is None:
        return
    if below.layer.kind == "Flatten":
        shape, units = below.shape, node.layer.config.get("units")
        source = next((one for one in before if isinstance(one.layer, Base)), None)
        if source and shape and type(shape[0]) is int and type(units) is int and shape[0] * units >= LARGE_KERNEL:
            what = f"a Dense layer of {units:,} units on {shape[0]:,} flattened values has {shape[0] * units:,} weights"
            report("flatten-large-map", below.line or node.line, f"{what}.")
    elif isinstance(below.layer, Base) and _has_imagenet_top(below):
        what = f"a Dense layer stands on the top of {below.layer.kind}: on its 1,000 class probabilities"
        report("top-left-on", below.layer.line or node.line, f"{what}, not on its features.")


def _has_imagenet_top(node: Node) -> bool:
    base = node.layer
    return isinstance(base, Base) and base.top is True and not node.partial and base.config.get("classes", 1000) == 1000


def _check_augmentation(node: Node, report: Report) -> None:
    if node.training is True and (name := augmentation_in(node)):
        report(
            "augmentation-always-on", node.line, f"{name} is called with training=True: predictions are random, too."
        )


def augmentation_in(node: Node) -> str | None:
    """The name of an augmentation that a node applies, if it does; one switched off does not count."""
    if node.training is False:
        return None
    if isinstance(node.layer, Network):
        return next((layer.kind for layer in node.layer.layers() if layer.kind in AUGMENTATION), None)
    return node.layer.kind if node.layer.kind in AUGMENTATION else None


# --- what comes out of it ------------------------------------------------------------------------------------------


class Output(NamedTuple):
    """What a network ends in.

    Attributes:
        units: number of outputs, or :data:`UNKNOWN`.
        activation: its name, ``linear`` for none, or :data:`UNKNOWN`.
        line: of the last Dense layer.
    """

    units: Any
    activation: Any
    line: int


def output_of(network: Network) -> Output | None:
    """What a network ends in, if that is a Dense layer and perhaps an activation."""
    if len(network.outputs) != 1:
        return None
    activation = "linear"
    for node in Site(network.outputs[0], ()).upstream():
        layer = node.layer
        if layer.kind == "Dense":
            own = layer.config.get("activation") or "linear"
            return Output(layer.config.get("units", UNKNOWN), own if activation == "linear" else activation, layer.line)
        if layer.kind == "Activation":
            activation = layer.config.get("activation") or "linear"
        elif layer.kind == "Softmax":
            activation = "softmax"
        elif layer.kind not in ("Dropout", "cast", "Identity"):
            return None
    return None


def check_outputs(network: Network, report: Report) -> None:
    """See that outputs, loss and metrics of a compiled network belong together."""
    output, compiled = output_of(network), network.compiled
    if output is None:
        return
    if output.units == 1 and output.activation == "softmax":
        report("one-unit-softmax", output.line, "softmax over one unit is 1 for every picture.")
        return
    if compiled is None or compiled.loss not in _NAMES:
        return
    loss, line = _NAMES[compiled.loss], compiled.line or output.line
    if output.units == 1 and compiled.loss != "binary":
        report("one-unit-categorical", line, f"{loss} with one output is 0 whatever the answer: nothing is learned.")
        return
    _check_logits(output, compiled, line, report)
    if compiled.loss == "binary" and output.activation == "softmax":
        report("loss-for-other-outputs", line, "binary_crossentropy judges softmax outputs as if each stood alone.")
    elif compiled.loss != "binary" and output.activation == "sigmoid":
        report(
            "loss-for-other-outputs", line, f"{loss} expects one distribution, and sigmoid gives each class its own."
        )


def _check_logits(output: Output, compiled: Compiled, line: int, report: Report) -> None:
    if compiled.from_logits is True and output.activation in ("softmax", "sigmoid"):
        what = f"the model ends in {output.activation}, and the loss applies it again (from_logits=True)"
        report("softmax-with-from-logits", line, f"{what}.")
    if output.activation != "linear":
        return
    if compiled.from_logits is False:
        what = "the last Dense layer has no activation, and the loss takes its outputs for probabilities"
        report("logits-without-from-logits", line, f"{what} (from_logits=False, the default).")
        return
    metrics = [one for one in compiled.metrics if output.units == 1 or one not in ("accuracy", "acc")]
    if compiled.from_logits is True and metrics:
        what = f"{' and '.join(metrics)} compares logits with 0.5, which is a probability of 0.62"
        report("accuracy-of-logits", line, f"{what}.")


def check_labels(network: Network, form: Any, classes: Any, line: int, report: Report) -> None:
    """See that loss and outputs fit the labels.

    Args:
        network: compiled.
        form: of the labels: ``int``, ``one-hot``, ``binary`` or :data:`UNKNOWN`.
        classes: how many, or :data:`UNKNOWN`.
        line: of the call of ``fit``.
        report: takes what is found.
    """
    output, compiled = output_of(network), network.compiled
    loss: Any = compiled.loss if compiled else UNKNOWN
    units = output.units if output else UNKNOWN
    several = type(units) is int and units > 1
    wrong = {
        ("int", "categorical"),
        ("one-hot", "sparse"),
        *({("int", "binary"), ("binary", "categorical")} if several else ()),
        *({("one-hot", "binary")} if units == 1 else ()),
    }
    if compiled and (form, loss) in wrong:
        shown = {"int": "class numbers", "one-hot": "one-hot vectors", "binary": "0 and 1 in one column"}[form]
        where = compiled.line or line
        what = f"the labels are {shown}, and the loss is {_NAMES[loss]}" + (f" on {units} outputs" if several else "")
        report("loss-for-other-labels", where, f"{what}.")
    elif output and loss in _NAMES and type(units) is type(classes) is int and units != classes:
        if (units, classes) == (1, 2):
            return
        what = f"the last Dense layer has {units} units, and the data {classes} classes"
        report("units-not-classes", output.line, f"{what}.")


# --- what is frozen ------------------------------------------------------------------------------------------------


def check_training(network: Network, line: int, report: Report) -> None:
    """See what a compiled network trains, at the moment of a ``fit``.

    Args:
        network: compiled.
        line: of the call of ``fit``; 0 in a model file.
        report: takes what is found.
    """
    compiled = network.compiled
    changed = differ(compiled.fitted_states, network.states()) if compiled else []
    if changed:
        where = max(layer.trainable.changed_line for layer in changed)
        what = "trainable was changed after fit, and fit is called again without compiling"
        report("trainable-without-compile", where, f"{what} (line {line}).")
    _check_anything_trains(network, line, report)
    for base, site in network.bases():
        check_slices(base, report)
        weights, normalization = trains(base, network)
        if base.weights is None and weights is normalization is False:
            what = f"{base.kind} has random weights (weights=None) and is frozen"
            report("frozen-random-weights", base.line, f"{what}: its features are noise.")
        classifies = any(layer.kind == "Dense" for layer in network.layers())
        if classifies and base.pretrained and weights in (True, SOME):
            _check_fine_tuning(base, site.node, network, normalization, line, report)


def check_slices(base: Base, report: Report) -> None:
    """See whether a slice of a base was unfrozen that was not frozen."""
    where = base.trainable.idle_line
    if where is not None:
        what = f"a slice of the layers of {base.kind} is set trainable, when all of them are"
        report("unfreeze-without-effect", where, f"{what}: nothing stays frozen.")


def _check_anything_trains(network: Network, line: int, report: Report) -> None:
    layers = [layer for layer in network.layers() if layer.kind not in WITHOUT_WEIGHTS | AUGMENTATION]
    leaves = [layer for layer in layers if not isinstance(layer, (Network, Base))]
    bases = network.bases()
    if not bases or any(layer.kind == "unknown" for layer in leaves):
        return
    still = [layer.trainable.weights is False for layer in leaves]
    still += [trains(base, network) == (False, False) for base, _ in bases]
    if network.trainable.own is False or all(still):
        report("nothing-to-train", line, "every layer is frozen: fit changes nothing.")


def _check_fine_tuning(base: Base, node: Node, network: Network, normalization: Any, line: int, report: Report) -> None:
    compiled, state = network.compiled or Compiled(), base.trainable
    rate, limit = compiled.learning_rate, HIGH_RATE.get(str(compiled.optimizer), 1e-3)
    if isinstance(rate, (int, float)) and rate >= limit * 0.999:
        how = f"{compiled.optimizer} at a learning rate of {rate:g}"
        if line and not network.fitted_line and state.weights is True:
            report("nothing-frozen", line, f"all of {base.kind} is trained together with a new head, by {how}.")
            return
        report("learning-rate-too-high", compiled.line or line, f"{how} trains pretrained layers of {base.kind}.")
    if normalization not in (True, SOME) or not base.has_batchnorm:
        return
    where = state.changed_line or line
    if node.training is False:
        what = f"{base.kind} is unfrozen with its BatchNormalization layers; training=False does not keep them still"
        report("frozen-in-name-only", where, f"{what} in Keras 3 up to 3.15.1.")
    elif node.training is None:
        what = f"the BatchNormalization layers of {base.kind} are unfrozen: their statistics follow your batches"
        report("batchnorm-in-training-mode", where, f"{what}.")
