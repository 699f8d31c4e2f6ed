use kilter_numerics::Stream;
use kilter_tabular::tree::{Criterion, MaxFeatures, Node, TreeError};
use kilter_tabular::{Examples, Model, Table, Target, Tree, TreeConfig};
use proptest::prelude::*;

use crate::golden::{Case, breast_cancer, cases, labels, near, numbers};

/// Tolerance of the file: 1e-9 absolute.
#[test]
fn golden_cart() {
    for case in cases("cart.json") {
        let values: Vec<f64> = case["X"].as_array().unwrap().iter().flat_map(numbers).collect();
        let labels = labels(&case["y"]);
        let table = Table::new(&values, values.len() / labels.len()).unwrap();
        let config = TreeConfig {
            criterion: match case["criterion"].as_str().unwrap() {
                "gini" => Criterion::Gini,
                "entropy" => Criterion::Entropy,
                other => panic!("unknown criterion {other}"),
            },
            max_depth: case["max_depth"].as_u64().map(|depth| depth as usize),
            ..TreeConfig::default()
        };
        let tree = fit(Examples::new(table, &labels).unwrap(), &config);
        if case["tie_free"] == true {
            let expected = case["nodes"].as_array().unwrap();
            assert_eq!(tree.nodes().len(), expected.len());
            for (node, expected) in tree.nodes().iter().zip(expected) {
                near(node.impurity, expected["impurity"].as_f64().unwrap(), 1e-9);
                match node.split {
                    None => assert_eq!(expected["feature"], -2),
                    Some(split) => {
                        let expected_indices = [&expected["feature"], &expected["left"], &expected["right"]];
                        assert_eq!(
                            [split.feature, split.left, split.right].map(|i| i as u64),
                            expected_indices.map(|v| v.as_u64().unwrap())
                        );
                        near(split.threshold, expected["threshold"].as_f64().unwrap(), 1e-9);
                    }
                }
            }
            let queries: Vec<Vec<f64>> = case["queries"].as_array().unwrap().iter().map(numbers).collect();
            for (query, expected) in queries.iter().zip(numbers(&case["probability_of_1"])) {
                near(tree.predict(query), expected, 1e-9);
            }
        }
    }
}

/// scikit-learn 1.9.1 on the standardised table gives these sizes for every one of eight random states, so ties do not
/// matter to them.
#[test]
fn pruned_sizes_match_scikit_learn() {
    let (values, labels) = breast_cancer();
    let examples = Examples::new(Table::new(&values, 30).unwrap(), &labels).unwrap();
    for (criterion, sizes) in [
        (Criterion::Gini, [(22, 7), (16, 6), (7, 4), (6, 3), (3, 2)]),
        (Criterion::Entropy, [(20, 7), (20, 7), (19, 7), (14, 6), (8, 4)]),
    ] {
        for (ccp_alpha, size) in [0.0, 0.002, 0.005, 0.01, 0.02].into_iter().zip(sizes) {
            let tree = fit(examples, &TreeConfig { criterion, ccp_alpha, ..TreeConfig::default() });
            assert_eq!((tree.leaves(), tree.depth()), size, "{criterion:?}, alpha {ccp_alpha}");
        }
    }
}

#[test]
fn equal_splits_go_to_the_lowest_column_then_the_lowest_threshold() {
    // Columns 1 and 2 are equal and split perfectly; column 0 says nothing.
    let values = [5.0, 1.0, 1.0, 5.0, 2.0, 2.0, 5.0, 3.0, 3.0, 5.0, 4.0, 4.0];
    let tree = fit(Examples::new(Table::new(&values, 3).unwrap(), &[0, 0, 1, 1]).unwrap(), &TreeConfig::default());
    assert_eq!(tree.nodes()[0].split.map(|s| (s.feature, s.threshold)), Some((1, 2.5)));

    // Cutting off either end is worth the same.
    let ends = Table::new(&[1.0, 2.0, 3.0], 1).unwrap();
    let tree = fit(Examples::new(ends, &[1, 0, 1]).unwrap(), &TreeConfig::default());
    assert_eq!(tree.nodes()[0].split.map(|s| s.threshold), Some(1.5));
}

