//! Which configurations of a finite space were tried.

use std::collections::HashSet;

use kilter_numerics::Stream;
use kilter_space::{Config, Outline, Random, SpaceError};

/// The configurations that were tried, if the space has finitely many and none is to be repeated.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Option<HashSet<Vec<u64>>>);

/// So many configurations are looked through for one that is left; in a larger space, chance finds one.
const LISTED: u128 = 1_000_000;

fn key(code: &[f64]) -> Vec<u64> {
    // Adding 0 makes -0 and 0 one number.
    code.iter().map(|x| if x.is_nan() { u64::MAX } else { (x + 0.0).to_bits() }).collect()
}

impl Seen {
    pub(super) fn new(outline: &Outline, repeats: bool) -> Self {
        let finite = outline.is_complete() && outline.entries().iter().all(|entry| entry.domain.count().is_some());
        Self((finite && !repeats).then(HashSet::new))
    }

    pub(super) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn insert(&mut self, code: &[f64]) {
        if let Some(seen) = &mut self.0 {
            seen.insert(key(code));
        }
    }

    pub(super) fn contains(&self, code: &[f64]) -> bool {
        self.0.as_ref().is_some_and(|seen| seen.contains(&key(code)))
    }

    pub(super) fn is_new(&self, outline: &Outline, config: &Config) -> bool {
        self.0.is_none() || !self.contains(&outline.encode(config))
    }

    /// A random one of those that are left; nothing if none is.
    pub(super) fn any_left(&self, outline: &Outline, stream: &mut Stream) -> Result<Option<Config>, SpaceError> {
        if outline.count_at_most().is_none_or(|count| count > LISTED) {
            return Random::new(stream.clone()).config(outline).map(Some);
        }
        // Every one that is left replaces the k-1 before it with chance 1/k: each is as likely.
        let mut left = None;
        let mut met = 0;
        for config in outline.configs()?.filter(|config| self.is_new(outline, config)) {
            met += 1;
            if stream.below(met) == 0 {
                left = Some(config);
            }
        }
        Ok(left)
    }
}
