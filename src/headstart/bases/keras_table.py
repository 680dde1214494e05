"""Facts about the 40 image models of Keras Applications, so that listing and checking them needs no Keras.

Names, addresses and digests are those in Keras 3.15. Accuracies and depths are those of keras.io/api/applications
(MobileNetV3: of Keras's docstring), None if Keras publishes none. The number of parameters is without the top.
tests/contracts/test_keras_applications.py compares all facts with the installed Keras.
"""

from typing import Any, NamedTuple

from headstart.bases.base import Preprocessing

_SERVER = "https://storage.googleapis.com/"
_FOLDER = _SERVER + "tensorflow/keras-applications/"
_ORDERING = "_weights_tf_dim_ordering_tf_kernels"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_BUILT_IN = Preprocessing("built in")
_TF = Preprocessing("[-1, 1]", 1 / 127.5, -1.0)
_CAFFE = Preprocessing("caffe", 1.0, (-103.939, -116.779, -123.68), bgr=True)
_TORCH = Preprocessing(
    "torch",
    tuple(1 / (255 * std) for std in IMAGENET_STD),  # type: ignore[arg-type]
    tuple(-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)),  # type: ignore[arg-type]
)


class Model(NamedTuple):
    """Facts about one model.

    Args:
        name: of its function in ``keras.applications``.
        preprocessing: from raw pixels to its input.
        default_size: side length in pixels that it was trained with.
        min_size: smallest side length in pixels.
        feature_dim: d, channels of its last feature map.
        params: number of weights without the top.
        depth: layers, as Keras publishes it.
        top1: published ImageNet top-1 accuracy in percent.
        top5: published ImageNet top-5 accuracy in percent.
        url: of its weights files, without ``.h5``; for the MobileNets it depends on options.
        digests: of the files with and without the top, as Keras states them.
    """

    name: str
    preprocessing: Preprocessing
    default_size: int
    min_size: int
    feature_dim: int
    params: int
    depth: int | None
    top1: float | None
    top5: float | None
    url: str
    digests: tuple[str, str] = ("", "")

    @property
    def size_mb(self) -> float:
        """Size of the weights file without the top, in MB."""
        return self.params * 4 / 1e6


