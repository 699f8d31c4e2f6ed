//! Groups of parameters with factors of learning rate and weight decay.

use serde::{Deserialize, Serialize};

use crate::params::{Role, Spec};

/// Parameters that share factors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Those whose name holds this text; the empty text is in every name.
    #[serde(default)]
    pub name: String,
    /// Those of this kind only.
    #[serde(default)]
    pub role: Option<Role>,
    /// Factor of the learning rate.
    #[serde(default = "one")]
    pub learning_rate: f64,
    /// Factor of the weight decay.
    #[serde(default = "one")]
    pub weight_decay: f64,
}

fn one() -> f64 {
    1.0
}

impl Group {
    /// Biases and factors of normalisations are not decayed.
    pub fn usual() -> Vec<Self> {
        vec![Self { name: String::new(), role: Some(Role::Vector), learning_rate: 1.0, weight_decay: 0.0 }]
    }

    fn holds(&self, spec: &Spec) -> bool {
        spec.name.contains(&self.name) && self.role.is_none_or(|role| role == spec.role)
    }

    /// The factors of learning rate and weight decay for a parameter: those of the last group that holds it.
    pub fn factors(groups: &[Self], spec: &Spec) -> (f64, f64) {
        let group = groups.iter().rev().find(|group| group.holds(spec));
        group.map_or((1.0, 1.0), |group| (group.learning_rate, group.weight_decay))
    }
}
