use std::io::{self, BufRead, Cursor, Read, Write};

use kilter_data::csv::{Reading, Source, Task, read};
use kilter_data::{Dataset, DatasetError, Target};

fn reading(target: &str) -> Reading {
    Reading { target: target.to_owned(), ..Reading::default() }
}

fn parse(text: &str, target: &str) -> Result<Dataset, DatasetError> {
    read(&("t.csv", text.as_bytes()), &reading(target))
}

#[track_caller]
fn refused(text: &str, target: &str) -> String {
    parse(text, target).unwrap_err().to_string()
}

fn numbers(data: &Dataset) -> &[f64] {
    match &data.target {
        Target::Numbers(numbers) => numbers,
        Target::Classes { .. } => panic!("classes"),
    }
}

fn classes(data: &Dataset) -> (&[u8], &[String]) {
    match &data.target {
        Target::Classes { labels, names } => (labels, names),
        Target::Numbers(_) => panic!("numbers"),
    }
}

#[test]
fn separators_a_mark_quotes_and_decimal_commas_are_understood() {
    let told = |text: &str| {
        let reading = Reading { task: Task::Regression, ..reading("y") };
        read(&("t.csv", text.as_bytes()), &reading).unwrap()
    };
    let plain = told("a,b,y\n1.5,x,0.25\n2,\"p, q\",3.5\n");
    for text in [
        "\u{feff}a,b,y\r\n1.5,x,0.25\r\n2,\"p, q\",3.5\r\n",
        "a;b;y\n1,5;x;0,25\n2;p, q;3,5\n",
        "a\tb\ty\n1.5\tx\t0.25\n2\tp, q\t3.5\n",
        "a|b|y\n1.5|x|0.25\n\n2|p, q|3.5",
    ] {
        assert_eq!(told(text), plain, "{text:?}");
    }
    assert_eq!(numbers(&plain), [0.25, 3.5]);
    assert_eq!(plain.features[1].categories.as_deref().unwrap(), ["p, q", "x"]);
    assert_eq!(plain.values, [1.5, 1.0, 2.0, 0.0]);
}

#[test]
fn a_quoted_cell_may_go_over_lines_and_places_are_told_by_line() {
    let data = parse("a,note,y\n1,\"one\ntwo\",0.5\n2,three,1.5\n", "y").unwrap();
    assert_eq!(data.features[1].categories.as_deref().unwrap(), ["one\ntwo", "three"]);
    let why = refused("a,note,y\n1,\"one\ntwo\",0.5\n2,three\n", "y");
    assert_eq!(why, "t.csv, line 4: 2 cells, and the first line names 3; is a separator missing or a quote open?");
}

/// Whatever ends the lines, and whatever empty lines stand before the row.
#[test]
fn the_line_told_is_the_one_that_an_editor_shows() {
    for (text, line) in [
        ("a,y\n1,2\n\n\n3\n", 5),
        ("a,y\r\n1,2\r\n3\r\n", 3),
        ("a,y\r\n1,2\r\n\r\n  \r\n3\r\n", 5),
        ("\n\na,y\n1,2\n3", 5),
        ("\r\n \r\na;y\r\n1;2\r\n3\r\n4;5", 5),
        ("a,y\r1,2\r\r3\r", 4),
        ("a,y\n\n\"1\n\n\",2\n\n3\n", 7),
        ("a,y\n1,2\n\"3,4\n5,6\n\n", 3),
    ] {
        let told = refused(text, "y");
        assert!(told.starts_with(&format!("t.csv, line {line}: 1 cells,")), "{text:?}: {told}");
    }
    let missing = refused("a,y\r\n1,2\r\n\r\n3,\r\n4,5\r\n", "y");
    assert!(missing.contains("first in line 4"), "{missing}");
    // A file of blank lines takes no stack.
    let blank = format!("a,y\n1,2\n{}3\n", " \n".repeat(200_000));
    assert!(refused(&blank, "y").contains("line 200003"));
}

