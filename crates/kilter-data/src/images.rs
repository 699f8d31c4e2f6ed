//! Pictures of classes: the digits in the binary, and any folder of IDX files (LeCun, Cortes and Burges, *The MNIST
//! database*, 1998), as MNIST, Fashion-MNIST and USPS come.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::catalogue::{self, Place, Shelves};
use crate::dataset::DatasetError;

/// Pictures in memory, all of one size, each of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// Its name in the catalogue, or its folder.
    pub name: String,
    /// Colours, height and width of a picture.
    pub shape: [usize; 3],
    /// The brightest that a pixel can be; 0 is the darkest.
    pub peak: u8,
    /// How many classes there are; they are counted from 0.
    pub classes: usize,
    /// Those to learn from.
    pub train: Pictures,
    /// Those that the source holds back for the test, if it does.
    pub test: Option<Pictures>,
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

/// The pictures of this name in the catalogue, or of a folder that holds IDX files (gzipped or not).
///
/// # Errors
/// There are none, they are not here, or a file is no IDX file of 8-bit pictures; says what would be right.
pub fn images(data: &str) -> Result<Images, DatasetError> {
    if data == "digits" {
        return digits();
    }
    let folder = match catalogue::find(data) {
        Some(set) => {
            let shelves = Shelves::from_environment().map_err(|why| DatasetError::Unknown(why.to_string()))?;
            match shelves.place(set) {
                Place::Folder(folder) => folder,
                _ => {
                    return Err(DatasetError::Unknown(format!(
                        "`{data}` is not here: `kilter data get {data}` brings it"
                    )));
                }
            }
        }
        None => PathBuf::from(data),
    };
    if !folder.is_dir() {
        return Err(DatasetError::Unknown(format!(
            "there are no pictures `{data}`: name a set (`kilter data list --kind images` shows them), or a folder with the \
             files {} and {}",
            PARTS[0].1[0], PARTS[0].1[1]
        )));
    }
    from_folder(data, &folder)
}

fn from_folder(name: &str, folder: &Path) -> Result<Images, DatasetError> {
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
        return Err(DatasetError::Unknown(format!(
            "{} holds no pictures to learn from: the files {} and {} (or with .gz) are missing",
            folder.display(),
            PARTS[0].1[0],
            PARTS[0].1[1]
        )));
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
    let labels = train.labels.iter().chain(test.iter().flat_map(|test| &test.labels));
    let classes = labels.max().map_or(0, |&most| usize::from(most) + 1);
    Ok(Images { name: name.to_owned(), shape: [1, height, width], peak: u8::MAX, classes, train, test })
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
    Ok(Images { name: "digits".to_owned(), shape: [1, 8, 8], peak: 16, classes: 10, train, test: None })
}
