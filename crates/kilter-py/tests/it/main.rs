//! The package's halves agree. What it does is tested in Python, from an installed wheel: `cargo xtask python`.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The Python modules with a public name, and the stubs.
fn files(end: &str) -> BTreeSet<PathBuf> {
    fn collect(folder: &Path, end: &str, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, end, found);
            } else if path.extension().is_some_and(|extension| extension == end) {
                found.insert(path.with_extension(""));
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("python/kilter"), end, &mut found);
    found
}

/// The names in `__all__` of a module.
fn exported(text: &str) -> BTreeSet<String> {
    let list = text.split_once("__all__ = [").and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_module_has_types() {
    // That they say the truth is tested in Python.
    let (modules, stubs) = (files("py"), files("pyi"));
    let missing: Vec<_> = modules.difference(&stubs).filter(|module| !private(module)).collect();
    assert!(missing.is_empty(), "no .pyi beside {missing:?}");
    assert!(files("typed").len() == 1, "py.typed tells type checkers that there are types");
}

/// Modules that only the package itself imports.
fn private(module: &Path) -> bool {
    let name = module.file_name().unwrap().to_string_lossy().into_owned();
    (name.starts_with('_') && name != "__init__") || ["html", "progress", "reproduction"].contains(&name.as_str())
}

#[test]
fn the_package_exports_what_it_imports() {
    let init = read("python/kilter/__init__.py");
    let imported: BTreeSet<String> = init
        .split("\nfrom .")
        .skip(1)
        .flat_map(|import| {
            let names = import.split_once(" import ").unwrap().1;
            let names = names
                .strip_prefix('(')
                .map_or_else(|| names.lines().next().unwrap(), |inside| inside.split(')').next().unwrap());
            names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(imported, exported(&init));
}

#[test]
fn the_oldest_interpreter_is_named_once() {
    assert!(read("pyproject.toml").contains("requires-python = \">=3.10\""));
    assert!(read("Cargo.toml").contains("abi3-py310"));
}
