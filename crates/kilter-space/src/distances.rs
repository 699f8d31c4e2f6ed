//! How far the values of a choice lie from each other, where somebody knows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{Choice, Domain};

/// How far each value of a choice lies from each other one, in any unit: of activations, `relu` may be near to `gelu` and
/// far from `sigmoid`. What is learnt of a value then tells of its neighbours, too. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<f64>>", into = "Vec<Vec<f64>>")]
pub struct Distances {
    values: usize,
    /// From each value, in their order, to each.
    table: Arc<[f64]>,
}

/// Why a table says no distances, and in which of its rows.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{why}")]
pub struct DistancesError {
    /// The row; nothing if it is about all.
    pub row: Option<usize>,
    why: String,
}

impl DistancesError {
    pub(crate) fn of_all(why: String) -> Self {
        Self { row: None, why }
    }
}

impl Distances {
    /// From each value, in the order of the choice, a row of the distances to each. They need not be the same back and forth.
    ///
    /// # Errors
    /// If the table is not square, a distance is negative or not finite, one to itself not 0, or all of a row 0.
    pub fn new(rows: &[Vec<f64>]) -> Result<Self, DistancesError> {
        for (at, row) in rows.iter().enumerate() {
            let wrong = |why: String| Err(DistancesError { row: Some(at), why });
            if row.len() != rows.len() {
                return wrong(format!("row {} has {} distances of {}", at + 1, row.len(), rows.len()));
            }
            if let Some(bad) = row.iter().find(|distance| !(distance.is_finite() && **distance >= 0.0)) {
                return wrong(format!("{bad:?} is no distance; it is a finite number, not below 0"));
            }
            if row[at] != 0.0 {
                return wrong(format!("value {} lies {:?} from itself; it must be 0", at + 1, row[at]));
            }
            if rows.len() > 1 && row.iter().all(|distance| *distance == 0.0) {
                return wrong(format!("value {} lies 0 from every other; one must be farther", at + 1));
            }
        }
        Ok(Self { values: rows.len(), table: rows.concat().into() })
    }

    /// How many values there are.
    pub fn values(&self) -> usize {
        self.values
    }

    /// The distances from the value of this place to each. Panics if there is no such value.
    pub fn from(&self, place: usize) -> &[f64] {
        &self.table[place * self.values..][..self.values]
    }

    /// Why a table of so many rows cannot stand beside `domain`.
    pub(crate) fn trouble(rows: usize, domain: &Domain) -> Option<String> {
        let Domain::Choice(choice) = domain else {
            return Some("only a choice has them; leave them out".to_owned());
        };
        let values = choice.values().len();
        (rows != values).then(|| format!("{rows} rows for {values} values; write a row for each value"))
    }

    /// The same for the values of another choice; nothing unless all are among the old ones.
    pub(crate) fn among(&self, old: &Choice, new: &Choice) -> Option<Self> {
        let places: Option<Vec<usize>> = new.values().iter().map(|value| old.position(value)).collect();
        let places = places?;
        let row = |&from: &usize| places.iter().map(|&to| self.from(from)[to]).collect();
        Self::new(&places.iter().map(row).collect::<Vec<Vec<f64>>>()).ok()
    }
}

impl TryFrom<Vec<Vec<f64>>> for Distances {
    type Error = DistancesError;
    fn try_from(rows: Vec<Vec<f64>>) -> Result<Self, DistancesError> {
        Self::new(&rows)
    }
}

impl From<Distances> for Vec<Vec<f64>> {
    fn from(distances: Distances) -> Self {
        (0..distances.values).map(|place| distances.from(place).to_vec()).collect()
    }
}