#[test]
fn gzip_and_latin_1_are_read_as_well() {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"town,y\nK\xf6ln,0.5\nUlm,1.5\nUlm,2.5\n").unwrap();
    let bytes = gz.finish().unwrap();
    let data = read(&("t.csv.gz", bytes.as_slice()), &reading("y")).unwrap();
    assert_eq!(data.features[0].categories.as_deref().unwrap(), ["Köln", "Ulm"]);
}

#[test]
fn what_is_missing_is_nan_and_what_tells_nothing_is_left_out() {
    let rows: String =
        (0..30).map(|i| format!("id{i},{},k,{},{}\n", i % 3, ["", "NA", "?", "7"][i % 4], i as f64 / 2.0)).collect();
    let data = parse(&format!("id,a,same,gaps,y\n{rows}"), "y").unwrap();
    assert_eq!(data.features.iter().map(|f| &*f.name).collect::<Vec<_>>(), ["a"]);
    assert_eq!(
        data.notes,
        [
            "column `id` is left out: text that is another in every row",
            "column `same` is left out: it has one value only",
            "column `gaps` is left out: it has one value only",
        ]
    );
    let data = parse("a,y\n1,0.5\nnan,1.5\n3,2.5\n", "y").unwrap();
    assert!(data.values[1].is_nan() && data.values[2] == 3.0);
}

#[test]
fn classes_are_told_from_numbers_and_the_positive_one_by_its_name() {
    let names = |text: &str| classes(&parse(text, "y").unwrap()).1.to_vec();
    assert_eq!(names("a,y\n1,yes\n2,no\n"), ["no", "yes"]);
    assert_eq!(names("a,y\n1,malignant\n2,benign\n"), ["benign", "malignant"]);
    assert_eq!(names("a,y\n1,Sick\n2,well\n"), ["well", "Sick"]);
    assert_eq!(names("a,y\n1,0\n2,1\n"), ["0", "1"]);
    assert_eq!(names("a,y\n1,M\n2,B\n"), ["B", "M"]);
    assert_eq!(names("a,y\n1,3\n2,10\n3,5\n"), ["3", "5", "10"]);
    assert_eq!(numbers(&parse("a,y\n1,3.5\n2,10\n3,5\n", "y").unwrap()), [3.5, 10.0, 5.0]);

    let told = |task, positive: Option<&str>| {
        let reading = Reading { target: "y".to_owned(), task, positive: positive.map(str::to_owned) };
        read(&("t.csv", &b"a,y\n1,3\n2,5\n"[..]), &reading)
    };
    assert_eq!(numbers(&told(Task::Regression, None).unwrap()), [3.0, 5.0]);
    let data = told(Task::Auto, Some("3")).unwrap();
    assert_eq!(classes(&data), (&[1, 0][..], &["5".to_owned(), "3".to_owned()][..]));
    assert_eq!(
        told(Task::Auto, Some("4")).unwrap_err().to_string(),
        "t.csv: the target `y` has no value \"4\"; its values are 3 and 5"
    );
}

