"""Searching heads: what fifty trials cost against one epoch of the Keras guide's loop, and what they find.

    python benchmarks/search.py DATA [--trials 50] [--no-guide] [--input-size 128]

In turn, each in a process of its own: ``headstart train`` without a search, which computes the features; the same with
one, which finds them in the cache; two epochs of the guide's loop (keras_guide.py) on the same split, of which the
second counts, because the first one also traces the model. ``--no-guide`` is for texts, which the loop does not read.
"""

import argparse

from contest import Bench, picture_options, read, read_once, run_contest, split_of, test_accuracy
from measure import machine, markdown


def compare(bench: Bench, options: argparse.Namespace) -> str:
    """Run everything in turn and give the report as Markdown."""
    read_once(bench.data)
    head_only = ("--fine-tune", "none")
    usual, usual_run = bench.train("usual", "first", *head_only)
    cost, run_folder = bench.train("search", "first", *head_only, "--search", options.trials)
    facts = read(run_folder / "run.json")
    search, stages = facts["search"], {one["stage"]: one["seconds"] for one in facts["cost"]["stages"]}
    rows = [
        ("headstart train, features and usual head", f"{usual.wall_s:.1f}", f"{test_accuracy(usual_run):.3f}"),
        (f"the same with --search {options.trials}", f"{cost.wall_s:.1f}", f"{test_accuracy(run_folder):.3f}"),
        (
            "of that, features from other places and of augmented pictures",
            f"{stages['search'] - search['seconds']:.1f}",
            "",
        ),
        (f"of that, {search['trials']} trials ({search['pruned']} given up early)", f"{search['seconds']:.1f}", ""),
    ]
    if not options.no_guide:
        split_of(usual_run, bench.work / "split.csv")
        _, guide = bench.guide(bench.work / "split.csv", "--epochs", 2, "--batch", options.batch)
        rows.append(("Keras guide, one epoch of the head", f"{guide['epoch_s'][1]:.1f}", ""))
    on_val, on_test = search["on_val"], search["on_test"]
    compared = [
        (name, *(f"{value:.3f}" for value in one["accuracy"]), *(f"{value:.3f}" for value in one["log_loss"]))
        for name, one in (("validation, decides", on_val), ("test", on_test))
    ]
    return "\n".join(
        [
            f"{bench.data.name}, {bench.base}, seed {bench.seed}. {machine()}.",
            "",
            markdown(("", "wall s", "test accuracy"), rows),
            "",
            f"Best of {search['trials']}: {search['best']['description']}; {search['outcome']}.",
            "",
            markdown(("", "accuracy, usual", "found", "log loss, usual", "found"), compared),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--no-guide", action="store_true", help="leave out the guide's loop")
    picture_options(parser)
    run_contest(parser, compare)


if __name__ == "__main__":
    main()
