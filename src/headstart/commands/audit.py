"""Audit of a data set before training: findings, a report with images, and a table of the usable examples."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from headstart.bases import load_base, load_default
from headstart.commands.data_preparation import check_features, check_modality
from headstart.config import Config, TrainConfig, merge_settings
from headstart.config.commands import AUDIT, reading_settings, shows_settings
from headstart.config.keywords import AuditKeywords
from headstart.data.audit import (
    SEVERITIES,
    Audit,
    Finding,
    Severity,
    complete_findings,
    find_check,
    near_copies,
)
from headstart.data.audit import audit as run_checks
from headstart.data.audit.cleaning import cleaned, write_manifest
from headstart.data.dataset import Dataset, load_dataset
from headstart.data.example_rows import Skipped
from headstart.data.missing_files import check_files
from headstart.features import FeatureSet, extract
from headstart.features.examination import Examined, examine
from headstart.reports.audit import write_page
from headstart.system.display import show_progress
from headstart.system.progress import Progress
from headstart.system.settings import check_place

_NEED_FEATURES = ("too-long", "unknown-words", "unknown-characters", "outliers")
_WITHOUT = "It needs a base; the audit runs without one."


@dataclass(frozen=True)
class DataAudit:
    """What is wrong with a data set.

    Attributes:
        dataset: the examples.
        findings: one of every check, by code.
        ignored: names of checks that were left out.
    """

    dataset: Dataset
    findings: list[Finding]
    ignored: Collection[str]
    _examined: Examined | FeatureSet
    _audit: Audit

    def __repr__(self) -> str:
        codes = [finding.code for finding in self.findings if finding.state == "found"]
        return f"<headstart audit of {self.dataset.source}: {', '.join(codes) or 'nothing found'}>"

    def __getitem__(self, code: str) -> Finding:
        """The finding of one check, by its code or name."""
        check = find_check(code).name
        return next(finding for finding in self.findings if finding.check == check)

    def problems(self, at_least: Severity = "info") -> list[Finding]:
        """What was found of at least this severity, the worst first.

        Args:
            at_least: the severity.
        """
        severities = SEVERITIES[: SEVERITIES.index(at_least) + 1]
        problems = [finding for finding in self.findings if finding.state == "found" and finding.severity in severities]
        return sorted(problems, key=lambda finding: SEVERITIES.index(finding.severity))

    def facts(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "source": self.dataset.source,
            "modality": self.dataset.modality.name,
            "examples": len(self.dataset),
            "usable": len(self._audit.usable),
            "per_class": self.dataset.class_counts,
            "findings": [finding.all_facts() for finding in self.findings],
        }

    def fix(self, path: str | Path) -> list[Skipped]:
        """Write a table of the usable examples, for :func:`headstart.train`. No data file is changed.

        Left out are unusable files, blank images, all but one of duplicates and near-duplicates (of those in two given
        splits the held-out one stays), and duplicates with different labels.

        Args:
            path: of the CSV file.

        Returns:
            What is left out, with the reason.

        Raises:
            InputError: there is such a file, or no such folder.
        """
        check_place(path, ".csv")
        examined = self._examined
        kept_indices, out = cleaned(
            self.dataset, examined.digests, examined.problems, examined.image_infos, self._audit.near, self.ignored
        )
        write_manifest(Path(path), self.dataset, kept_indices)
        return out

    def report(self, path: str | Path) -> Path:
        """Write a self-contained report with images.

        Args:
            path: of the HTML file, which is replaced if it is there.

        Raises:
            InputError: there is no such folder.
        """
        check_place(path, ".html", replaced=True)
        return write_page(Path(path), self.facts(), self.dataset)


@shows_settings(AUDIT)
def audit(
    data: Any,
    *,
    config: Config = None,
    features: bool = True,
    ignore: Sequence[str] = (),
    cache: str | Path | None = None,
    progress: bool | Progress = True,
    **settings: Unpack[AuditKeywords],
) -> DataAudit:
    """Check a data set as :func:`headstart.train` does, before anything is trained on it.

    Args:
        data: as for ``train``.
        config: settings, as for :func:`headstart.train`: how the data are read, and the base whose features are
            examined. They stay in the cache, so that training on the same base does not compute them again.
        features: False does without a base, and without what needs one.
        ignore: codes or names of checks to leave out.
        cache: folder of the cache; the cache of the user when None.
        progress: as for :func:`headstart.train`.
        settings: settings by name; see ``config``.

    Raises:
        InputError: no such data, or no such check.
        UnavailableError: the base cannot be had.
    """
    ignored = {find_check(code).name for code in ignore}
    folder = Path(cache).expanduser() if cache else None
    train_config = TrainConfig.from_settings(merge_settings(config, settings, allowed=AUDIT))
    base = train_config.base.base
    dataset = load_dataset(data, **reading_settings(train_config))
    check_files(dataset)
    with show_progress(progress) as shown_progress:
        if features:
            options: dict[str, Any] = {"texts": dataset.texts, "cache": folder, "progress": shown_progress}
            loaded = load_base(base, **options) if base else load_default(dataset.modality, **options)
            check_modality(loaded, dataset)
            examined: FeatureSet | Examined = extract(loaded, dataset.examples, cache=folder, progress=shown_progress)
        else:
            examined = examine(dataset.examples, dataset.modality, cache=folder, progress=shown_progress)
    checked = run_checks(dataset, examined.digests, examined.problems, examined.image_infos)
    findings = [*checked.findings, *near_copies(dataset, checked.near, dataset.given_splits)]
    if isinstance(examined, FeatureSet):
        findings += check_features(dataset, checked.usable, loaded, examined)
    skipped = {} if features else dict.fromkeys(_NEED_FEATURES, _WITHOUT)
    whole = complete_findings(findings, dataset.modality, ignored=ignored, skipped=skipped)
    return DataAudit(dataset, whole, ignored, examined, checked)
