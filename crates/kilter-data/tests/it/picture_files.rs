//! Folders of picture files by class.

use std::path::Path;

use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};
use kilter_data::csv::Task;
use kilter_data::{are_pictures, images, open};
use tempfile::TempDir;

fn grey(folder: &Path, file: &str, [height, width]: [u32; 2], shade: u8) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_pixel(width, height, Luma([shade])).save(path).unwrap();
}

fn complaint(folder: &Path) -> String {
    images(&folder.to_string_lossy()).unwrap_err().to_string()
}

#[test]
fn a_folder_per_class_is_read_by_name() {
    let folder = TempDir::new().unwrap();
    for (file, shade) in [("sick/2.png", 30), ("sick/10.png", 20), ("healthy/x.PNG", 10)] {
        grey(folder.path(), file, [2, 3], shade);
    }
    std::fs::write(folder.path().join("sick/notes.txt"), "no picture").unwrap();
    std::fs::write(folder.path().join("sick/._2.png"), "a system's own").unwrap();
    grey(folder.path(), ".thumbnails/0.png", [1, 1], 90);
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let address = folder.path().to_string_lossy();
    assert!(are_pictures(&address));
    let found = images(&address).unwrap();
    assert_eq!((found.shape, found.peak, found.names), ([1, 2, 3], 255, vec!["healthy".to_owned(), "sick".to_owned()]));
    assert_eq!(found.train.labels, [0, 1, 1]);
    // By file name: "10" comes before "2".
    assert_eq!(found.train.pixels, [[10; 6], [20; 6], [30; 6]].concat());
    assert!(found.test.is_none() && found.notes.is_empty());
    // The class that is looked for can be named.
    let table = open(&address, None, Task::Auto, Some("healthy")).unwrap();
    assert_eq!(table.labels().unwrap(), [1, 0, 0]);
}

#[test]
fn pictures_of_other_sizes_are_brought_to_the_usual_one_and_counted() {
    let folder = TempDir::new().unwrap();
    for i in 0..3 {
        grey(folder.path(), &format!("train/a/{i}.png"), [4, 4], 40);
    }
    grey(folder.path(), "train/b/large.png", [9, 5], 80);
    grey(folder.path(), "test/b/0.png", [4, 4], 120);
    let found = images(&folder.path().to_string_lossy()).unwrap();
    assert_eq!((found.shape, &found.train.labels[..]), ([1, 4, 4], &[0, 0, 0, 1][..]));
    assert_eq!(found.train.pixels[48..], [80; 16]);
    assert_eq!(found.test.as_ref().unwrap().labels, [1]);
    assert_eq!(found.notes, ["1 of 5 pictures were of another size and were brought to 4x4"]);
    let table = found.table();
    assert_eq!((table.held_out, table.notes.len()), (vec![4], 1));
}

#[test]
fn one_picture_with_colour_makes_all_of_them_coloured() {
    let folder = TempDir::new().unwrap();
    grey(folder.path(), "a/0.png", [1, 2], 7);
    std::fs::create_dir(folder.path().join("b")).unwrap();
    let mut coloured = RgbImage::from_pixel(2, 1, Rgb([1, 2, 3]));
    coloured.put_pixel(1, 0, Rgb([4, 5, 6]));
    coloured.save(folder.path().join("b/0.png")).unwrap();
    let found = images(&folder.path().to_string_lossy()).unwrap();
    assert_eq!(found.shape, [3, 1, 2]);
    assert_eq!(found.train.pixels, [7, 7, 7, 7, 7, 7, 1, 4, 2, 5, 3, 6]);
    // JPEG, too.
    let smooth = DynamicImage::ImageRgb8(RgbImage::from_pixel(2, 1, Rgb([200, 200, 200])));
    smooth.save(folder.path().join("b/1.jpeg")).unwrap();
    let found = images(&folder.path().to_string_lossy()).unwrap();
    assert!(found.train.pixels[12..].iter().all(|pixel| pixel.abs_diff(200) < 3));
}

#[test]
fn what_is_no_folder_of_classes_is_refused_with_what_would_be_right() {
    let folder = TempDir::new().unwrap();
    grey(folder.path(), "0.png", [2, 2], 1);
    assert!(!are_pictures(&folder.path().to_string_lossy()));
    let why = complaint(folder.path());
    assert!(why.contains("put them into a folder per class"), "{why}");
    let as_table = open(&folder.path().to_string_lossy(), None, Task::Auto, None).unwrap_err().to_string();
    assert_eq!(as_table, why);
    grey(folder.path(), "a/0.png", [2, 2], 1);
    let why = open(&folder.path().to_string_lossy(), None, Task::Auto, None).unwrap_err().to_string();
    assert!(why.contains("one class"), "{why}");
    std::fs::write(folder.path().join("a/1.png"), "not a picture").unwrap();
    let why = complaint(folder.path());
    assert!(why.contains("1.png: no picture"), "{why}");
    // Its beginning is whole, its pixels are not.
    let whole = std::fs::read(folder.path().join("a/0.png")).unwrap();
    std::fs::write(folder.path().join("a/1.png"), &whole[..whole.len() - 20]).unwrap();
    let why = complaint(folder.path());
    assert!(why.contains("1.png: the picture is damaged"), "{why}");
    let folder = TempDir::new().unwrap();
    grey(folder.path(), "train/a/0.png", [2, 2], 1);
    grey(folder.path(), "test/b/0.png", [2, 2], 1);
    let why = complaint(folder.path());
    assert!(why.contains("have a class `b`, and those to learn from have a"), "{why}");
}
