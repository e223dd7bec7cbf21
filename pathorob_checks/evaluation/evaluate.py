"""A whole run from Python: what `pytest --fm` does, in a notebook or a script."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.errors import PathorobChecksError, SettingsError
from pathorob_checks.evaluation.assembling import Records, results_of
from pathorob_checks.evaluation.completeness import Collected
from pathorob_checks.evaluation.judging import not_measured
from pathorob_checks.evaluation.observer import Bars, Observer
from pathorob_checks.evaluation.plan import PlannedCheck
from pathorob_checks.evaluation.run import Evaluation
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.results.check import Check

if TYPE_CHECKING:
    from pathorob_checks.criteria.profile import Profile
    from pathorob_checks.results.results import Results


def evaluate(
    fm: str | Iterable[str],
    *,
    names: str | Iterable[str] = (),
    cohorts: str | Path | Iterable[str | Path] = (),
    criteria: str | Path | Profile | Iterable[str | Path] = "floor",
    criteria_digest: str | None = None,
    baseline: str | Path | None = None,
    baseline_fm: str | None = None,
    repetitions: int | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    precision: str = "fp32",
    pooling: str | None = None,
    cache: str | Path | None = None,
    metadata: str | Path | None = None,
    accept_names: str | Path | None = None,
    commercial: bool = False,
    licensed: str | Path | Iterable[str | Path] = (),
    pretraining: str | Iterable[str] = (),
    methods: str | Iterable[str] = (),
    method_only: bool = False,
    method_ood: str = "unseen",
    method_target: str | Path | None = None,
    trust_remote_code: bool = False,
    checkpoint_key: str | None = None,
    checkpoint_prefixes: str | Iterable[str] = (),
    images: bool = False,
    engine: str = "local",
    ray_address: str | None = None,
    readers: str = "auto",
    progress: bool = True,
) -> Results:
    """Check foundation models as the gate does, and return the results.

    Parameters
    ----------
    fm : str or iterable of str
        One SPEC or several, as for `--fm`: a recipe's name, `hf-hub:org/model`, `local-dir:PATH`,
        `python:module:factory`, `embeddings:DIR`, `demo:stain-invariant` or `demo:color-sensitive`.
    names : str or iterable of str, optional
        What each FM is called in tables, files, baselines and the history, in the order of `fm`. Default: as
        its folder or repository.
    cohorts : str, path-like or iterable of these, optional
        Names or paths of cohorts, as for `--fm-cohort`. Default: the benchmark's three; for `demo:` models
        the demo cohort.
    criteria : str, path-like, Profile or iterable of str or path-like, default 'floor'
        Name of a profile, path of a criteria file, several of these, or a `Profile`.
    criteria_digest : str, optional
        Run only if criteria, protocol and baseline have this digest.
    baseline : str or path-like, optional
        A results file, or the name of an FM of this run, that FMs must not be worse than.
    baseline_fm : str, optional
        Which FM of the baseline's file, where it has several.
    repetitions : int, optional
        Draws of training and test slides for the performance drop; None for the criteria's, or 20.
    device : str, default 'auto'
        `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.
    batch_size : int, optional
        Patches per batch; None for what suits the device.
    precision : {'fp32', 'bf16', 'fp16'}
        Of the forward pass.
    pooling : {'cls', 'mean', 'clsmean', 'pooled'}, optional
        How tokens become one embedding; None for the model's own.
    cache : str or path-like, optional
        Folder in which embeddings are kept; None for the environment variable `PATHOROB_CHECKS_CACHE`, and
        without it the user's cache folder. No other variable of the gate is read.
    metadata : str or path-like, optional
        Folder with the benchmark's tables; None downloads them.
    accept_names : str or path-like, optional
        File with reviewed names of classes, centers and subsets, one in each line, that may look like another
        name or mix scripts; other such names are refused.
    commercial : bool, default False
        Leave out FMs and cohorts whose license is not known to allow commercial use.
    licensed : str, path-like or iterable of these, optional
        FMs and cohorts, as in `fm` and `cohorts`, that you may use commercially whatever is known of their
        license: your own, or those that you have a license for.
    pretraining : str or iterable of str, optional
        Names of all data that the FM was pretrained on, such as `TCGA`, where its recipe does not state all.
    methods : str or iterable of str, optional
        Methods that repair images or embeddings, such as `reinhard`, `combat` or `reinhard+combat`: every
        criterion is measured without a method and with each of them.
    method_only : bool, default False
        Leave out the FM without a method: what is released is the FM with it.
    method_ood : {'unseen', 'unlabeled'}
        What methods may see of out-of-domain medical centers: nothing, or patches without biological classes.
    method_target : str or path-like, optional
        An image, or a folder of images, that stain normalizations take their target from; otherwise in-domain
        patches of each cohort.
    trust_remote_code : bool, default False
        Let a model's repository run code of its own; needs a full commit as `@revision`.
    checkpoint_key : str, optional
        Key of the dictionary in a model's checkpoint that holds the tensors, such as `teacher`.
    checkpoint_prefixes : str or iterable of str, optional
        What is removed, in this order, from the names of a checkpoint's tensors; others are left out.
    images : bool, default False
        Keep small images of the patches that a metric misses, for an HTML report. Results files never hold
        them.
    engine : {'local', 'ray'}
        Where to embed; `ray` embeds on a Ray cluster.
    ray_address : str, optional
        Of the Ray cluster.
    readers : {'auto', 'threads', 'processes'}
        What reads images for the engine `local`; `auto`: processes for a GPU that gets many patches, else
        threads. The embeddings are the same.
    progress : bool, default True
        Show bars for what takes long.

    Returns
    -------
    Results
        `.passed`, `.table()`, `.explain()`, `.save(path)`; a notebook shows it as a table.

    Raises
    ------
    PathorobChecksError
        An FM, a cohort, the criteria or the baseline cannot be used. What fails later, while measuring, is in
        the results as an error, and then they have not passed.

    Examples
    --------
    The demo embeds a generated cohort, which takes half a minute or more:

    >>> from pathorob_checks import evaluate
    >>> evaluate("demo:stain-invariant").summary  # doctest: +SKIP
    'PASS: 4 of 4 criteria met (1 FM, 1 cohort)'

    Embeddings that you have need no time. Here a cohort of 80 patches, its embeddings and one criterion are
    written into a folder and checked:

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathorob_checks import evaluate
    >>> here = TemporaryDirectory()
    >>> folder = Path(here.name) / "ours"
    >>> folder.mkdir()
    >>> patches = pd.MultiIndex.from_product(
    ...     [["Aachen", "Bonn"], ["normal", "tumor"], range(4), range(5)],
    ...     names=["medical_center", "biological_class", "slide", "patch_id"],
    ... ).to_frame(index=False)
    >>> patches["slide_id"] = patches.iloc[:, :3].astype(str).agg("-".join, axis=1)
    >>> patches["image_path"] = patches.slide_id + "-" + patches.patch_id.astype(str) + ".png"
    >>> patches.drop(columns="slide").to_csv(folder / "manifest.csv", index=False)
    >>> for name in patches.image_path:  # given embeddings need no images: other bytes can stand in
    ...     _ = (folder / name).write_text(name)
    >>> embeddings = np.random.default_rng(0).normal(size=(len(patches), 16)).astype(np.float32)
    >>> embeddings[:, 0] += 3 * (patches.biological_class == "tumor")
    >>> np.save(folder / "embeddings.npy", embeddings)
    >>> _ = (folder / "ours.toml").write_text('''
    ... schema = "pathorob-checks/criteria/1"
    ... name = "ours"
    ... [[criteria]]
    ... id = "index"
    ... metric = "robustness_index"
    ... at_least = 0.5
    ... rationale = "Biology outweighs the medical center."
    ... ''')
    >>> results = evaluate(
    ...     f"embeddings:{folder}",
    ...     cohorts=folder,
    ...     criteria=folder / "ours.toml",
    ...     cache=folder / "cache",
    ...     progress=False,
    ... )
    >>> results.passed, results.summary.partition(";")[0]
    (True, 'PASS: 1 of 1 criterion met (1 FM, 1 cohort)')
    >>> here.cleanup()
    """
    settings = Settings(
        fms=(fm,) if isinstance(fm, str) else tuple(fm),
        names=tuple(map(str, _several(names))),
        cohorts=tuple(map(str, _several(cohorts))),
        criteria=criteria if _is_profile(criteria) else tuple(_several(criteria)),  # type: ignore[arg-type]
        criteria_digest=criteria_digest,
        baseline=None if baseline is None else str(baseline),
        baseline_fm=baseline_fm,
        repetitions=repetitions,
        device=device,
        batch_size=batch_size,
        precision=precision,
        pooling=pooling,
        cache=cache,
        metadata=metadata,
        accepted_names=accept_names,
        commercial=commercial,
        licensed=tuple(map(str, _several(licensed))),
        pretraining=tuple(map(str, _several(pretraining))),
        methods=tuple(map(str, _several(methods))),
        method_only=method_only,
        method_ood=method_ood,
        method_target=method_target,
        trust_remote_code=trust_remote_code,
        checkpoint_key=checkpoint_key,
        checkpoint_prefixes=tuple(map(str, _several(checkpoint_prefixes))),
        images=images,
        engine=engine,
        ray_address=ray_address,
        readers=readers,
    )
    if not settings.fms:
        raise SettingsError("there is no FM to check", remedy="name one, such as 'demo:stain-invariant'")
    evaluation = Evaluation(settings, Bars() if progress else Observer())
    evaluation.preflight()
    return results_of(evaluation, made_records(evaluation))


def made_records(evaluation: Evaluation, left_out: Collection[str] = ()) -> Records:
    """Make the integrity checks and the planned checks of a run.

    Parameters
    ----------
    left_out : ids of planned checks and integrity checks that are not made, on purpose.
    """
    chosen = tuple(name for name in evaluation.terms.plan.ids if name in left_out)
    records = Records(collected=Collected(deselected={name: name for name in chosen}, chosen=chosen))
    for one in evaluation.terms.plan.integrity.values():
        if one.left_out is None and one.id not in left_out:
            records.add_integrity(evaluation.integrity(one.subject, one.name))
    for planned in evaluation.terms.checks.values():
        if planned.id not in left_out:
            records.add_check(_made(evaluation, planned))
            records.add_runs(evaluation.runs(planned.subjects))
    return records


def _made(evaluation: Evaluation, planned: PlannedCheck) -> Check:
    from pathorob_checks.errors import MetricError

    try:
        return evaluation.check(planned)
    except PathorobChecksError as error:
        optional = isinstance(error, MetricError) and not planned.criterion.required
        verdict = Verdict.SKIPPED if optional else Verdict.ERROR
        return not_measured(planned.id, planned, str(error), verdict)


def _several(one_or_more: str | Path | Iterable[str | Path]) -> Iterable[str | Path]:
    return (one_or_more,) if isinstance(one_or_more, str | Path) else one_or_more


def _is_profile(criteria: object) -> bool:
    from pathorob_checks.criteria.profile import Profile

    return isinstance(criteria, Profile)
