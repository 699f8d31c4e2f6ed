//! Archives of NumPy's: MedMNIST's own arrays, and what may be wrong with an archive.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use kilter_data::csv::Task;
use kilter_data::npz::{Array, Npz, write};
use kilter_data::split::stratified_split;
use kilter_data::{Target, embedded, images, open};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

/// 60 X-rays to learn from, 20 to validate and 30 to test, written by NumPy's rules and sliced without it.
const EXTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/pictures/pneumoniamnist.npz");

/// An archive with this one array, whose header and numbers are given as they are.
fn archive(header: &str, numbers: &[u8]) -> Result<Option<Array>, String> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("a.npy", SimpleFileOptions::default()).unwrap();
    zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
    zip.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    zip.write_all(&[header.as_bytes(), numbers].concat()).unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    Npz::new(Cursor::new(bytes), "t.npz".to_owned()).unwrap().read("a").map_err(|why| why.to_string())
}

#[test]
fn arrays_of_medmnist_are_read_as_they_are() {
    let found = images(EXTRACT).unwrap();
    assert_eq!((found.shape, found.peak, found.classes()), ([1, 28, 28], 255, 2));
    // What is for validation is learnt from, after the rest.
    assert_eq!((found.train.labels.len(), found.train.pixels.len()), (80, 80 * 784));
    assert_eq!(found.train.labels[60..66], [1, 1, 1, 0, 1, 1]);
    let test = found.test.unwrap();
    // Read from the bytes by another program.
    assert_eq!((test.labels.len(), &test.pixels[..8]), (30, &[62, 19, 15, 42, 54, 74, 113, 138][..]));
    assert_eq!(test.pixels.iter().map(|&pixel| u64::from(pixel)).sum::<u64>(), 3_362_392);
}

#[test]
fn pictures_are_a_table_that_knows_which_rows_are_held_back() {
    let table = open(EXTRACT, None, Task::Auto, None).unwrap();
    assert_eq!((table.rows(), table.columns(), table.picture), (110, 784, Some([1, 28, 28])));
    assert_eq!(table.held_out, (80..110).collect::<Vec<_>>());
    assert!((table.values[80 * 784] - 62.0 / 255.0).abs() < 1e-12);
    assert_eq!(table.features[29].name, "row 1, column 1");
    let swapped = open(EXTRACT, Some("class"), Task::Auto, Some("0")).unwrap();
    let (Target::Classes { labels, .. }, Target::Classes { labels: other, names }) = (&table.target, &swapped.target)
    else {
        panic!("pictures have classes");
    };
    assert_eq!(names[..], ["1", "0"]);
    assert!(labels.iter().zip(other).all(|(a, b)| a + b == 1));
    for (target, task, positive, why) in [
        (Some("age"), Task::Auto, None, "leave out --target"),
        (None, Task::Regression, None, "leave out --target"),
        (None, Task::Auto, Some("ill"), "there is no class \"ill\"; there are \"0\" and \"1\""),
    ] {
        let said = open(EXTRACT, target, task, positive).unwrap_err().to_string();
        assert!(said.ends_with(why), "{said}");
    }
    assert!(open("digits", None, Task::Auto, Some("3")).unwrap_err().to_string().contains("there are 10 classes"));
    // The classes of a table are those of its pictures: the same seed holds back the same ones.
    let digits = images("digits").unwrap().train.labels;
    assert_eq!(open("digits", None, Task::Auto, None).unwrap().labels().unwrap(), digits);
    let split = stratified_split(&digits, 0.2, 7).unwrap();
    assert_eq!(split.test.iter().collect::<BTreeSet<_>>().len(), 359);
}

#[test]
fn the_thermograms_in_the_binary_are_the_file_that_is_written_of_them() {
    let (name, bytes) = embedded("thermal-synth").unwrap();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(name), &*bytes).unwrap();
    // A folder with a single archive is that archive.
    let written = images(&folder.path().to_string_lossy()).unwrap();
    let made = images("thermal-synth").unwrap();
    assert_eq!((written.train, written.shape), (made.train, made.shape));
    let table = open("thermal-synth", None, Task::Auto, None).unwrap();
    assert_eq!((table.rows(), table.columns(), table.held_out.len()), (600, 4096, 0));
}

