use kilter_data::{Target, breast_cancer};

#[test]
fn malignant_is_the_positive_class_by_the_published_counts() {
    let table = breast_cancer().unwrap();
    assert_eq!((table.rows(), table.columns(), table.values.len()), (569, 30, 569 * 30));
    assert_eq!(table.labels().unwrap().iter().filter(|&&class| class == 1).count(), 212);
    assert_eq!(table.labels().unwrap().iter().filter(|&&class| class == 0).count(), 357);
    let Target::Classes { names, .. } = &table.target else { panic!("no classes") };
    assert_eq!(*names, ["benign", "malignant"]);
}

#[test]
fn columns_stand_under_their_names() {
    let table = breast_cancer().unwrap();
    let first_row = |name: &str| table.values[table.features.iter().position(|f| f.name == name).unwrap()];
    assert_eq!(first_row("mean radius"), 17.99);
    assert_eq!(first_row("mean fractal dimension"), 0.07871);
    assert_eq!(first_row("radius error"), 1.095);
    assert_eq!(first_row("concave points error"), 0.01587);
    assert_eq!(first_row("worst area"), 2019.0);
    assert_eq!(first_row("worst fractal dimension"), 0.1189);
    assert_eq!(table.labels().unwrap()[0], 1);
}

#[test]
fn chosen_rows_come_in_the_order_asked_for() {
    let table = breast_cancer().unwrap();
    let chosen = table.values_of(&[568, 0]);
    assert_eq!((chosen.len(), chosen[0], chosen[30]), (60, 7.76, 17.99));
    let Target::Classes { labels, .. } = table.target.of(&[568, 0]) else { panic!("no classes") };
    assert_eq!(labels, [0, 1]);
}
