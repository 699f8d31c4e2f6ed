//! Pictures as users have them: a folder per class, with PNG and JPEG files in it; `train` and `test` above the classes,
//! where the source holds some back.
//!
//! All are brought to one size, the most frequent one, and to shades of grey where no picture has colour.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{ImageDecoder, ImageReader};

use crate::dataset::DatasetError;
use crate::images::{Images, Pictures};

/// Endings of the files that are looked at.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Classes are numbered in a byte.
const MOST_CLASSES: usize = 256;

/// Is this a folder with pictures in folders by class?
pub(crate) fn is_sorted(folder: &Path) -> bool {
    !classes_in(folder).is_empty() || !classes_in(&folder.join("train")).is_empty()
}

/// Are there picture files in the folder itself?
pub(crate) fn holds_pictures(folder: &Path) -> bool {
    entries(folder).iter().any(|path| is_picture(path))
}

/// What is in a folder, by name, without what systems hide there (`.DS_Store`, `._1.png`, `.thumbnails`).
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(found) = folder.read_dir() else { return Vec::new() };
    let shown = found.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let mut paths: Vec<PathBuf> = shown.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) && path.is_file()
}

/// The folder's classes with their pictures, both by name; folders without pictures are none.
fn classes_in(folder: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let class = |path: PathBuf| {
        let pictures: Vec<PathBuf> = entries(&path).into_iter().filter(|path| is_picture(path)).collect();
        let name = path.file_name()?.to_string_lossy().into_owned();
        (!pictures.is_empty()).then_some((name, pictures))
    };
    entries(folder).into_iter().filter_map(class).collect()
}

/// What a file's first bytes tell.
struct Header {
    height: u32,
    width: u32,
    has_colour: bool,
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> DatasetError {
    DatasetError::Unknown(format!("{}: {why}", path.display()))
}

fn reader(path: &Path) -> Result<ImageReader<std::io::BufReader<std::fs::File>>, DatasetError> {
    let cannot = |source| DatasetError::File { file: path.display().to_string(), source };
    ImageReader::open(path).map_err(cannot)?.with_guessed_format().map_err(cannot)
}

fn header(path: &Path) -> Result<Header, DatasetError> {
    let decoder = reader(path)?.into_decoder().map_err(|why| wrong(path, format!("no picture: {why}")))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(wrong(path, format!("a picture of {height}x{width} shows nothing")));
    }
    Ok(Header { height, width, has_colour: decoder.color_type().has_color() })
}

/// The pictures of a folder that [`is_sorted`].
///
/// # Errors
/// A file cannot be read or is no picture; the folders to test hold a class that there is nothing to learn of.
pub(crate) fn read(name: &str, folder: &Path) -> Result<Images, DatasetError> {
    let (train, test) = match classes_in(folder) {
        classes if classes.is_empty() => (classes_in(&folder.join("train")), classes_in(&folder.join("test"))),
        classes => (classes, BTreeMap::new()),
    };
    let names: Vec<String> = train.keys().cloned().collect();
    if names.len() > MOST_CLASSES {
        return Err(wrong(folder, format!("{} folders of classes, and there may be {MOST_CLASSES}", names.len())));
    }
    if let Some(unknown) = test.keys().find(|class| !train.contains_key(*class)) {
        return Err(wrong(
            folder,
            format!("the pictures to test have a class `{unknown}`, and those to learn from have {}", names.join(", ")),
        ));
    }
    let mut sizes: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    let mut has_colour = false;
    for path in train.values().chain(test.values()).flatten() {
        let header = header(path)?;
        *sizes.entry((header.height, header.width)).or_default() += 1;
        has_colour |= header.has_colour;
    }
    let all: usize = sizes.values().sum();
    // Of sizes that are as frequent, the smaller.
    let usual = sizes.iter().rev().max_by_key(|(_, count)| **count);
    let (&(height, width), &usual) = usual.ok_or_else(|| wrong(folder, "there are no pictures"))?;
    let part = |classes: &BTreeMap<String, Vec<PathBuf>>| -> Result<Pictures, DatasetError> {
        let mut pictures = Pictures::default();
        for (class, paths) in classes {
            let label = names.iter().position(|name| name == class).unwrap_or_default() as u8;
            for path in paths {
                pictures.pixels.extend(pixels(path, height, width, has_colour)?);
                pictures.labels.push(label);
            }
        }
        Ok(pictures)
    };
    let (train, test) = (part(&train)?, if test.is_empty() { None } else { Some(part(&test)?) });
    let resized = all - usual;
    let note = format!("{resized} of {all} pictures were of another size and were brought to {height}x{width}");
    Ok(Images {
        name: name.to_owned(),
        shape: [if has_colour { 3 } else { 1 }, height as usize, width as usize],
        peak: u8::MAX,
        names,
        train,
        test,
        notes: if resized > 0 { vec![note] } else { Vec::new() },
    })
}

/// A file's pixels at this size, colour by colour.
fn pixels(path: &Path, height: u32, width: u32, has_colour: bool) -> Result<Vec<u8>, DatasetError> {
    let picture = reader(path)?.decode().map_err(|why| wrong(path, format!("the picture is damaged: {why}")))?;
    let picture = match (picture.height(), picture.width()) == (height, width) {
        true => picture,
        false => picture.resize_exact(width, height, FilterType::Triangle),
    };
    if !has_colour {
        return Ok(picture.into_luma8().into_raw());
    }
    let together = picture.into_rgb8().into_raw();
    Ok((0..3).flat_map(|colour| together.iter().skip(colour).step_by(3).copied()).collect())
}
