//! Pictures of classes: the digits and the made-up thermograms in the binary, any folder of IDX files (LeCun, Cortes and
//! Burges, *The MNIST database*, 1998), as MNIST, Fashion-MNIST and USPS come, NumPy's archives, as MedMNIST comes (Yang
//! and others, *MedMNIST v2*, Scientific Data 2023), and folders of picture files by class.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::catalogue::{self, Kind, Place, Shelves};
use crate::dataset::{Dataset, DatasetError, Feature, Target};
use crate::npz::{Array, Npz};
use crate::picture_files;

/// Pictures in memory, all of one size, each of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// Its name in the catalogue, or its folder.
    pub name: String,
    /// Colours, height and width of a picture.
    pub shape: [usize; 3],
    /// The brightest that a pixel can be; 0 is the darkest.
    pub peak: u8,
    /// The classes' names, in the order of their numbers from 0.
    pub names: Vec<String>,
    /// Those to learn from.
    pub train: Pictures,
    /// Those that the source holds back for the test, if it does.
    pub test: Option<Pictures>,
    /// What was changed on reading them, in words.
    pub notes: Vec<String>,
}

/// Some pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pictures {
    /// Picture after picture, each colour by colour, row by row.
    pub pixels: Vec<u8>,
    /// A class per picture.
    pub labels: Vec<u8>,
}

/// The handwritten digits in the binary (source and licence in `data/README.md`).
pub(crate) const DIGITS: &[u8] = include_bytes!("../data/digits.csv.gz");

/// Names under which a folder may hold its pictures and classes: to learn from, and to test.
const PARTS: [(&str, [&str; 2]); 2] = [
    ("to learn from", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]),
    ("to test", ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]),
];

/// Names of the classes of sets whose files only number them.
const NAMES: &[(&str, &[&str])] = &[("pneumoniamnist", &["normal", "pneumonia"])];

/// The pictures of this name in the catalogue, of a folder that holds IDX files (gzipped or not) or a folder of PNG or JPEG
/// files per class, or of an archive of NumPy's.
///
/// # Errors
/// There are none, they are not here, or a file holds no 8-bit pictures; says what would be right.
pub fn images(data: &str) -> Result<Images, DatasetError> {
    match data {
        "digits" => return digits(),
        "thermal-synth" => return Ok(crate::thermal::thermal_synth()),
        _ => {}
    }
    let place = match catalogue::find(data) {
        Some(set) => {
            let shelves = Shelves::from_environment().map_err(|why| DatasetError::Unknown(why.to_string()))?;
            match shelves.place(set) {
                Place::Folder(folder) => folder,
                _ => return Err(DatasetError::Unknown(format!("`{data}` is not here: {}", set.how(&shelves)))),
            }
        }
        None => PathBuf::from(data),
    };
    let mut images = if place.is_dir() {
        from_folder(data, &place)?
    } else if is_archive(&place) && place.is_file() {
        from_archive(data, &place)?
    } else {
        return Err(DatasetError::Unknown(format!(
            "there are no pictures `{data}`: name a set (`kilter data list --kind images` shows them), a folder with a \
             folder of PNG or JPEG files per class, or with the files {} and {}, or an archive NAME.npz with the arrays \
             train_images and train_labels",
            PARTS[0].1[0], PARTS[0].1[1]
        )));
    };
    if let Some((_, names)) = NAMES.iter().find(|(name, names)| *name == data && names.len() == images.names.len()) {
        images.names = names.iter().map(|name| (*name).to_owned()).collect();
    }
    Ok(images)
}

/// Is this the name of pictures in the catalogue, an archive of NumPy's, or a folder with pictures in it?
pub fn are_pictures(data: &str) -> bool {
    let place = Path::new(data);
    match catalogue::find(data) {
        Some(set) => set.kind == Kind::Images,
        None => {
            (is_archive(place) && place.is_file())
                || find(place, PARTS[0].1[0]).is_some()
                || archive_in(place).is_some()
                || picture_files::is_sorted(place)
        }
    }
}

fn is_archive(place: &Path) -> bool {
    place.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz"))
}

/// The archive in a folder, if there is a single one.
fn archive_in(folder: &Path) -> Option<PathBuf> {
    let mut all = folder.read_dir().ok()?.flatten().map(|entry| entry.path()).filter(|path| is_archive(path));
    all.next().filter(|_| all.next().is_none())
}