# fmt: off
MODELS = (
    Model("ConvNeXtBase", _BUILT_IN, 224, 32, 1024, 87_566_464, None, 85.3, None, _FOLDER + "convnext/convnext_base",
          ("52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6",
           "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45")),
    Model("ConvNeXtLarge", _BUILT_IN, 224, 32, 1536, 196_230_336, None, 86.3, None, _FOLDER + "convnext/convnext_large",
          ("070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6",
           "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd")),
    Model("ConvNeXtSmall", _BUILT_IN, 224, 32, 768, 49_454_688, None, 82.3, None, _FOLDER + "convnext/convnext_small",
          ("ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c",
           "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab")),
    Model("ConvNeXtTiny", _BUILT_IN, 224, 32, 768, 27_820_128, None, 81.3, None, _FOLDER + "convnext/convnext_tiny",
          ("8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff",
           "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1")),
    Model("ConvNeXtXLarge", _BUILT_IN, 224, 32, 2048, 348_147_968, None, 86.7, None,
          _FOLDER + "convnext/convnext_xlarge",
          ("c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee",
           "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05")),
    Model("DenseNet121", _TORCH, 224, 32, 1024, 7_037_504, 242, 75.0, 92.3,
          _FOLDER + "densenet/densenet121" + _ORDERING,
          ("9d60b8095a5708f2dcce2bca79d332c7", "30ee3e1110167f948a6b9946edeeb738")),
    Model("DenseNet169", _TORCH, 224, 32, 1664, 12_642_880, 338, 76.2, 93.2,
          _FOLDER + "densenet/densenet169" + _ORDERING,
          ("d699b8f76981ab1b30698df4c175e90b", "b8c4d4c20dd625c148057b9ff1c1176b")),
    Model("DenseNet201", _TORCH, 224, 32, 1920, 18_321_984, 402, 77.3, 93.6,
          _FOLDER + "densenet/densenet201" + _ORDERING,
          ("1ceb130c1ea1b78c3bf6114dbdfd8807", "c13680b51ded0fb44dff2d8f86ac8bb1")),
    Model("EfficientNetB0", _BUILT_IN, 224, 32, 1280, 4_049_571, 132, 77.1, 93.3,
          _SERVER + "keras-applications/efficientnetb0",
          ("902e53a9f72be733fc0bcb005b3ebbac", "50bc09e76180e00e4465e1a485ddc09d")),
    Model("EfficientNetB1", _BUILT_IN, 240, 32, 1280, 6_575_239, 186, 79.1, 94.4,
          _SERVER + "keras-applications/efficientnetb1",
          ("1d254153d4ab51201f1646940f018540", "74c4e6b3e1f6a1eea24c589628592432")),
    Model("EfficientNetB2", _BUILT_IN, 260, 32, 1408, 7_768_569, 186, 80.1, 94.9,
          _SERVER + "keras-applications/efficientnetb2",
          ("b15cce36ff4dcbd00b6dd88e7857a6ad", "111f8e2ac8aa800a7a99e3239f7bfb39")),
    Model("EfficientNetB3", _BUILT_IN, 300, 32, 1536, 10_783_535, 210, 81.6, 95.7,
          _SERVER + "keras-applications/efficientnetb3",
          ("ffd1fdc53d0ce67064dc6a9c7960ede0", "af6d107764bb5b1abb91932881670226")),
    Model("EfficientNetB4", _BUILT_IN, 380, 32, 1792, 17_673_823, 258, 82.9, 96.4,
          _SERVER + "keras-applications/efficientnetb4",
          ("18c95ad55216b8f92d7e70b3a046e2fc", "ebc24e6d6c33eaebbd558eafbeedf1ba")),
    Model("EfficientNetB5", _BUILT_IN, 456, 32, 2048, 28_513_527, 312, 83.6, 96.7,
          _SERVER + "keras-applications/efficientnetb5",
          ("ace28f2a6363774853a83a0b21b9421a", "38879255a25d3c92d5e44e04ae6cec6f")),
    Model("EfficientNetB6", _BUILT_IN, 528, 32, 2304, 40_960_143, 360, 84.0, 96.8,
          _SERVER + "keras-applications/efficientnetb6",
          ("165f6e37dce68623721b423839de8be5", "9ecce42647a20130c1f39a5d4cb75743")),
    Model("EfficientNetB7", _BUILT_IN, 600, 32, 2560, 64_097_687, 438, 84.3, 97.0,
          _SERVER + "keras-applications/efficientnetb7",
          ("8c03f828fec3ef71311cd463b6759d99", "cbcfe4450ddf6f3ad90b1b398090fe4a")),
    Model("EfficientNetV2B0", _BUILT_IN, 224, 32, 1280, 5_919_312, None, 78.7, 94.3,
          _FOLDER + "efficientnet_v2/efficientnetv2-b0",
          ("21ecbf6da12460d5c40bb2f29ceb2188", "893217f2bb855e2983157299931e43ff")),
    Model("EfficientNetV2B1", _BUILT_IN, 240, 32, 1280, 6_931_124, None, 79.8, 95.0,
          _FOLDER + "efficientnet_v2/efficientnetv2-b1",
          ("069f0534ff22adf035c89e2d9547a9dc", "0e80663031ca32d657f9caa404b6ec37")),
    Model("EfficientNetV2B2", _BUILT_IN, 260, 32, 1408, 8_769_374, None, 80.5, 95.1,
          _FOLDER + "efficientnet_v2/efficientnetv2-b2",
          ("424e49f28180edbde1e94797771950a7", "1dfe2e7a5d45b6632553a8961ea609eb")),
    Model("EfficientNetV2B3", _BUILT_IN, 300, 32, 1536, 12_930_622, None, 82.0, 95.8,
          _FOLDER + "efficientnet_v2/efficientnetv2-b3",
          ("1f1fc43bd98a6e4fd8fdfd551e02c7a0", "f6abf7b5849ac99a89b50dd3fd532856")),
    Model("EfficientNetV2L", _BUILT_IN, 480, 32, 1280, 117_746_848, None, 85.7, 97.5,
          _FOLDER + "efficientnet_v2/efficientnetv2-l",
          ("27e6d408b53c7ebc868fefa357689935", "b0b66b5c863aef5b46e8608fe1711615")),
    Model("EfficientNetV2M", _BUILT_IN, 480, 32, 1280, 53_150_388, None, 85.3, 97.4,
          _FOLDER + "efficientnet_v2/efficientnetv2-m",
          ("a3bf6aa3276309f4fc6a34aa114c95cd", "1b8dc055df72dde80d614482840fe342")),
    Model("EfficientNetV2S", _BUILT_IN, 384, 32, 1280, 20_331_360, None, 83.9, 96.7,
          _FOLDER + "efficientnet_v2/efficientnetv2-s",
          ("e1d88a8495beba45748fedd0cecbe016", "af0682fb74e8c54910f2d4393339c070")),
    Model("InceptionResNetV2", _TF, 299, 75, 1536, 54_336_736, 449, 80.3, 95.3,
          _FOLDER + "inception_resnet_v2/inception_resnet_v2" + _ORDERING,
          ("e693bd0210a403b3192acc6073ad2e96", "d19885ff4a710c122648d3b5c3b684e4")),
    Model("InceptionV3", _TF, 299, 75, 2048, 21_802_784, 189, 77.9, 93.7,
          _FOLDER + "inception_v3/inception_v3" + _ORDERING,
          ("9a0d58056eeedaa3f26cb7ebd46da564", "bcbd6486424b2319ff4ef7d526e38f63")),
    Model("MobileNet", _TF, 224, 32, 1024, 3_228_864, 55, 70.4, 89.5,
          _FOLDER + "mobilenet/mobilenet_{alpha}_{size}_tf"),
    Model("MobileNetV2", _TF, 224, 32, 1280, 2_257_984, 105, 71.3, 90.1,
          _FOLDER + "mobilenet_v2/mobilenet_v2" + _ORDERING + "_{alpha}_{size}"),
    Model("MobileNetV3Large", _BUILT_IN, 224, 32, 960, 2_996_352, None, 75.6, None,
          _FOLDER + "mobilenet_v3/weights_mobilenet_v3_large{minimalistic}_224_{alpha}_float"),
    Model("MobileNetV3Small", _BUILT_IN, 224, 32, 576, 939_120, None, 68.1, None,
          _FOLDER + "mobilenet_v3/weights_mobilenet_v3_small{minimalistic}_224_{alpha}_float"),
    Model("NASNetLarge", _TF, 331, 32, 4032, 84_916_818, 533, 82.5, 96.0, _FOLDER + "nasnet/NASNet-large",
          ("11577c9a518f0070763c2b964a382f17", "d81d89dc07e6e56530c4e77faddd61b5")),
    Model("NASNetMobile", _TF, 224, 32, 1056, 4_269_716, 389, 74.4, 91.9, _FOLDER + "nasnet/NASNet-mobile",
          ("020fb642bf7360b370c678b08e0adf61", "1ed92395b5b598bdda52abe5c0dbfd63")),
    Model("ResNet101", _CAFFE, 224, 32, 2048, 42_658_176, 209, 76.4, 92.8, _FOLDER + "resnet/resnet101" + _ORDERING,
          ("f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21")),
    Model("ResNet101V2", _TF, 224, 32, 2048, 42_626_560, 205, 77.2, 93.8, _FOLDER + "resnet/resnet101v2" + _ORDERING,
          ("6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5")),
    Model("ResNet152", _CAFFE, 224, 32, 2048, 58_370_944, 311, 76.6, 93.1, _FOLDER + "resnet/resnet152" + _ORDERING,
          ("100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c")),
    Model("ResNet152V2", _TF, 224, 32, 2048, 58_331_648, 307, 78.0, 94.2, _FOLDER + "resnet/resnet152v2" + _ORDERING,
          ("a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33")),
    Model("ResNet50", _CAFFE, 224, 32, 2048, 23_587_712, 107, 74.9, 92.1, _FOLDER + "resnet/resnet50" + _ORDERING,
          ("2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626")),
    Model("ResNet50V2", _TF, 224, 32, 2048, 23_564_800, 103, 76.0, 93.0, _FOLDER + "resnet/resnet50v2" + _ORDERING,
          ("3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917")),
    Model("VGG16", _CAFFE, 224, 32, 512, 14_714_688, 16, 71.3, 90.1, _FOLDER + "vgg16/vgg16" + _ORDERING,
          ("64373286793e3c8b2b4e3219cbf3544b", "6d6bbae143d832006294945121d1f1fc")),
    Model("VGG19", _CAFFE, 224, 32, 512, 20_024_384, 19, 71.3, 90.0, _FOLDER + "vgg19/vgg19" + _ORDERING,
          ("cbe5617147190e668d6c5d5026f83318", "253f8cb515780f3b799900260a226db6")),
    Model("Xception", _TF, 299, 71, 2048, 20_861_480, 81, 79.0, 94.5, _FOLDER + "xception/xception" + _ORDERING,
          ("0a58e3b7378bc2990ea3b43d5981f1f6", "b0042744bf5b25fce3cb969f33bebb97")),
)
# fmt: on

MOBILENET_V3_DIGESTS = {
    "large_224_0.75": ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
    "large_224_1.0": ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
    "large_minimalistic_224_1.0": ("675e7b876c45c57e9e63e6d90a36599c", "ec5221f64a2f6d1ef965a614bdae7973"),
    "small_224_0.75": ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
    "small_224_1.0": ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    "small_minimalistic_224_1.0": ("99cd97fb2fcdad2bf028eb838de69e37", "cde8136e733e811080d9fcd8a252f7e4"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "MobileNet": {"alpha": 1.0},
    "MobileNetV2": {"alpha": 1.0},
    "MobileNetV3Large": {"alpha": 1.0, "minimalistic": False},
    "MobileNetV3Small": {"alpha": 1.0, "minimalistic": False},
}
PUBLISHED_ALPHAS = {
    "MobileNet": (0.25, 0.5, 0.75, 1.0),
    "MobileNetV2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    "MobileNetV3Large": (0.75, 1.0),
    "MobileNetV3Small": (0.75, 1.0),
}
PUBLISHED_SIZES = {"MobileNet": (128, 160, 192, 224), "MobileNetV2": (96, 128, 160, 192, 224)}
