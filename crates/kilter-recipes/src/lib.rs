#![doc = include_str!("../README.md")]

pub mod breast_cancer;
pub mod breast_cancer_images;
pub mod claim;
pub mod laws;
pub mod measuring;
pub mod network;
pub mod tabular;
pub mod weights;

use std::path::Path;
use std::sync::Arc;

use kilter_space::Value;
use kilter_study::{Failure, Recipe};

pub use claim::{Finding, Reproduction, Scale};
pub use network::Network;
pub use tabular::{Subject, Tabular};

/// Every recipe, by name.
pub fn recipes() -> Vec<Arc<dyn Recipe>> {
    tabular::names().chain(network::names()).chain(laws::names()).filter_map(named).collect()
}

/// Every method whose claims can be reproduced.
pub fn reproductions() -> Vec<&'static Reproduction> {
    vec![
        &breast_cancer::REPRODUCTION,
        &breast_cancer_images::REPRODUCTION,
        &laws::step_law::REPRODUCTION,
        &laws::compute_class::REPRODUCTION,
        &laws::mup::REPRODUCTION,
        &laws::cluster::REPRODUCTION,
        &laws::power_scheduler::REPRODUCTION,
        &weights::soups::REPRODUCTION,
        &weights::breadcrumbs::REPRODUCTION,
        &weights::nupes::REPRODUCTION,
        &network::minilm::REPRODUCTION,
    ]
}

fn named(name: &str) -> Option<Arc<dyn Recipe>> {
    Tabular::new(name)
        .map(|recipe| Arc::new(recipe) as Arc<dyn Recipe>)
        .or_else(|| Network::new(name).map(|recipe| Arc::new(recipe) as Arc<dyn Recipe>))
        .or_else(|| laws::find(name).map(|recipe| Arc::new(recipe) as Arc<dyn Recipe>))
        .or_else(|| network::minilm::find(name).map(|recipe| Arc::new(recipe) as Arc<dyn Recipe>))
        .or_else(|| weights::find(name).map(|recipe| Arc::new(recipe) as Arc<dyn Recipe>))
}

/// The recipe of this name; also the arms of a reproduction, which are a recipe of their own
/// ([`claim::arms_name`]).
pub fn find(name: &str) -> Option<Arc<dyn Recipe>> {
    named(name).or_else(|| claim::find_arms(name).map(|arms| Arc::new(arms) as Arc<dyn Recipe>))
}

/// A recipe about data of the user's, which were read.
pub struct About {
    /// The recipe.
    pub recipe: Arc<dyn Recipe>,
    /// The data, with all that was found out on reading them: the same subject gives the same recipe again.
    pub subject: Subject,
    /// What was seen on reading them, a line each.
    pub facts: Vec<String>,
}

/// The recipe of this name about other data, which are read; `set` are the settings that will be asked for.
///
/// # Errors
/// The recipe takes no data, or they cannot be read; says what would be right.
pub fn on(name: &str, subject: Subject, set: &[(String, Value)]) -> Result<About, Failure> {
    let name = if name == "mlp" && is_table(&subject) { tabular::TABULAR_MLP } else { name };
    if !network::names().any(|network| network == name) {
        let tabular = Tabular::on(name, subject, set)?;
        let (subject, facts) = (tabular.subject().clone(), tabular.facts().to_vec());
        return Ok(About { recipe: Arc::new(tabular), subject, facts });
    }
    if subject.target.is_some() && name != network::TEXT_CLASSIFIER {
        return Err(Failure::refused(format!(
            "--target names a column of a table, and `{name}` learns from pictures or text; `tabular` takes tables"
        )));
    }
    let network = Network::about(name, &subject.data, subject.target.as_deref())?;
    let facts = network.facts().to_vec();
    Ok(About { recipe: Arc::new(network), subject, facts })
}

/// Is it a table that is meant, rather than pictures?
fn is_table(subject: &Subject) -> bool {
    let named = subject.target.is_some() || kilter_data::bundled(&subject.data).is_some();
    !kilter_data::are_pictures(&subject.data) && (named || Path::new(&subject.data).is_file())
}
