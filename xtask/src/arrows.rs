//! Rooms import only rooms on strictly lower floors; every room is in the table, tested and described.

use std::fs;
use std::path::Path;

use toml::Table;

use crate::root;

/// The rooms of the house by floor. A room may be listed before its first tenant moves in.
const FLOORS: &[(&str, u8)] = &[
    ("kilter-numerics", 0),
    ("kilter-space", 1),
    ("kilter-meter", 1),
    ("kilter-study", 2),
    ("kilter-laws", 2),
    ("kilter-tabular", 2),
    ("kilter-data", 2),
    ("kilter-weights", 2),
    ("kilter-lm", 2),
    ("kilter-nn", 3),
    ("kilter-plot", 3),
    ("kilter-search", 4),
    ("kilter-measure", 4),
    ("kilter-adapt", 4),
    ("kilter-recipes", 5),
    ("kilter-server", 6),
    ("kilter-cli", 6),
    ("kilter-py", 6),
];

/// Tests count too: what a room's tests need is needed to understand the room.
const KINDS: [&str; 3] = ["dependencies", "build-dependencies", "dev-dependencies"];

/// A crate as it lies under `crates/`.
struct Room {
    folder: String,
    manifest: Table,
    has_tests: bool,
    has_readme: bool,
}

/// Checks the house; says how many rooms and arrows were seen.
///
/// # Errors
/// Every arrow that does not point down, and every room that is not as it should be, one per line.
pub fn arrows() -> Result<String, String> {
    let workspace = read_table(&root().join("Cargo.toml"))?;
    let rooms = rooms(&root().join("crates"))?;
    let architecture = read(&root().join("ARCHITECTURE.md"))?;
    let problems = problems(&rooms, &workspace, &architecture);
    if problems.is_empty() {
        let arrows: usize = rooms.iter().map(|room| imports(room, &workspace).len()).sum();
        return Ok(format!("{} rooms, {arrows} arrows, all point down", rooms.len()));
    }
    Err(format!("the house is not as xtask/src/arrows.rs says:\n  {}", problems.join("\n  ")))
}

fn rooms(crates: &Path) -> Result<Vec<Room>, String> {
    let entries = fs::read_dir(crates).map_err(|why| format!("cannot read {}: {why}", crates.display()))?;
    let mut folders: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.retain(|folder| folder.join("Cargo.toml").is_file());
    folders.sort();
    let room = |folder: &std::path::PathBuf| {
        Ok(Room {
            folder: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            manifest: read_table(&folder.join("Cargo.toml"))?,
            has_tests: folder.join("tests/it/main.rs").is_file(),
            has_readme: folder.join("README.md").is_file(),
        })
    };
    folders.iter().map(room).collect()
}

fn problems(rooms: &[Room], workspace: &Table, architecture: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for room in rooms {
        let name = room.name();
        if name != room.folder {
            problems.push(format!("crates/{}: its package is named {name}; name it like its folder", room.folder));
        }
        let own = floor(name);
        if own.is_none() {
            problems.push(format!("{name} has no floor; give it one in FLOORS (and in ARCHITECTURE.md)"));
        }
        for (kind, to) in imports(room, workspace) {
            match (own, floor(&to)) {
                (_, None) => problems.push(format!("{name} -> {to} ({kind}): {to} is no room with a floor")),
                (Some(from), Some(below)) if below >= from => problems.push(format!(
                    "{name} -> {to} ({kind}): floor {from} must not import floor {below}, only lower ones"
                )),
                _ => {}
            }
        }
        if !room.has_tests {
            problems.push(format!("{name} has no tests/it/main.rs; every room has one test binary"));
        }
        if !room.has_readme {
            problems.push(format!("{name} has no README.md; every room says what it is, with an example"));
        }
        if !architecture.contains(&format!("`{name}`")) {
            problems.push(format!("ARCHITECTURE.md does not name `{name}`; add a line to its table of rooms"));
        }
    }
    problems
}

impl Room {
    fn name(&self) -> &str {
        self.manifest
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(toml::Value::as_str)
            .unwrap_or(&self.folder)
    }
}

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(room, _)| *room == name).map(|(_, floor)| *floor)
}

