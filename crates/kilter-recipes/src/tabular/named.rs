//! The recipes about tables.

use super::Family;

/// A recipe's name, what it does, its families (nothing: all), and the table it is about unless another is given.
pub struct Named {
    pub name: &'static str,
    pub about: &'static str,
    pub families: Option<&'static [Family]>,
    pub table: &'static str,
}

pub const NAMED: &[Named] = &[
    Named {
        name: "breast-cancer",
        about: "logistic regression, tree, forest, boosting, neighbours or a perceptron on the Wisconsin table (569 x 30), \
                nested validation",
        families: None,
        table: "breast-cancer",
    },
    Named {
        name: "tabular",
        about: "every family of models on any table: --data FILE --target COLUMN",
        families: None,
        table: "breast-cancer",
    },
    Named {
        name: "logistic-regression",
        about: "logistic regression on any table of classes: --data FILE --target COLUMN",
        families: Some(&[Family::LogisticRegression]),
        table: "breast-cancer",
    },
    Named {
        name: "ridge",
        about: "ridge regression on any table of numbers: --data FILE --target COLUMN",
        families: Some(&[Family::Ridge]),
        table: "diabetes",
    },
    Named {
        name: "decision-tree",
        about: "a decision tree on any table: --data FILE --target COLUMN",
        families: Some(&[Family::DecisionTree]),
        table: "breast-cancer",
    },
    Named {
        name: "random-forest",
        about: "a random forest on any table: --data FILE --target COLUMN",
        families: Some(&[Family::RandomForest]),
        table: "breast-cancer",
    },
    Named {
        name: "boosting",
        about: "gradient boosting on any table: --data FILE --target COLUMN",
        families: Some(&[Family::Boosting]),
        table: "breast-cancer",
    },
    Named {
        name: "knn",
        about: "nearest neighbours on any table: --data FILE --target COLUMN",
        families: Some(&[Family::Knn]),
        table: "breast-cancer",
    },
    Named {
        name: TABULAR_MLP,
        about: "a perceptron on any table: --data FILE --target COLUMN (`mlp` says the same)",
        families: Some(&[Family::Mlp]),
        table: "breast-cancer",
    },
    Named {
        name: "small-cnn",
        about: "a small convolutional network on pictures, nested validation: --data a set, a folder per class or FILE.npz",
        families: Some(&[Family::Cnn]),
        table: "thermal-synth",
    },
];

/// What `mlp` is where its data are a table.
pub const TABULAR_MLP: &str = "tabular-mlp";
