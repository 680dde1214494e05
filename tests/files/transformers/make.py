"""Makes the small models beside it, with random weights, and what transformers itself computes with them.

Run in an environment with torch, transformers, tokenizers and pillow: ``python make.py``. Made by transformers 5.24.
"""

import json
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
    if getattr(getattr(model, "embeddings", None), "position_embeddings", None) is not None:
        with torch.no_grad():  # they begin as zeros, which hides how they are interpolated
            model.embeddings.position_embeddings.normal_()
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    prepared = processor(images=list(pixels), return_tensors="pt", do_resize=False, do_center_crop=False)
    options = {"interpolate_pos_encoding": True} if name in ("vit", "deit") else {}
    with torch.no_grad():
        given = getattr(model, "vision_model", model).eval()(**prepared, **options)
    is_pooled = name in ("convnext", "clip", "swin")
    features = (given.pooler_output if is_pooled else given.last_hidden_state[:, 0]).numpy()
    processor.save_pretrained(HERE / name)
    save(name, model, pixels=pixels, features=features)


def texts(name: str, model: torch.nn.Module, pad: int = 0, pooling: str = "mean") -> None:
    words = {word: i for i, word in enumerate(WORDS)}
    words["<pad>"], words["<s>"] = pad, 1 - pad
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1 - pad), ("</s>", 2)]
    )
    longest = model.config.max_position_embeddings - 4  # some positions are for padding
    said = ["a film that is good", "film bad", " ".join(WORDS[4 + i * i % 8] for i in range(longest))]
    tokenizer.enable_padding(pad_id=pad)
    ids = torch.tensor([one.ids for one in tokenizer.encode_batch(said)])
    seen = (ids != pad).long()
    with torch.no_grad():
        states = model.eval()(input_ids=ids, attention_mask=seen).last_hidden_state
    if pooling == "mean":
        pooled = (states * seen[..., None]).sum(1) / seen.sum(1, keepdim=True)
    else:
        pooled = states[torch.arange(len(said)), seen.sum(1) - 1]
        modules = [{"path": "", "type": "models.Transformer"}, {"path": "1_Pooling", "type": "models.Pooling"}]
        (HERE / name / "1_Pooling").mkdir(parents=True, exist_ok=True)
        (HERE / name / "modules.json").write_text(json.dumps(modules))
        (HERE / name / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))
    save(name, model, texts=np.array(said), features=pooled.numpy())
    tokenizer.no_padding()
    tokenizer.save(str(HERE / name / "tokenizer.json"))
    (HERE / name / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}\n')


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
    mpnet = {**small, "max_position_embeddings": 160, "pad_token_id": 1}
    texts("mpnet", transformers.MPNetModel(transformers.MPNetConfig(**mpnet), add_pooling_layer=False), pad=1)
    modernbert = {**small, "max_position_embeddings": 64, "local_attention": 8, "global_attn_every_n_layers": 2}
    modernbert |= {"bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
    texts("modernbert", transformers.ModernBertModel(transformers.ModernBertConfig(**modernbert)))
    neox = {**small, "max_position_embeddings": 40, "pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2}
    texts("gpt-neox", transformers.GPTNeoXModel(transformers.GPTNeoXConfig(**neox)), pooling="lasttoken")
    convnext = transformers.ConvNextConfig(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 2, 1], image_size=32)
    images(
        "convnext",
        transformers.ConvNextModel(convnext),
        transformers.ConvNextImageProcessorPil(size={"shortest_edge": 64}),
        (96, 64),
    )
    swin = transformers.SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=2
    )
    images("swin", transformers.SwinModel(swin), transformers.ViTImageProcessorPil(size=square), (32, 32))
    half = {**SMALL, "intermediate_size": 32, "projection_dim": 16}
    clip = transformers.CLIPConfig(
        text_config={
            **half,
            "vocab_size": len(WORDS),
            "max_position_embeddings": 20,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        vision_config={**half, "image_size": 32, "patch_size": 8},
    )
    processor = transformers.CLIPImageProcessorPil(size=square, do_center_crop=False)
    images("clip", transformers.CLIPModel(clip), processor, (32, 32))


if __name__ == "__main__":
    main()