/// The workspace's own crates that a room imports on any platform, with the kind of dependency.
fn imports(room: &Room, workspace: &Table) -> Vec<(&'static str, String)> {
    let platforms = room.manifest.get("target").and_then(toml::Value::as_table);
    let platforms = platforms.into_iter().flat_map(Table::values).filter_map(toml::Value::as_table);
    let shared = workspace.get("workspace").and_then(|table| table.get("dependencies"));
    let mut imports = Vec::new();
    for tables in std::iter::once(&room.manifest).chain(platforms) {
        for kind in KINDS {
            let Some(dependencies) = tables.get(kind).and_then(toml::Value::as_table) else { continue };
            for (key, entry) in dependencies {
                // An import may be renamed here or where the workspace declares it.
                let inherited = entry.get("workspace").and(shared).and_then(|shared| shared.get(key));
                let renamed = [Some(entry), inherited].into_iter().flatten().find_map(|entry| entry.get("package"));
                let name = renamed.and_then(toml::Value::as_str).unwrap_or(key);
                if name == "xtask" || name.starts_with("kilter") {
                    imports.push((kind, name.to_owned()));
                }
            }
        }
    }
    imports
}

fn read_table(path: &Path) -> Result<Table, String> {
    read(path)?.parse().map_err(|why| format!("cannot understand {}: {why}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|why| format!("cannot read {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = r#"
        [workspace.dependencies]
        kilter-numerics = { path = "crates/kilter-numerics" }
        engine = { path = "crates/kilter-search", package = "kilter-search" }
    "#;

    fn room(name: &str, dependencies: &str) -> Room {
        let manifest = format!("[package]\nname = \"{name}\"\n{dependencies}");
        Room { folder: name.to_owned(), manifest: manifest.parse().unwrap(), has_tests: true, has_readme: true }
    }

    fn check(rooms: &[Room]) -> Vec<String> {
        let architecture: String = rooms.iter().map(|room| format!("| `{}` |\n", room.name())).collect();
        problems(rooms, &WORKSPACE.parse().unwrap(), &architecture)
    }

    #[test]
    fn arrows_that_point_down_pass() {
        let space = room("kilter-space", "[dependencies]\nkilter-numerics.workspace = true\nserde = \"1\"");
        let study = room(
            "kilter-study",
            "[dependencies]\nkilter-space = {}\n[dev-dependencies]\nkilter-meter = {}\n[build-dependencies]\ncc = \"1\"",
        );
        let rooms = [room("kilter-numerics", ""), space, study];
        assert_eq!(check(&rooms), Vec::<String>::new());
        let workspace = WORKSPACE.parse().unwrap();
        assert_eq!(imports(&rooms[2], &workspace).len(), 2);
    }

    #[test]
    fn an_arrow_up_is_named() {
        let found = check(&[room("kilter-space", "[dependencies]\nkilter-study.workspace = true")]);
        assert_eq!(
            found,
            ["kilter-space -> kilter-study (dependencies): floor 1 must not import floor 2, only lower ones"]
        );
    }

    #[test]
    fn an_arrow_along_the_floor_is_named_even_if_only_tests_need_it() {
        let found = check(&[room("kilter-tabular", "[dev-dependencies]\nkilter-data.workspace = true")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("kilter-tabular -> kilter-data (dev-dependencies)"), "{found:?}");
    }

    #[test]
    fn no_detour_hides_an_arrow() {
        for hidden in [
            "[dependencies]\nengine.workspace = true",
            "[dependencies]\nengine = { path = \"../kilter-search\", package = \"kilter-search\" }",
            "[build-dependencies]\nkilter-search = {}",
            "[target.'cfg(unix)'.dependencies]\nkilter-search = {}",
        ] {
            let found = check(&[room("kilter-study", hidden)]);
            assert!(found.len() == 1 && found[0].contains("kilter-study -> kilter-search"), "{hidden}: {found:?}");
        }
    }

    #[test]
    fn a_room_without_a_floor_is_named() {
        let found = check(&[room("kilter-attic", "")]);
        assert_eq!(found, ["kilter-attic has no floor; give it one in FLOORS (and in ARCHITECTURE.md)"]);
        let found = check(&[room("kilter-cli", "[dependencies]\nkilter-attic = {}\nxtask = {}")]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn a_room_without_tests_description_or_mention_is_named() {
        let bare = Room { has_tests: false, has_readme: false, ..room("kilter-laws", "") };
        let found = problems(&[bare], &WORKSPACE.parse().unwrap(), "| `kilter-lm` | `kilter-laws-of-old` |");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("tests/it/main.rs") && found[1].contains("README.md"), "{found:?}");
        assert!(found[2].contains("ARCHITECTURE.md does not name `kilter-laws`"), "{found:?}");
    }
}
