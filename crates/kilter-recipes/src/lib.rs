#![doc = include_str!("../README.md")]

pub mod breast_cancer;
pub mod claim;
pub mod tabular;

use std::sync::Arc;

use kilter_study::Recipe;

pub use claim::{Finding, Reproduction, Scale};
pub use tabular::{Subject, Tabular};

/// Every recipe, by name.
pub fn recipes() -> Vec<Arc<dyn Recipe>> {
    tabular::names().filter_map(Tabular::new).map(|recipe| Arc::new(recipe) as Arc<dyn Recipe>).collect()
}

/// Every method whose claims can be reproduced.
pub fn reproductions() -> Vec<&'static Reproduction> {
    vec![&breast_cancer::REPRODUCTION]
}

/// The recipe of this name; also the arms of a reproduction, which are a recipe of their own
/// ([`claim::arms_name`]).
pub fn find(name: &str) -> Option<Arc<dyn Recipe>> {
    Tabular::new(name)
        .map(|recipe| Arc::new(recipe) as Arc<dyn Recipe>)
        .or_else(|| claim::find_arms(name).map(|arms| Arc::new(arms) as Arc<dyn Recipe>))
}
