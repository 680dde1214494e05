"""``explain``: why a run predicts a class for an example."""

from pathlib import Path
from typing import Any

from headstart.errors import InputError
from headstart.explanation.explain import NEAREST, Explainer, Method
from headstart.runs.files import read_facts
from headstart.runs.inputs import examples_in
from headstart.runs.predictor import Problem
from headstart.runs.run import RunFolder, folder_of
from headstart.system.display import show_progress
from headstart.system.progress import Progress


def explain(
    run: RunFolder | str | Path,
    examples: Any,
    *,
    class_name: str | None = None,
    box: int = 1,
    method: Method = "auto",
    nearest: int = NEAREST,
    cache: str | Path | None = None,
    progress: bool | Progress = True,
) -> Any:
    """Explain predictions of a run.

    Args:
        run: the run, or its folder.
        examples: one image or text for one explanation, several for a list; see :meth:`headstart.Run.predict`.
        class_name: the class to explain; None means the most probable class of each example.
        box: of a run that detects objects, the object to explain: 1 for the one with the highest score.
        method: ``grad-cam``, ``occlusion`` or ``auto``, for images; see
            :class:`~headstart.explanation.explain.Explainer`.
        nearest: number of similar training examples to find.
        cache: folder of the feature cache; the user's when None.
        progress: as for :func:`headstart.train`.

    Returns:
        An :class:`Explanation`; for several examples a list, in which an example that cannot be used is a
        :class:`~headstart.runs.predictor.Problem`.

    Raises:
        InputError: no such run, file or class; the method is not possible; or the only example cannot be used.
        IntegrityError: the run's predictions differ from those of its training.
    """
    folder = folder_of(run)
    facts = read_facts(folder)
    selected, is_one = examples_in(examples, facts.modality, facts.config)
    with show_progress(progress) as shown_progress:
        explainer = Explainer(
            folder, class_name=class_name, box=box, method=method, nearest=nearest,
            cache=Path(cache).expanduser() if cache else None, progress=shown_progress,
        )  # fmt: skip
        explanations = list(explainer.explain(selected))
    if is_one and isinstance(explanations[0], Problem):
        raise InputError(f"{explanations[0].file}: {explanations[0].reason}.")
    return explanations[0] if is_one else explanations
