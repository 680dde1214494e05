"""A handful of texts of each class: headstart, SetFit and TF-IDF on the very same ones, several draws of them.

    make bench-few DATA=table.csv [ARGS="--peers PYTHON --shots 8 --draws 3"]

Everything runs in turn, each in a process of its own, measured from outside with imports and all. headstart's base is
prepared before, as it is from the second run on; the test texts are computed anew for every draw, by everybody.
"""

import argparse
import statistics

from contest import Bench, read, run_contest
from measure import machine, markdown
from texts import Row, embedded_checkpoint, headstart, peer, peer_options, share_engines, sizes, write_split


def compare(bench: Bench, options: argparse.Namespace) -> str:
    """Run everything in turn and give the report as Markdown."""
    checkpoint = options.checkpoint or embedded_checkpoint()
    headstart(bench, "first", "to prepare the base", "--shots", options.shots, "--fine-tune", "none")
    rows: dict[str, list[Row]] = {}
    kept = []
    few = ""
    for seed in range(bench.seed, bench.seed + options.draws):
        draw = Bench(bench.data, bench.base, bench.input_size, seed, bench.work)
        shots = ("--shots", options.shots)
        for way, name in ((("--fine-tune", "none"), "headstart, head only"), ((), "headstart, defaults")):
            cache = f"{'head' if way else 'tuned'}-{seed}"
            share_engines(bench, cache)
            row, run_folder = headstart(draw, cache, name, *shots, *way)
            rows.setdefault(name, []).append(row)
        kept.append(read(run_folder / "run.json")["fine_tuning"]["outcome"] == "kept")
        few = sizes(run_folder)
        split = write_split(run_folder, bench.work / f"few-{seed}.csv")
        peers = [(None, "tf-idf", "TF-IDF, logistic regression")]
        peers += [(options.peers, "setfit", "SetFit")] if options.peers else []
        for python, what, name in peers:
            rows.setdefault(name, []).append(peer(draw, python, what, name, checkpoint, split))
    table = [
        (
            name,
            f"{statistics.median(row.cost.wall_s for row in mine):.1f}",
            f"{statistics.fmean(row.right / row.of for row in mine):.3f}",
            ", ".join(f"{row.right / row.of:.3f}" for row in mine),
            f"{max(row.cost.others_share or 0 for row in mine):.1%}",
        )
        for name, mine in rows.items()
    ]
    header = ("", "wall s, median", "test accuracy, mean", "of each draw", "others' CPU, at most")
    seeds = f"seeds {bench.seed} to {bench.seed + options.draws - 1}"
    return "\n".join(
        [
            f"{bench.data.name}, {options.shots} examples a class: {few}; {bench.base}, {seeds}. {machine()}.",
            "",
            markdown(header, table),
            "",
            f"Contrastive fine-tuning was kept in {sum(kept)} of {len(kept)} draws.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    peer_options(parser)
    parser.add_argument("--shots", type=int, default=8, help="examples of each class (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=3, help="how often they are drawn (default: %(default)s)")
    run_contest(parser, compare, base="embedded:all-minilm-l6-v2")


if __name__ == "__main__":
    main()