fn from_folder(name: &str, folder: &Path) -> Result<Images, DatasetError> {
    if let (None, Some(archive)) = (find(folder, PARTS[0].1[0]), archive_in(folder)) {
        return from_archive(name, &archive);
    }
    if find(folder, PARTS[0].1[0]).is_none() && picture_files::is_sorted(folder) {
        return picture_files::read(name, folder);
    }
    let mut parts = Vec::new();
    for (what, [pictures, labels]) in PARTS {
        match (find(folder, pictures), find(folder, labels)) {
            (Some(pictures), Some(labels)) => parts.push(Some(read_part(&pictures, &labels)?)),
            (None, None) => parts.push(None),
            (found, _) => {
                let missing = if found.is_some() { labels } else { pictures };
                return Err(DatasetError::Unknown(format!(
                    "{}: of the pictures {what} the file {missing} (or {missing}.gz) is missing",
                    folder.display()
                )));
            }
        }
    }
    let test = parts.pop().flatten();
    let Some(([height, width], train)) = parts.pop().flatten() else {
        let why = match picture_files::holds_pictures(folder) {
            true => "its pictures have no class: put them into a folder per class".to_owned(),
            false => format!(
                "it holds no pictures to learn from: neither a folder of PNG or JPEG files per class, nor the files {} and \
                 {} (or with .gz)",
                PARTS[0].1[0], PARTS[0].1[1]
            ),
        };
        return Err(DatasetError::Unknown(format!("{}: {why}", folder.display())));
    };
    let test = match test {
        Some((shape, test)) if shape == [height, width] => Some(test),
        Some((other, _)) => {
            return Err(DatasetError::Unknown(format!(
                "{}: pictures to learn from are {height}x{width} and those to test {}x{}",
                folder.display(),
                other[0],
                other[1]
            )));
        }
        None => None,
    };
    let names = numbered(&train, test.as_ref());
    Ok(Images {
        name: name.to_owned(),
        shape: [1, height, width],
        peak: u8::MAX,
        names,
        train,
        test,
        notes: Vec::new(),
    })
}

/// The numbers of all classes that there are, as their names.
fn numbered(train: &Pictures, test: Option<&Pictures>) -> Vec<String> {
    let labels = train.labels.iter().chain(test.iter().flat_map(|test| &test.labels));
    (0..=labels.max().copied().unwrap_or(0)).map(|class| class.to_string()).collect()
}

/// Arrays as MedMNIST names them. What is meant for validation is learnt from: whoever tunes draws a part of their own.
fn from_archive(name: &str, path: &Path) -> Result<Images, DatasetError> {
    let mut archive = Npz::open(path)?;
    let Some((shape, mut train)) = part_of(&mut archive, path, "train")? else {
        return Err(DatasetError::Unknown(format!(
            "{} holds no array `train_images`; its arrays are {}",
            path.display(),
            archive.names().join(", ")
        )));
    };
    let mut others = ["val", "test"].map(|part| part_of(&mut archive, path, part)).into_iter();
    let (validation, test) = (others.next().transpose()?.flatten(), others.next().transpose()?.flatten());
    for (what, part) in [("val", &validation), ("test", &test)] {
        if let Some(([c, h, w], _)) = part
            && [*c, *h, *w] != shape
        {
            return Err(DatasetError::Unknown(format!(
                "{}: the pictures of train_images are {}x{} with {} colours, and those of {what}_images {h}x{w} with {c}",
                path.display(),
                shape[1],
                shape[2],
                shape[0]
            )));
        }
    }
    if let Some((_, validation)) = validation {
        train.pixels.extend(validation.pixels);
        train.labels.extend(validation.labels);
    }
    let test = test.map(|(_, test)| test);
    let names = numbered(&train, test.as_ref());
    Ok(Images { name: name.to_owned(), shape, peak: u8::MAX, names, train, test, notes: Vec::new() })
}

/// A part of an archive with the shape of its pictures, if it is there.
fn part_of<R: Read + std::io::Seek>(
    archive: &mut Npz<R>,
    path: &Path,
    part: &str,
) -> Result<Option<([usize; 3], Pictures)>, DatasetError> {
    let wrong = |why: String| DatasetError::Unknown(format!("{}: {why}", path.display()));
    let Some(Array { shape, numbers: pixels }) = archive.read(&format!("{part}_images"))? else { return Ok(None) };
    let Some(Array { shape: of_labels, numbers: labels }) = archive.read(&format!("{part}_labels"))? else {
        return Err(wrong(format!("it holds an array `{part}_images` and no `{part}_labels`")));
    };
    let (sizes, colours) = match shape[..] {
        [count, height, width] => ([count, height, width], 1),
        [count, height, width, colours] => ([count, height, width], colours),
        _ => {
            return Err(wrong(format!(
                "`{part}_images` has {} axes; pictures have 3 (picture, row, column) or 4 (and colour)",
                shape.len()
            )));
        }
    };
    let [count, height, width] = sizes;
    if of_labels.iter().product::<usize>() != count || of_labels.first() != Some(&count) || pixels.is_empty() {
        return Err(wrong(format!(
            "`{part}_images` holds {count} pictures of {height}x{width}, and `{part}_labels` has the axes {of_labels:?}; \
             there must be one class per picture, and some pictures"
        )));
    }
    // The colours of a pixel lie together there; here the pixels of a colour do.
    let size = height * width;
    let pixels = match colours {
        1 => pixels,
        _ => {
            let one = |picture: &[u8]| -> Vec<u8> {
                (0..colours * size).map(|i| picture[i % size * colours + i / size]).collect()
            };
            pixels.chunks_exact(size * colours).flat_map(one).collect()
        }
    };
    Ok(Some(([colours, height, width], Pictures { pixels, labels })))
}