#[test]
fn exclusive_or_is_learnt_although_its_first_split_gains_nothing() {
    let values = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let labels = [0, 1, 1, 0];
    let table = Table::new(&values, 2).unwrap();
    let tree = fit(Examples::new(table, &labels).unwrap(), &TreeConfig::default());
    assert_eq!(tree.predict_table(table), [0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn a_threshold_between_neighbouring_floats_still_separates_them() {
    let low = 1.0_f64;
    let values = [low, low.next_up()];
    let table = Table::new(&values, 1).unwrap();
    let tree = fit(Examples::new(table, &[0, 1]).unwrap(), &TreeConfig::default());
    assert_eq!(tree.predict_table(table), [0.0, 1.0]);
}

#[test]
fn rows_that_cannot_be_told_apart_share_a_leaf() {
    let values = [1.0, 1.0, 1.0, 2.0];
    let tree = fit(Examples::new(Table::new(&values, 1).unwrap(), &[0, 1, 1, 0]).unwrap(), &TreeConfig::default());
    near(tree.predict(&[1.0]), 2.0 / 3.0, 1e-15);
    // Zero and minus zero are one value.
    let zeros = Table::new(&[-0.0, 0.0], 1).unwrap();
    assert_eq!(fit(Examples::new(zeros, &[0, 1]).unwrap(), &TreeConfig::default()).nodes().len(), 1);
}

#[test]
fn a_subset_of_constant_columns_is_drawn_again() {
    // One column of twenty varies; a node that looks at one only must find it all the same.
    let values: Vec<f64> =
        (0..6).flat_map(|row| (0..20).map(move |c| if c == 13 { f64::from(row) } else { 7.0 })).collect();
    let config = TreeConfig { max_features: MaxFeatures::Fraction(0.05), ..TreeConfig::default() };
    let examples = Examples::new(Table::new(&values, 20).unwrap(), &[0, 0, 0, 1, 1, 1]).unwrap();
    for seed in 0..20 {
        let tree = Tree::fit(examples, &config, &mut Stream::new(&[seed], "tree")).unwrap();
        assert_eq!(tree.nodes()[0].split.map(|s| (s.feature, s.threshold)), Some((13, 2.5)));
    }
}

#[test]
fn fractions_of_columns_are_rounded_up_and_roots_down() {
    assert_eq!(MaxFeatures::Sqrt.count(30), 5);
    assert_eq!(MaxFeatures::All.count(30), 30);
    // 0.07 * 100 is 7.000000000000001 in binary.
    assert_eq!(MaxFeatures::Fraction(0.07).count(100), 7);
    for (fraction, count) in [(0.1, 3), (0.11, 4), (0.7, 21), (1.0, 30), (1e-9, 1)] {
        assert_eq!(MaxFeatures::Fraction(fraction).count(30), count);
    }
}

#[test]
fn hyperparameters_out_of_range_are_refused() {
    let examples = Examples::new(Table::new(&[1.0, 2.0], 1).unwrap(), &[0, 1]).unwrap();
    let default = TreeConfig::default();
    for (config, error) in [
        (TreeConfig { min_samples_split: 1, ..default }, TreeError::MinSamplesSplit(1)),
        (TreeConfig { min_samples_leaf: 0, ..default }, TreeError::MinSamplesLeaf),
        (TreeConfig { ccp_alpha: -0.1, ..default }, TreeError::CcpAlpha(-0.1)),
        (TreeConfig { max_features: MaxFeatures::Fraction(1.5), ..default }, TreeError::MaxFeatures(1.5)),
    ] {
        assert_eq!(Tree::fit(examples, &config, &mut Stream::new(&[0], "tree")), Err(error));
    }
}

/// A small table on a grid, so that values repeat and splits tie, with weights 0 to 2.
#[derive(Clone, Debug)]
struct Small {
    values: Vec<f64>,
    labels: Vec<u8>,
    weights: Vec<f64>,
    columns: usize,
    config: TreeConfig,
}

impl Small {
    fn examples(&self) -> Examples<'_> {
        let table = Table::new(&self.values, self.columns).unwrap();
        Examples::new(table, &self.labels).unwrap().weighted(&self.weights).unwrap()
    }
}

fn small() -> impl Strategy<Value = Small> {
    let sizes = (2_usize..40, 1_usize..4);
    sizes.prop_flat_map(|(rows, columns)| {
        (
            prop::collection::vec(0_u8..9, rows * columns),
            prop::collection::vec(0_u8..2, rows),
            prop::collection::vec(0_u8..3, rows).prop_filter("all zero", |w| w.iter().any(|&w| w > 0)),
            (any::<bool>(), prop::option::of(0_usize..5), 2_usize..6, 1_usize..4, 0.0..0.1_f64, any::<bool>()),
        )
            .prop_map(move |(values, labels, weights, (entropy, max_depth, split, leaf, alpha, prune))| {
                Small {
                    values: values.into_iter().map(|v| f64::from(v) * 0.37).collect(),
                    labels,
                    weights: weights.into_iter().map(f64::from).collect(),
                    columns,
                    config: TreeConfig {
                        criterion: if entropy { Criterion::Entropy } else { Criterion::Gini },
                        max_depth,
                        min_samples_split: split,
                        min_samples_leaf: leaf,
                        ccp_alpha: if prune { alpha } else { 0.0 },
                        max_features: MaxFeatures::All,
                    },
                }
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_tree_is_the_one_the_definition_gives(small in small()) {
        let unpruned = TreeConfig { ccp_alpha: 0.0, ..small.config };
        let rows: Vec<usize> = (0..small.labels.len()).filter(|&row| small.weights[row] > 0.0).collect();
        let expected = by_definition(&small, &rows, 0);
        prop_assert_eq!(shape(fit(small.examples(), &unpruned).nodes(), 0), expected);
    }

    #[test]
    fn pruning_cuts_the_weakest_links(small in small()) {
        let full = fit(small.examples(), &TreeConfig { ccp_alpha: 0.0, ..small.config });
        let pruned = fit(small.examples(), &small.config);
        let expected = cut_weakest_links(full.nodes(), small.config.ccp_alpha);
        prop_assert_eq!(shape(pruned.nodes(), 0), shape(&expected, 0));
        // Depth-first, left child first, nothing left over.
        let mut order = Vec::new();
        walk(pruned.nodes(), 0, &mut order);
        prop_assert_eq!(order, (0..pruned.nodes().len()).collect::<Vec<_>>());
    }

    #[test]
    fn an_unlimited_tree_reproduces_distinct_rows(seed: u64, rows in 2_usize..100) {
        let mut stream = Stream::new(&[seed], "rows");
        let values: Vec<f64> = (0..rows * 3).map(|_| stream.normal()).collect();
        let labels: Vec<u8> = (0..rows).map(|_| stream.index(2) as u8).collect();
        let table = Table::new(&values, 3).unwrap();
        let config = TreeConfig { max_features: MaxFeatures::Sqrt, ..TreeConfig::default() };
        let tree = Tree::fit(Examples::new(table, &labels).unwrap(), &config, &mut stream).unwrap();
        let expected: Vec<f64> = labels.iter().map(|&label| f64::from(label)).collect();
        prop_assert_eq!(tree.predict_table(table), expected);
    }
}

fn fit(examples: Examples<'_>, config: &TreeConfig) -> Tree {
    Tree::fit(examples, config, &mut Stream::new(&[0], "tree")).unwrap()
}

/// A tree written out: `(feature threshold left right)` or the leaf's weight and probability.
fn shape(nodes: &[Node], index: usize) -> String {
    let node = nodes[index];
    match node.split {
        None => format!("[{} {:.12}]", node.weight, node.value),
        Some(split) => {
            let (left, right) = (shape(nodes, split.left), shape(nodes, split.right));
            format!("({} {:.12} {left} {right})", split.feature, split.threshold)
        }
    }
}

/// CART word by word: every column, every midpoint, weighted impurity from scratch.
fn by_definition(small: &Small, rows: &[usize], depth: usize) -> String {
    let value = |row: usize, column: usize| small.values[row * small.columns + column];
    let totals = |rows: &[usize]| {
        let mut totals = [0.0; 2];
        rows.iter().for_each(|&row| totals[usize::from(small.labels[row])] += small.weights[row]);
        totals
    };
    let cost = |rows: &[usize]| {
        let totals = totals(rows);
        small.config.criterion.impurity(&totals) * (totals[0] + totals[1])
    };
    let [zeros, ones] = totals(rows);
    let may_split = rows.len() >= small.config.min_samples_split
        && small.config.max_depth.is_none_or(|max| depth < max)
        && zeros > 0.0
        && ones > 0.0;
    let mut best: Option<(f64, usize, f64)> = None;
    for column in (0..small.columns).filter(|_| may_split) {
        let mut values: Vec<f64> = rows.iter().map(|&row| value(row, column)).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        for pair in values.windows(2) {
            let threshold = (pair[0] + pair[1]) / 2.0;
            let (left, right): (Vec<usize>, Vec<usize>) =
                rows.iter().partition(|&&row| value(row, column) <= threshold);
            if left.len().min(right.len()) < small.config.min_samples_leaf {
                continue;
            }
            let here = cost(&left) + cost(&right);
            // 1e-10 is far above rounding and far below the difference of unequal splits of 80 units of weight.
            if best.is_none_or(|(cost, _, _)| here < cost - 1e-10) {
                best = Some((here, column, threshold));
            }
        }
    }
    let Some((_, column, threshold)) = best else {
        return format!("[{} {:.12}]", zeros + ones, ones / (zeros + ones));
    };
    let (left, right): (Vec<usize>, Vec<usize>) = rows.iter().partition(|&&row| value(row, column) <= threshold);
    let (left, right) = (by_definition(small, &left, depth + 1), by_definition(small, &right, depth + 1));
    format!("({column} {threshold:.12} {left} {right})")
}

/// Breiman's procedure: while some node's link (its gain per leaf spared) is no stronger than alpha, cut the weakest.
fn cut_weakest_links(nodes: &[Node], alpha: f64) -> Vec<Node> {
    let mut nodes = nodes.to_vec();
    let total = nodes[0].weight;
    // Cost and leaves of the branch below a node.
    fn branch(nodes: &[Node], index: usize, total: f64) -> (f64, f64) {
        match nodes[index].split {
            None => (nodes[index].impurity * nodes[index].weight / total, 1.0),
            Some(split) => {
                let (left, right) = (branch(nodes, split.left, total), branch(nodes, split.right, total));
                (left.0 + right.0, left.1 + right.1)
            }
        }
    }
    if alpha == 0.0 {
        return nodes;
    }
    loop {
        let mut alive = Vec::new();
        walk(&nodes, 0, &mut alive);
        let links = alive.into_iter().filter(|&index| nodes[index].split.is_some()).map(|index| {
            let (cost, leaves) = branch(&nodes, index, total);
            ((nodes[index].impurity * nodes[index].weight / total - cost) / (leaves - 1.0), index)
        });
        match links.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((link, index)) if link <= alpha => nodes[index].split = None,
            _ => return nodes,
        }
    }
}

/// The indices reached from a node, depth first, left first.
fn walk(nodes: &[Node], index: usize, order: &mut Vec<usize>) {
    order.push(index);
    if let Some(split) = nodes[index].split {
        walk(nodes, split.left, order);
        walk(nodes, split.right, order);
    }
}

/// Tolerance of the file: 1e-9 absolute.
#[test]
fn golden_trees_of_numbers_and_of_several_classes() {
    for value in cases("trees.json") {
        let case = Case::new(&value);
        let size = |name: &str| value[name].as_u64().map(|size| size as usize);
        let config = TreeConfig {
            criterion: if value["criterion"] == "entropy" { Criterion::Entropy } else { Criterion::Gini },
            max_depth: size("max_depth"),
            min_samples_leaf: size("min_samples_leaf").unwrap(),
            ccp_alpha: value["ccp_alpha"].as_f64().unwrap(),
            ..TreeConfig::default()
        };
        let tree = fit(Examples::of(case.table(), case.target()).unwrap(), &config);
        assert_eq!(tree.leaves() as u64, value["leaves"].as_u64().unwrap());
        near(tree.nodes()[0].impurity, value["impurity"].as_f64().unwrap(), 1e-9);
        let (found, expected) = (tree.predict_table(case.queries()), numbers(&value["prediction"]));
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).for_each(|(found, expected)| near(*found, expected, 1e-9));
    }
}

/// Two classes said to be of three: the same tree, whose third class has no share.
#[test]
fn a_third_class_without_rows_changes_no_tree() {
    let (values, labels) = breast_cancer();
    let table = Table::new(&values, 30).unwrap();
    for criterion in [Criterion::Gini, Criterion::Entropy] {
        let config = TreeConfig { criterion, ccp_alpha: 0.002, ..TreeConfig::default() };
        let two = fit(Examples::new(table, &labels).unwrap(), &config);
        let three = fit(Examples::of(table, Target::Classes { labels: &labels, count: 3 }).unwrap(), &config);
        for row in table.iter() {
            let mut shares = [0.0; 3];
            three.predict_into(row, &mut shares);
            near(shares[1], two.predict(row), 1e-12);
            assert_eq!(shares[2], 0.0);
        }
    }
}

#[test]
fn a_forest_of_numbers_explains_most_of_them_and_of_classes_finds_most() {
    use kilter_tabular::{Forest, ForestConfig};
    for value in cases("trees.json") {
        let case = Case::new(&value);
        let examples = Examples::of(case.table(), case.target()).unwrap();
        let forest = Forest::fit(examples, &ForestConfig::default(), &Stream::new(&[1], "forest")).unwrap();
        let found = forest.predict_table(case.table());
        match case.target() {
            Target::Numbers(y) => {
                let mean = y.iter().sum::<f64>() / y.len() as f64;
                let error: f64 = y.iter().zip(&found).map(|(y, p)| (y - p).powi(2)).sum();
                assert!(error < 0.25 * y.iter().map(|y| (y - mean).powi(2)).sum::<f64>());
            }
            Target::Classes { labels, count } => {
                let sure = found.chunks(count).zip(labels).filter(|(p, l)| p[usize::from(**l)] > 0.5).count();
                assert!(sure as f64 > 0.9 * labels.len() as f64, "{sure}");
                found.chunks(count).for_each(|p| near(p.iter().sum(), 1.0, 1e-12));
            }
        }
    }
}