#[test]
fn numbers_of_any_width_that_fit_a_byte_are_read() {
    let header = |kind: &str| format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (2,), }}\n");
    let array = Array { shape: vec![2], numbers: vec![3, 200] };
    let two = Some(array.clone());
    assert_eq!(archive(&header("|u1"), &[3, 200]).unwrap(), two);
    assert_eq!(archive(&header("<u2"), &[3, 0, 200, 0]).unwrap(), two);
    assert_eq!(archive(&header(">i4"), &[0, 0, 0, 3, 0, 0, 0, 200]).unwrap(), two);
    let eight = [3_u64.to_le_bytes(), 200_u64.to_le_bytes()].concat();
    assert_eq!(archive(&header("<i8"), &eight).unwrap(), two);
    let again = write(&[("x", &array)]).unwrap();
    let mut again = Npz::new(Cursor::new(again), "t.npz".to_owned()).unwrap();
    assert_eq!(
        (again.read("x").unwrap(), again.read("y").unwrap(), again.names()),
        (Some(array), None, vec!["x".to_owned()])
    );
}

#[test]
fn an_archive_that_is_none_or_holds_other_things_is_refused_with_a_remedy() {
    for (header, numbers, why) in [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", &[0; 4][..], "save it with .astype('uint8')"),
        ("{'descr': '|u1', 'fortran_order': True, 'shape': (1,), }", &[0], "numpy.ascontiguousarray"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", &[0], "speaks of 3 bytes"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999, 99999999999999), }", &[0], "understood"),
        ("{'descr': '|u1', 'shape': (1,), }", &[0], "cannot be understood"),
        ("{'descr': '<i2', 'fortran_order': False, 'shape': (1,), }", &[255, 255], "below 0 or above 255"),
        ("{'descr': '|i1', 'fortran_order': False, 'shape': (1,), }", &[255], "below 0"),
        ("{'descr': '', 'fortran_order': False, 'shape': (1,), }", &[1], "the kind \"\""),
    ] {
        let said = archive(header, numbers).unwrap_err();
        assert!(said.starts_with("t.npz, array `a`: ") && said.contains(why), "{said}");
    }
    let folder = TempDir::new().unwrap();
    let refused = |arrays: &[(&str, &Array)]| {
        let file = folder.path().join("t.npz");
        fs::write(&file, write(arrays).unwrap()).unwrap();
        images(&file.to_string_lossy()).unwrap_err().to_string()
    };
    let array = |shape: &[usize]| Array { shape: shape.to_vec(), numbers: vec![0; shape.iter().product()] };
    let (pictures, labels) = (array(&[2, 4, 4]), array(&[2]));
    assert!(refused(&[("x", &labels)]).ends_with("holds no array `train_images`; its arrays are x"));
    assert!(refused(&[("train_images", &pictures)]).ends_with("`train_images` and no `train_labels`"));
    let odd = refused(&[("train_images", &array(&[2, 4])), ("train_labels", &labels)]);
    assert!(odd.contains("`train_images` has 2 axes"), "{odd}");
    let count = refused(&[("train_images", &pictures), ("train_labels", &array(&[3]))]);
    assert!(count.contains("there must be one class per picture"), "{count}");
    let (smaller, one) = (array(&[1, 2, 2]), array(&[1]));
    let size = refused(&[
        ("train_images", &pictures),
        ("train_labels", &labels),
        ("test_images", &smaller),
        ("test_labels", &one),
    ]);
    assert!(size.contains("4x4 with 1 colours, and those of test_images 2x2"), "{size}");
    let file = folder.path().join("none.npz");
    fs::write(&file, "no zip").unwrap();
    assert!(images(&file.to_string_lossy()).unwrap_err().to_string().contains("no NumPy archive"));
    assert!(Npz::open(Path::new("/nowhere.npz")).err().unwrap().to_string().starts_with("cannot read /nowhere.npz"));
}

#[test]
fn the_pixels_of_a_colour_lie_together() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("c.npz");
    // One picture of 1x2 with three colours each: red, green and blue of the left pixel, then of the right.
    let pictures = Array { shape: vec![1, 1, 2, 3], numbers: vec![1, 2, 3, 11, 12, 13] };
    let labels = Array { shape: vec![1, 1], numbers: vec![0] };
    fs::write(&file, write(&[("train_images", &pictures), ("train_labels", &labels)]).unwrap()).unwrap();
    let found = images(&file.to_string_lossy()).unwrap();
    assert_eq!((found.shape, &found.train.pixels[..]), ([3, 1, 2], &[1, 11, 2, 12, 3, 13][..]));
}
