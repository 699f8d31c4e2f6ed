//! The classical models beside scikit-learn, on the embedded breast-cancer table, one thread each.

use std::hint::black_box;

use kilter_numerics::Stream;
use kilter_tabular::logistic::Penalty;
use kilter_tabular::tree::MaxFeatures;
use kilter_tabular::{
    Boosting, BoostingConfig, Examples, Forest, ForestConfig, Knn, KnnConfig, Logistic, LogisticConfig, Model,
    Standardiser, Table, Tree, TreeConfig,
};
use serde_json::json;

use super::gauge::timed;
use super::paired::{Figure, Sheet, Unit, in_turn, part};
use super::peer::{Peer, Python};

/// Measures everything.
pub fn bench(python: Option<&Python>, quick: bool) -> Result<Sheet, String> {
    let data = kilter_data::breast_cancer().map_err(text)?;
    let table = Table::new(&data.values, data.columns()).map_err(text)?;
    let labels = data.labels().ok_or("the table has no classes")?;
    let examples = Examples::new(table, labels).map_err(text)?;
    let scaled = Standardiser::fit(table).and_then(|scale| scale.apply(table)).map_err(text)?;
    let scaled = Table::new(&scaled, data.columns()).map_err(text)?;
    let scaled = Examples::new(scaled, labels).map_err(text)?;

    let mut peer = python.map(|python| python.peer("tabular.py")).transpose()?;
    let mut figures = Vec::new();
    let mut measure = |work: &str, rounds: usize, ours: &dyn Fn(u64) -> Result<f64, String>| {
        let mut seed = 0;
        let ours = || {
            seed += 1;
            // Nothing of the work may be left out for want of a reader.
            timed(|| {
                black_box(ours(seed)?);
                Ok(())
            })
        };
        // The first round warms both up.
        let theirs = |peer: &mut Peer| peer.timed(&json!({ "do": work }));
        let rounds = in_turn(rounds + 1, ours, peer.as_mut(), theirs)?;
        let figure = Figure::of(&format!("{work}, CPU"), Unit::Seconds, &part(&rounds[1..], |took| took.cpu_seconds));
        figures.push(figure);
        Ok::<(), String>(())
    };

    let pick = |full, fast| if quick { fast } else { full };
    let forest = |seed: u64| Forest::fit(examples, &ForestConfig::default(), &Stream::new(&[seed], "forest"));
    let grown = forest(0).map_err(text)?;
    measure("forest of 100 trees: fit", pick(15, 5), &|seed| {
        forest(seed).map(|forest| forest.trees().len() as f64).map_err(text)
    })?;
    measure("forest of 100 trees: predict 569 rows", pick(30, 10), &|_| Ok(grown.predict_table(table)[0]))?;
    let tree = TreeConfig { max_features: MaxFeatures::All, ..TreeConfig::default() };
    measure("tree: fit", pick(30, 10), &|seed| {
        Tree::fit(examples, &tree, &mut Stream::new(&[seed], "tree")).map(|tree| tree.leaves() as f64).map_err(text)
    })?;
    let boosting = |seed: u64| {
        Boosting::fit(examples, &BoostingConfig::default(), &Stream::new(&[seed], "boosting")).map_err(text)
    };
    measure("boosting of 100 rounds: fit", pick(15, 5), &|seed| {
        boosting(seed).map(|model| model.trees().len() as f64)
    })?;
    let boosted = boosting(0)?;
    measure("boosting of 100 rounds: predict 569 rows", pick(30, 10), &|_| Ok(boosted.predict_table(table)[0]))?;
    let neighbours = Knn::fit(scaled, &KnnConfig::default()).map_err(text)?;
    measure("5 neighbours: predict 569 rows", pick(30, 10), &|_| Ok(neighbours.predict_table(scaled.table())[0]))?;
    let fit = |penalty| Logistic::fit(scaled, &LogisticConfig { penalty, ..LogisticConfig::default() }).map_err(text);
    for work in ["logistic L2: fit as exactly", "logistic L2: fit at each side's default tolerance"] {
        measure(work, pick(30, 10), &|_| Ok(fit(Penalty::L2)?.objective))?;
    }
    for work in ["logistic L1: fit as exactly", "logistic L1: fit at each side's default tolerance"] {
        measure(work, pick(30, 10), &|_| Ok(fit(Penalty::L1)?.objective))?;
    }

    let mut notes = vec![
        "The same 569 x 30 table and hyperparameters (each side's defaults, which agree), one thread.".to_owned(),
        "kilter's default tolerance is the stricter one: `as exactly` holds scikit-learn to it. Its L1 solver charges \
         the intercept too, so its optimum is slightly another."
            .to_owned(),
    ];
    if let Some(peer) = &mut peer {
        let theirs = peer.order(&json!({ "do": "results" }))?;
        let theirs = |name: &str| theirs.get(name).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
        let leaves = |trees: &[Tree]| trees.iter().map(Tree::leaves).sum::<usize>() as f64 / trees.len() as f64;
        let alone = Tree::fit(examples, &tree, &mut Stream::new(&[0], "tree")).map_err(text)?;
        notes.push(format!(
            "Results, kilter against the peer: leaves of the tree {} against {}, of a forest's tree {:.2} against {:.2};",
            alone.leaves(),
            theirs("leaves"),
            leaves(grown.trees()),
            theirs("forest_leaves"),
        ));
        for (name, penalty) in [("l2", Penalty::L2), ("l1", Penalty::L1)] {
            notes.push(format!(
                "  objective {name}: {:.6} against {:.6} as exactly, {:.6} at the peer's default tolerance",
                fit(penalty)?.objective,
                theirs(name),
                theirs(&format!("{name}_default")),
            ));
        }
    }
    Ok(Sheet { title: "tabular", peer: peer.map(|peer| peer.name.clone()), quick, figures, notes })
}

fn text(why: impl std::fmt::Display) -> String {
    why.to_string()
}