impl Images {
    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.names.len()
    }

    /// The pictures as a table: a row per picture, a column per pixel, from 0 (dark) to 1. What the source holds back for
    /// the test stands at the end, and the table says so.
    pub fn table(self) -> Dataset {
        let [colours, height, width] = self.shape;
        let place = |i: usize| {
            let (colour, row, column) = (i / (height * width), i / width % height, i % width);
            let of = if colours > 1 { format!("colour {colour}, ") } else { String::new() };
            Feature { name: format!("{of}row {row}, column {column}"), categories: None }
        };
        let learnt_from = self.train.labels.len();
        let mut all = self.train;
        if let Some(test) = self.test {
            all.pixels.extend(test.pixels);
            all.labels.extend(test.labels);
        }
        Dataset {
            name: self.name,
            features: (0..colours * height * width).map(place).collect(),
            values: all.pixels.iter().map(|&pixel| f64::from(pixel) / f64::from(self.peak)).collect(),
            target_name: "class".to_owned(),
            held_out: (learnt_from..all.labels.len()).collect(),
            target: Target::Classes { labels: all.labels, names: self.names },
            notes: self.notes,
            picture: Some(self.shape),
        }
    }
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|path| path.is_file())
}

/// An IDX file of bytes: the sizes of its axes, and its numbers.
fn read_idx(path: &Path, axes: usize) -> Result<(Vec<usize>, Vec<u8>), DatasetError> {
    let file = path.display().to_string();
    let cannot = |source| DatasetError::File { file: file.clone(), source };
    let wrong = |why: String| DatasetError::Unknown(format!("{file}: {why}"));
    let mut reader = BufReader::new(File::open(path).map_err(cannot)?);
    let gzipped = reader.fill_buf().map_err(cannot)?.starts_with(&[0x1f, 0x8b]);
    let mut reader: Box<dyn Read> = if gzipped { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
    let mut header = vec![0; 4 + 4 * axes];
    reader.read_exact(&mut header).map_err(|_| wrong("it ends within its header".to_owned()))?;
    if header[..3] != [0, 0, 8] || usize::from(header[3]) != axes {
        return Err(wrong(format!("it is no IDX file of bytes with {axes} axes")));
    }
    let side = |axis: &[u8]| axis.iter().fold(0, |side, &byte| side << 8 | usize::from(byte));
    let shape: Vec<usize> = header[4..].chunks(4).map(side).collect();
    let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side));
    let count = count.ok_or_else(|| wrong(format!("its header speaks of {shape:?} bytes, which is impossible")))?;
    // One byte more than there should be, so that what follows is seen; never more memory than the file fills.
    let mut numbers = Vec::new();
    reader.take(count as u64 + 1).read_to_end(&mut numbers).map_err(cannot)?;
    if numbers.len() != count {
        let found = if numbers.len() > count { "more".to_owned() } else { numbers.len().to_string() };
        return Err(wrong(format!("its header speaks of {count} bytes, and {found} follow; bring the file anew")));
    }
    Ok((shape, numbers))
}

fn read_part(pictures: &Path, labels: &Path) -> Result<([usize; 2], Pictures), DatasetError> {
    let (shape, pixels) = read_idx(pictures, 3)?;
    let (count, labels_read) = read_idx(labels, 1)?;
    if shape[0] != count[0] || shape.contains(&0) {
        return Err(DatasetError::Unknown(format!(
            "{} holds {} pictures of {}x{}, and {} holds {} classes; there must be as many, and some",
            pictures.display(),
            shape[0],
            shape[1],
            shape[2],
            labels.display(),
            count[0]
        )));
    }
    Ok(([shape[1], shape[2]], Pictures { pixels, labels: labels_read }))
}

fn digits() -> Result<Images, DatasetError> {
    let wrong = |why: String| DatasetError::Csv { file: "digits".to_owned(), why };
    let mut text = String::new();
    MultiGzDecoder::new(DIGITS).read_to_string(&mut text).map_err(|why| wrong(why.to_string()))?;
    let mut train = Pictures::default();
    for (at, line) in text.lines().enumerate() {
        let cells: Option<Vec<u8>> = line.split(',').map(|cell| cell.parse::<f64>().ok().map(|x| x as u8)).collect();
        match cells.as_deref() {
            Some([pixels @ .., label]) if pixels.len() == 64 => {
                train.pixels.extend_from_slice(pixels);
                train.labels.push(*label);
            }
            _ => return Err(wrong(format!("line {} is not 64 pixels and a class", at + 1))),
        }
    }
    let names = numbered(&train, None);
    Ok(Images { name: "digits".to_owned(), shape: [1, 8, 8], peak: 16, names, train, test: None, notes: Vec::new() })
}
