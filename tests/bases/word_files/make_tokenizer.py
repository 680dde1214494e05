"""Writes ``tokenizer.pt`` in this folder: Stanza's tokenizer, trained for seconds on sentences of a few words."""

import json
import os
import random
import shutil
import tempfile
from pathlib import Path

from stanza.models import tokenizer

LIST = "我们 喜欢 苹果 和 梨 这 部 电影 很 好看 他们 不 故事 无聊 演员 音乐 非常 美丽 今天 天气 糟糕 难看"
WORDS = LIST.split()
SETTINGS = (
    "--lang zh --shorthand zh_test --emb_dim 8 --hidden_dim 12 --steps 300 --eval_steps 1000 --lr0 0.02 --dropout 0 "
    "--unit_dropout 0 --feat_unit_dropout 0 --no_use_mwt --skip_newline --no-hierarchical --conv_res 3 --cpu "
    "--save_name tokenizer.pt"
)

if __name__ == "__main__":
    output_folder = Path(__file__).parent.resolve()
    rng = random.Random(0)
    sentences = [[rng.choice(WORDS) for _ in range(rng.randint(2, 9))] for _ in range(400)]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the file contains the paths of its training
        Path("text").write_text("".join(f"{''.join(words)}。\n\n" for words in sentences))
        Path("ends").write_text("".join("".join("0" * (len(w) - 1) + "1" for w in s) + "2\n\n" for s in sentences))
        Path("expansions").write_text(json.dumps([]))
        files = "--txt_file text --label_file ends --dev_txt_file text --dev_label_file ends"
        tokenizer.main(f"{files} --mwt_json_file expansions --save_dir . {SETTINGS}".split())
        shutil.copy("tokenizer.pt", output_folder)