#[test]
fn a_bad_file_is_refused_with_place_and_remedy() {
    let many: String = (0..300).map(|i| format!("{i},w{i}\n")).collect();
    for (text, target, why) in [
        ("", "y", "t.csv: it is empty; the first line names the columns, the others are rows"),
        ("a,y\n", "y", "t.csv: it has a first line and no rows"),
        (
            "a,y\n1,2\n1,2,3\n",
            "y",
            "t.csv, line 3: 3 cells, and the first line names 2; is a separator missing or a quote open?",
        ),
        ("a,y,a\n1,2,3\n", "y", "t.csv: column name \"a\" stands twice, in columns 1 and 3; rename one"),
        ("1,2\n3,4\n", "y", "t.csv: its first line holds numbers only; put the columns' names there"),
        ("area,price\n1,2\n", "prise", "t.csv: there is no column `prise`; did you mean `price`?"),
        ("area,price\n1,2\n", "zzzzzz", "t.csv: there is no column `zzzzzz`; its columns are area, price"),
        (
            "y\n1\n",
            "y",
            "t.csv: it has one column, `y`, and nothing to predict it from; is it separated by , ; tab or |?",
        ),
        (
            "a,y\n1,2\n2,\n3,NA\n",
            "y",
            "t.csv: the target `y` is missing in 2 of 3 rows, first in line 3; remove those rows",
        ),
        ("a,y\n1,no\n2,no\n", "y", "t.csv: the target `y` is \"no\" in all 2 rows; there is nothing to tell apart"),
        (
            "a,y\n1,0\n2,1\nx7,0\n",
            "y",
            "t.csv, line 4, column a: found \"x7\", expected a number, as in 2 other rows (a missing value is an empty cell, \
             NA or ?)",
        ),
        (
            "a,y\n7,1\n7,2\n",
            "y",
            "t.csv: no column is left to predict from (column `a` is left out: it has one value only)",
        ),
        (
            &format!("a,y\n{many}"),
            "y",
            "t.csv: the target `y` has more than 255 different values; as classes that is too many; is it the right column?",
        ),
        ("PK\u{3}\u{4}xyz", "y", "t.csv: it is a zip or a spreadsheet, no text; save the sheet as CSV"),
    ] {
        assert_eq!(refused(text, target), why);
    }
    let utf_16 = read(&("t.csv", &[0xff, 0xfe, 0x61, 0x00][..]), &reading("y")).unwrap_err().to_string();
    assert_eq!(utf_16, "t.csv: it is UTF-16; save it as UTF-8");
}

/// A table of a million rows that nobody ever holds as text.
struct Million;

struct Rows {
    row: u64,
    line: Cursor<Vec<u8>>,
}

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut ready = self.fill_buf()?;
        let n = ready.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Rows {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.line.position() == self.line.get_ref().len() as u64 && self.row < 1_000_000 {
            let row = self.row;
            self.line = Cursor::new(format!("{},c{},{}\n", row % 1000, row % 7, row as f64 / 4.0).into_bytes());
            self.row += 1;
        }
        self.line.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.line.consume(n);
    }
}

impl Source for Million {
    fn name(&self) -> String {
        "million.csv".to_owned()
    }

    fn open(&self) -> io::Result<Box<dyn BufRead + '_>> {
        Ok(Box::new(Rows { row: 0, line: Cursor::new(b"a,b,y\n".to_vec()) }))
    }
}

#[test]
fn a_million_rows_are_streamed() {
    let data = read(&Million, &reading("y")).unwrap();
    assert_eq!((data.rows(), data.values.len(), data.columns()), (1_000_000, 2_000_000, 2));
    assert_eq!(numbers(&data)[999_999], 249_999.75);
    // Nothing but the numbers is kept, without room to spare.
    assert_eq!(data.values.capacity(), data.values.len());
    assert_eq!(data.features[1].categories.as_ref().unwrap().len(), 7);
}

#[test]
fn every_bundled_table_opens_by_its_name() {
    for (name, rows, columns) in [
        ("breast-cancer", 569, 30),
        ("california-housing", 20_640, 9),
        ("coimbra", 116, 9),
        ("diabetes", 442, 10),
        ("iris", 150, 4),
        ("wine", 178, 13),
    ] {
        let data = kilter_data::open(name, None, Task::Auto, None).unwrap();
        assert_eq!((data.rows(), data.columns()), (rows, columns), "{name}");
    }
    let coimbra = kilter_data::open("coimbra", None, Task::Auto, None).unwrap();
    let (labels, names) = classes(&coimbra);
    assert_eq!((names[1].as_str(), labels.iter().filter(|l| **l == 1).count()), ("Yes", 64));
    let houses = kilter_data::open("california-housing", None, Task::Auto, None).unwrap();
    assert_eq!(houses.values.iter().filter(|value| value.is_nan()).count(), 207);
    let why = kilter_data::open("wien", None, Task::Auto, None).unwrap_err().to_string();
    assert_eq!(why, "there is no file and no bundled table `wien`; did you mean `wine`?");
}
