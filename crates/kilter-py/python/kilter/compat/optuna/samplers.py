"""Optuna's samplers, as far as kilter has them.

>>> from kilter.compat.optuna.samplers import TPESampler
>>> str(TPESampler(n_startup_trials=5, seed=1))
'tpe:flavour=optuna,startup=5,candidates=24,multivariate=true,constant_liar=true'
"""

from ... import opening, spaces
from ...errors import ArgumentError

__all__ = ["BaseSampler", "GridSampler", "PartialFixedSampler", "RandomSampler", "TPESampler"]


class BaseSampler:
    """One of kilter's samplers; `str` gives its name with options."""

    def __init__(self, name, seed=None, space=None, **options):
        self._text = opening.sampler(name, **options)
        self.seed = seed
        self.space = space

    def __str__(self):
        return self._text

    def reseed_rng(self):
        """Nothing to do: what a trial draws hangs on the study's seed and the trial's number."""

    def __repr__(self):
        return f"{type(self).__name__}({self._text!r}, seed={self.seed})"


class TPESampler(BaseSampler):
    """Tree-structured Parzen estimator, kilter's in Optuna's flavour.

    `group`, and what Optuna itself gave up (`consider_prior` and its kin), make no difference here.
    """

    def __init__(
        self,
        *,
        consider_prior=True,
        prior_weight=1.0,
        consider_magic_clip=True,
        consider_endpoints=False,
        n_startup_trials=10,
        n_ei_candidates=24,
        gamma=None,
        weights=None,
        seed=None,
        multivariate=None,
        group=False,
        warn_independent_sampling=True,
        constant_liar=True,
        constraints_func=None,
        categorical_distance_func=None,
    ):
        if categorical_distance_func is not None:
            raise ArgumentError(
                "kilter takes distances with the choice: "
                'kilter.create_study(space=kilter.Space({"x": kilter.Choice(values, distances=function)}))'
            )
        if gamma is not None or weights is not None:
            raise ArgumentError('gamma and weights are names here: kilter.sampler("tpe", gamma="root", weights="age")')
        if constraints_func is not None:
            raise ArgumentError(
                "kilter judges constraints by itself: return a dict of metrics and name the condition with "
                'kilter.create_study(require=["latency <= 10"])'
            )
        options = {} if prior_weight in (None, 1.0) else {"prior_weight": float(prior_weight)}
        super().__init__(
            "tpe",
            seed,
            flavour="optuna",
            startup=n_startup_trials,
            candidates=n_ei_candidates,
            multivariate=True if multivariate is None else multivariate,
            constant_liar=constant_liar,
            **options,
        )


class RandomSampler(BaseSampler):
    """Every configuration by itself, at random."""

    def __init__(self, seed=None):
        super().__init__("random", seed)


class GridSampler(BaseSampler):
    """Every combination of the listed values once."""

    def __init__(self, search_space, seed=None):
        space = spaces.Space({name: spaces.Choice(values) for name, values in search_space.items()})
        super().__init__("exhaustive", seed, space)


class PartialFixedSampler(BaseSampler):
    """Another sampler with some answers fixed."""

    def __init__(self, fixed_params, base_sampler):
        by, _, options = str(base_sampler).partition(":")
        if options and not isinstance(base_sampler, TPESampler):
            raise ArgumentError(f"partial takes a sampler without options, not {base_sampler}")
        super().__init__("partial", base_sampler.seed, base_sampler.space, by=by, **fixed_params)


def __getattr__(name):
    if name.endswith("Sampler"):
        there = ", ".join(listed for listed, _, _ in opening.samplers())
        raise AttributeError(f"kilter has no {name}; it has {there}: kilter.create_study(sampler=NAME)")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
