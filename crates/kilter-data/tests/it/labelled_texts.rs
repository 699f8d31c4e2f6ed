//! Texts of classes, from tables, lines and the binary.

use std::fs;

use kilter_data::labelled_texts;
use tempfile::TempDir;

fn written(name: &str, content: &str) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path.to_string_lossy().into_owned())
}

fn refused(content: &str, target: Option<&str>) -> String {
    let (_folder, path) = written("texts.csv", content);
    labelled_texts(&path, target).unwrap_err().to_string()
}

#[test]
fn the_sentences_in_the_binary() {
    let texts = labelled_texts("sentence-polarity", None).unwrap();
    assert_eq!((texts.texts.len(), texts.labels.len()), (5000, 5000));
    assert_eq!(texts.names, ["negative", "positive"]);
    assert_eq!(texts.labels.iter().filter(|&&label| label == 1).count(), 2500);
    assert_eq!(texts.texts[0], "simplistic , silly and tedious .");
    assert_eq!(texts.texts[2500][..20], "the rock is destined"[..]);
}

#[test]
fn a_column_of_texts_and_one_of_classes() {
    let table = "id,review,stars,label\n1,\"Good, really\",5,pos\n2,None,1,neg\n3,bad,1,neg\n4,,2,pos\n";
    let (_folder, path) = written("reviews.csv", table);
    let texts = labelled_texts(&path, Some("label")).unwrap();
    // A word that tables elsewhere write for what is missing is a text here.
    assert_eq!(texts.texts, ["Good, really", "None", "bad", ""]);
    assert_eq!((texts.labels, texts.names), (vec![1, 0, 0, 1], vec!["neg".to_owned(), "pos".to_owned()]));
    assert_eq!(texts.notes, ["texts are those of column `review`, the longest", "1 of 4 texts are empty"]);
    let numbers = labelled_texts(&path, Some("stars")).unwrap();
    assert_eq!((numbers.names, numbers.labels), (vec!["1".into(), "2".into(), "5".into()], vec![2, 0, 0, 1]));
    let without = labelled_texts(&path, None).unwrap();
    assert!(without.labels.is_empty() && without.names.is_empty());
    let (_folder, path) = written("named.csv", "text,longer\na,bbbbbb\nc,dddddd\n");
    assert_eq!(labelled_texts(&path, Some("longer")).unwrap().texts, ["a", "c"]);
}

#[test]
fn lines_of_json() {
    let lines = "{\"text\":\"a\",\"good\":true}\n\n{\"text\":\"b\",\"good\":false}\n";
    let (_folder, path) = written("texts.jsonl", lines);
    let texts = labelled_texts(&path, Some("good")).unwrap();
    assert_eq!((texts.texts, texts.labels), (vec!["a".to_owned(), "b".to_owned()], vec![1, 0]));
    let said = labelled_texts(&path, Some("bad")).unwrap_err().to_string();
    assert!(said.contains("line 1") && said.contains("no class \"bad\"; its keys are"), "{said}");
    let (_folder, path) = written("texts.jsonl", "{\"text\":\"a\",\"good\":1}\n{\"text\":\"b\",\"good\":1}\n");
    let said = labelled_texts(&path, Some("good")).unwrap_err().to_string();
    assert!(said.contains("\"1\" in all 2 rows; there is nothing to tell apart"), "{said}");
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    assert!(refused("", Some("label")).contains("it is empty"));
    assert!(refused("text,label\n", Some("label")).contains("no rows"));
    let one = refused("text,label\na,x\nb,x\n", Some("label"));
    assert!(one.contains("\"x\" in all 2 rows; there is nothing to tell apart"), "{one}");
    let misspelt = refused("text,label\na,x\nb,y\n", Some("lable"));
    assert!(misspelt.contains("did you mean `label`?"), "{misspelt}");
    let missing = refused("text,label\na,x\nb,\nc,y\n", Some("label"));
    assert!(missing.contains("missing in 1 of 3 rows, first in line 3"), "{missing}");
    assert!(refused("text,label\n,x\n,y\n", Some("label")).contains("holds no text"));
    let said = labelled_texts("no-such.csv", Some("label")).unwrap_err().to_string();
    assert!(said.contains("`sentence-polarity`"), "{said}");
}
