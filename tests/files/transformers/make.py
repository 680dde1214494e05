"""Makes the small models beside it, with random weights, and what transformers itself computes with them.

Run in an environment with torch, transformers, tokenizers and pillow: ``python make.py``. Made by transformers 5.24.
"""

from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers

HERE = Path(__file__).parent
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
WORDS = ["<pad>", "<s>", "</s>", "<unk>", "a", "film", "that", "is", "good", "bad", "and", "long"]


def save(name: str, model: torch.nn.Module, **expected: np.ndarray) -> None:
    model.save_pretrained(HERE / name)
    np.savez(HERE / name / "expected.npz", **expected)


def images(
    name: str, model: torch.nn.Module, processor: transformers.BaseImageProcessor, size: tuple[int, int]
) -> None:
    with torch.no_grad():  # they begin as zeros, which hides how they are interpolated
        model.get_parameter("embeddings.position_embeddings").normal_()
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    prepared = processor(images=list(pixels), return_tensors="pt", do_resize=False, do_center_crop=False)
    options = {} if "dinov2" in name else {"interpolate_pos_encoding": True}
    with torch.no_grad():
        features = model.eval()(**prepared, **options).last_hidden_state[:, 0].numpy()
    processor.save_pretrained(HERE / name)
    save(name, model, pixels=pixels, features=features)


def texts(name: str, model: torch.nn.Module) -> None:
    ids = torch.tensor([[1, 4, 5, 6, 7, 8, 2], [1, 5, 9, 2, 0, 0, 0]])
    seen = (ids != 0).long()
    with torch.no_grad():
        states = model.eval()(input_ids=ids, attention_mask=seen).last_hidden_state
    mean = (states * seen[..., None]).sum(1) / seen.sum(1, keepdim=True)
    save(name, model, features=mean.numpy())
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer.save(str(HERE / name / "tokenizer.json"))


def main() -> None:
    torch.manual_seed(0)
    vit = transformers.ViTConfig(**SMALL, intermediate_size=32, image_size=32, patch_size=8, qkv_bias=False)
    square = {"height": 32, "width": 32}
    images(
        "vit",
        transformers.ViTModel(vit, add_pooling_layer=False),
        transformers.ViTImageProcessorPil(size=square),
        (32, 32),
    )
    deit = transformers.DeiTConfig(**SMALL, intermediate_size=32, image_size=32, patch_size=8)
    images(
        "deit",
        transformers.DeiTModel(deit, add_pooling_layer=False),
        transformers.DeiTImageProcessorPil(size=square, crop_size=square),
        (48, 32),
    )
    dinov2 = transformers.Dinov2Config(**SMALL, mlp_ratio=2, image_size=42, patch_size=7, layerscale_value=0.7)
    images(
        "dinov2",
        transformers.Dinov2Model(dinov2),
        transformers.BitImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}),
        (28, 56),
    )
    registers = transformers.Dinov2WithRegistersConfig(
        **SMALL, mlp_ratio=2, image_size=42, patch_size=7, num_register_tokens=3, layerscale_value=0.7
    )
    images(
        "dinov2-registers",
        transformers.Dinov2WithRegistersModel(registers),
        transformers.BitImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}),
        (28, 56),
    )
    small = {**SMALL, "intermediate_size": 32, "vocab_size": len(WORDS), "max_position_embeddings": 20}
    texts("bert", transformers.BertModel(transformers.BertConfig(**small), add_pooling_layer=False))
    small["pad_token_id"] = 0
    texts("roberta", transformers.RobertaModel(transformers.RobertaConfig(**small), add_pooling_layer=False))
    texts("xlm-roberta", transformers.XLMRobertaModel(transformers.XLMRobertaConfig(**small), add_pooling_layer=False))
    texts("electra", transformers.ElectraModel(transformers.ElectraConfig(**small, embedding_size=16)))
    distilbert = transformers.DistilBertConfig(
        dim=16, n_layers=2, n_heads=2, hidden_dim=32, vocab_size=len(WORDS), max_position_embeddings=20
    )
    texts("distilbert", transformers.DistilBertModel(distilbert))


if __name__ == "__main__":
    main()
