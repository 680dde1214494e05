"""Rules about the layers of a network: pixels and size in front of a base, its top, large Dense layers, augmentation.

These are HS101 to HS108, HS129 and HS133. They apply to scripts and model files.
"""

from dataclasses import replace

from headstart.checks.network import WITHOUT_WEIGHTS, Base, Network, Node, Site, find_augmentation
from headstart.checks.pixels import RAW_PIXELS, PixelPath, changes_values, expected_preprocessing, trace_pixels
from headstart.checks.rules.catalog import Report

MIN_SIZE_RATIO, MAX_SIZE_RATIO = 0.4, 2.5
"""Image size relative to the default size of a base. Half of it is common and works: 150 for 299, 96 for 224."""

LARGE_KERNEL = 5_000_000
"""Weights of a Dense layer on a flattened feature map. On a map of 7 x 7, pooling would need 1/49 of them."""


def check_architecture(network: Network, images: Node | None, report: Report) -> None:
    """Check the layers of a network and the input of its bases.

    Args:
        network: the network.
        images: the input of the network, if known.
        report: receives the mistakes.
    """
    check_inputs(network, images, report)
    outer_inputs = ([images],) if images else ()
    for site in network.sites(outer_inputs):
        _check_dense(site, report)
        _check_augmentation(site.node, report)


def check_inputs(network: Network, images: Node | None, report: Report) -> None:
    """Check pixels and size of the images that reach the bases of a network; for the arguments see above."""
    for base, site in network.bases(([images],) if images else ()):
        if base.is_pretrained:
            _check_pixels(base, site, report)
        _check_size(base, site, report)


def _check_pixels(base: Base, site: Site, report: Report) -> None:
    preprocessing, path = expected_preprocessing(base), trace_pixels(site)
    if preprocessing is None or path is None:
        return
    expected = RAW_PIXELS.apply(preprocessing)
    # If the source is not known, its pixels may have been divided by 255 before.
    is_maybe_scaled = not path.starts_raw and (not path.steps or path.values.match(expected, white=1.0))
    if path.values.match(expected) or is_maybe_scaled:
        return
    if replace(path.values, bgr=not path.values.bgr).match(expected):
        if path.starts_raw:
            _report_channels(base, path, site, report)
        return
    trained_on = f"{base.kind} was trained on {_describe_values(preprocessing.name, expected.format_range())}"
    if not path.steps:
        report("missing-rescaling", site.node.line, f"{trained_on}, but gets raw pixels from 0 to 255.")
        return
    gets = f"but gets values in {path.values.format_range()}" + (" with BGR channels" if path.values.bgr else "")
    last_node, _ = path.steps[-1]
    is_expected_alone = any(RAW_PIXELS.apply(step).match(expected) for _, step in path.steps)
    if len(path.steps) == 1 and last_node.layer.kind == "preprocess_input":
        rule, cause = "wrong-preprocess-input", f"The preprocess_input of {last_node.layer.config['family']} is wrong."
    elif not changes_values(preprocessing):
        rule, cause = "double-rescaling", "The base scales its pixels itself."
    elif len(path.steps) > 1 and is_expected_alone:
        rule, cause = "double-rescaling", f"The pixels are scaled {len(path.steps)} times."
    else:
        rule, cause = "wrong-rescaling", ""
    report(rule, last_node.line, f"{cause} {trained_on}, {gets}.".lstrip())


def _report_channels(base: Base, path: PixelPath, site: Site, report: Report) -> None:
    is_bgr = path.source.layer.config.get("bgr")
    cause = "OpenCV reads BGR images" if is_bgr else "the channels are reversed on the way"
    message = f"{base.kind} gets images with red and blue exchanged: {cause}."
    report("wrong-channel-order", path.source.line if is_bgr else site.node.line, message)


def _describe_values(preprocessing_name: str, value_range: str) -> str:
    if preprocessing_name == "caffe":
        return f"BGR pixels minus their mean, in {value_range}"
    if preprocessing_name == "torch":
        return f"pixels normalized by ImageNet's mean and standard deviation, in {value_range}"
    return f"values in {value_range}"


def _check_size(base: Base, site: Site, report: Report) -> None:
    shapes = [node.shape for node in site.node.inputs if node.shape and len(node.shape) == 3]
    size = base.input_size or (shapes[0][:2] if shapes and shapes[0] else None)
    if not size or not all(size):
        return
    smallest_side, model_info = min(side for side in size if side), base.model_info
    images = f"{base.kind} gets images of {size[0]} x {size[1]} pixels"
    line = base.line or site.node.line
    if smallest_side < model_info.min_size:
        report("input-too-small", line, f"{images}; its minimum is {model_info.min_size} x {model_info.min_size}.")
    elif base.is_pretrained and not MIN_SIZE_RATIO <= smallest_side / model_info.default_size <= MAX_SIZE_RATIO:
        trained_on = f"{model_info.default_size} x {model_info.default_size}"
        report("input-size-far-from-default", line, f"{images}; it was trained on {trained_on}.")


def _check_dense(site: Site, report: Report) -> None:
    """Check whether a Dense layer follows the original top of a base, or a large flattened feature map."""
    node = site.node
    if node.layer.kind != "Dense" or isinstance(node.layer, Base):
        return
    previous = list(site.upstream())[1:]
    below = next(
        (other for other in previous if other.layer.kind not in WITHOUT_WEIGHTS or other.layer.kind == "Flatten"), None
    )
    if below is None:
        return
    if below.layer.kind == "Flatten":
        shape, units = below.shape, node.layer.config.get("units")
        has_base = any(isinstance(other.layer, Base) for other in previous)
        if has_base and shape and type(shape[0]) is int and type(units) is int and shape[0] * units >= LARGE_KERNEL:
            layer = f"A Dense layer with {units:,} units on {shape[0]:,} flattened values"
            report("flatten-large-map", below.line or node.line, f"{layer} has {shape[0] * units:,} weights.")
    elif isinstance(below.layer, Base) and _has_imagenet_top(below.layer, below):
        head = f"A Dense layer follows the original top of {below.layer.kind}"
        line = below.layer.line or node.line
        report("top-not-removed", line, f"{head}: its input is 1,000 class probabilities, not features.")


def _has_imagenet_top(base: Base, node: Node) -> bool:
    return base.has_top is True and not node.is_partial and base.config.get("classes", 1000) == 1000


def _check_augmentation(node: Node, report: Report) -> None:
    if node.training is True and (name := find_augmentation(node)):
        message = f"{name} is called with training=True, so it changes images during prediction, too."
        report("augmentation-always-on", node.line, message)
