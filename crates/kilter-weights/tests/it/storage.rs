use std::fs;
use std::process::Command;

use kilter_weights::merge::average::Linear;
use kilter_weights::merge::merge;
use kilter_weights::storage::{Declared, Writer};
use kilter_weights::{Checkpoint, Dtype, Options, WeightsError, soup};
use proptest::prelude::*;

use crate::files::{bytes, listing, noise, numbers, plain, save};

/// Two models with tensors of every kind; the wide types come second, so that order matters.
fn zoo(folder: &std::path::Path, seed: u64) -> Checkpoint {
    let path = folder.join(format!("zoo-{seed}.safetensors"));
    let tensors = [
        plain("f8a", Dtype::F8E4M3, &[3], &[1.0, -2.0, 0.5]),
        plain("f8b", Dtype::F8E5M2, &[3], &[1.0, -2.0, 0.5]),
        plain("half", Dtype::F16, &[2, 3], &noise(seed, 6)),
        plain("brain", Dtype::Bf16, &[5], &noise(seed + 1, 5)),
        plain("single", Dtype::F32, &[2, 2, 2], &noise(seed + 2, 8)),
        plain("double", Dtype::F64, &[3], &noise(seed + 3, 3)),
        plain("scalar", Dtype::F32, &[], &noise(seed + 4, 1)),
        plain("empty", Dtype::F32, &[4, 0], &[]),
        ("flags".to_owned(), Dtype::from_file("BOOL").unwrap(), vec![3], vec![1, 0, 1]),
        ("steps".to_owned(), Dtype::from_file("I64").unwrap(), vec![], 7_i64.to_le_bytes().to_vec()),
    ];
    save(&path, &tensors, &[("format", "pt"), ("kilter.recipe", "zoo")])
}

#[test]
fn what_is_written_is_read_by_the_formats_own_library_with_metadata_and_checksums() {
    let folder = tempfile::tempdir().unwrap();
    let zoo = zoo(folder.path(), 1);
    let target = folder.path().join("out.safetensors");
    let report = soup::uniform(&[&zoo, &zoo], None, &target, &Options::default()).unwrap();
    let raw = fs::read(&target).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&raw).unwrap();
    assert_eq!(theirs.len(), zoo.tensors().len());
    for record in &report.written.tensors {
        let view = theirs.tensor(&record.name).unwrap();
        assert_eq!(view.data(), bytes(&zoo, &record.name), "{}", record.name);
        assert_eq!(record.bytes as usize, view.data().len());
        assert_eq!(record.sha256, sha256(view.data()), "{}", record.name);
        // Every entry lies at a multiple of its width, for readers that view bytes as numbers.
        let offset = view.data().as_ptr() as usize - raw.as_ptr() as usize;
        assert!(view.data().is_empty() || offset.is_multiple_of(record.dtype.bits() as usize / 8), "{}", record.name);
    }
    let back = Checkpoint::open(&target).unwrap();
    assert_eq!(back.metadata()["format"], "pt");
    assert_eq!(back.metadata()["kilter.recipe"], "zoo");
    assert!(back.metadata()["kilter.merge"].contains("zoo-1.safetensors"));
}

fn sha256(data: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn shards_are_written_under_their_limit_and_read_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let zoo = zoo(folder.path(), 2);
    let target = folder.path().join("model.safetensors.index.json");
    let options = Options { shard_bytes: 40, ..Options::default() };
    let report = soup::uniform(&[&zoo, &zoo], None, &target, &options).unwrap();
    assert!(report.written.files.len() > 2);
    assert_eq!(report.written.files.last().unwrap(), &target);
    for file in &report.written.files[..report.written.files.len() - 1] {
        assert!(file.to_string_lossy().contains("-of-0000"), "{}", file.display());
        let shard = Checkpoint::open(file).unwrap();
        assert!(shard.bytes() <= 40, "{}", file.display());
    }
    let back = Checkpoint::open(&target).unwrap();
    assert_eq!(back.tensors().len(), zoo.tensors().len());
    for tensor in zoo.tensors() {
        assert_eq!(bytes(&back, tensor.name()), bytes(&zoo, tensor.name()));
    }
    // A folder is opened by its index, and a shard is an input like the index.
    assert_eq!(Checkpoint::open(folder.path()).unwrap().tensors().len(), zoo.tensors().len());
    let shard = report.written.files[0].clone();
    let refused = soup::uniform(&[&back, &zoo], None, &shard, &Options::default());
    assert!(matches!(refused, Err(WeightsError::OutputIsInput { .. })));
}

#[test]
fn an_index_that_does_not_fit_its_shards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    save(&at("a.safetensors"), &[plain("x", Dtype::F32, &[1], &[1.0])], &[]);
    save(&at("b.safetensors"), &[plain("y", Dtype::F32, &[1], &[1.0])], &[]);
    let index = at("m.safetensors.index.json");
    let wrong = [
        (r#"{"weight_map":{"x":"a.safetensors","y":"a.safetensors"}}"#, "`y` should be in `a.safetensors` and is not"),
        (r#"{"weight_map":{"x":"b.safetensors","y":"b.safetensors"}}"#, "`x` should be in `b.safetensors` and is not"),
        (r#"{"weight_map":{"x":"a.safetensors","z":"b.safetensors"}}"#, "`y` that the index lacks"),
        (r#"{"weight_map":{"x":"a.safetensors","y":"../b.safetensors"}}"#, "not the name of a file beside the index"),
        (r#"{"weight_map":{"x":"a.safetensors","y":"/etc/passwd"}}"#, "not the name of a file beside the index"),
        (r#"{"weight_map":{"x":"a.safetensors","x":"b.safetensors"}}"#, "stands twice"),
        (r#"{"weights":{}}"#, "no index of shards"),
    ];
    for (text, expected) in wrong {
        fs::write(&index, text).unwrap();
        let message = Checkpoint::open(&index).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    fs::write(&index, r#"{"weight_map":{"x":"a.safetensors","y":"b.safetensors"}}"#).unwrap();
    assert_eq!(Checkpoint::open(&index).unwrap().tensors().len(), 2);
}

#[test]
fn types_can_be_changed_on_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let zoo = zoo(folder.path(), 3);
    for name in Dtype::settings() {
        let dtype = Dtype::from_setting(name).unwrap();
        let target = folder.path().join(format!("as-{name}.safetensors"));
        soup::uniform(&[&zoo, &zoo], Some(dtype), &target, &Options::default()).unwrap();
        let back = Checkpoint::open(&target).unwrap();
        for tensor in zoo.tensors().iter().filter(|tensor| tensor.dtype().is_float()) {
            let mut expected = Vec::new();
            dtype.encode(&numbers(&zoo, tensor.name()), &mut expected);
            assert_eq!(bytes(&back, tensor.name()), expected, "{} as {name}", tensor.name());
        }
        assert_eq!(bytes(&back, "flags"), [1, 0, 1]);
    }
}

/// A writer that was begun and dropped, or that was told to stop, leaves what was there.
#[test]
fn nothing_half_written_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let zoo = zoo(folder.path(), 4);
    let target = folder.path().join("out.safetensors");
    fs::write(&target, "what was there before").unwrap();
    let before = listing(folder.path());
    let declared = |name: &str| Declared { name: name.to_owned(), dtype: Dtype::F32, shape: vec![2] };
    let empty = std::collections::BTreeMap::new();
    let mut writer = Writer::create(&target, vec![declared("x")], &empty, &[], u64::MAX).unwrap();
    writer.write(&[0; 4]).unwrap();
    assert!(writer.finish().unwrap_err().to_string().contains("not written to its end"));
    let mut writer = Writer::create(&target, vec![declared("x")], &empty, &[], u64::MAX).unwrap();
    assert!(writer.write(&[0; 9]).is_err());
    drop(writer);
    let stop = |_, _| std::ops::ControlFlow::Break(());
    let options = Options { progress: &stop, ..Options::default() };
    assert!(matches!(soup::uniform(&[&zoo, &zoo], None, &target, &options), Err(WeightsError::Interrupted)));
    assert_eq!(listing(folder.path()), before);
    assert_eq!(fs::read_to_string(&target).unwrap(), "what was there before");
}

/// The name under which this test runs itself again with little room.
const NO_ROOM: &str = "storage::a_full_disk_leaves_nothing_half_written";

/// A limit on file sizes stops the write as a full disk does, by an error in its midst.
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    if let Some(folder) = std::env::var_os("KILTER_TEST_NO_ROOM") {
        let folder = std::path::PathBuf::from(folder);
        let model = Checkpoint::open(&folder.join("model.safetensors")).unwrap();
        let target = folder.join("out.safetensors");
        let refused = soup::uniform(&[&model, &model], None, &target, &Options::default());
        assert!(matches!(refused, Err(WeightsError::Io { action: "write", .. })), "{refused:?}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    save(&folder.path().join("model.safetensors"), &[plain("w", Dtype::F32, &[50_000], &noise(1, 50_000))], &[]);
    let before = listing(folder.path());
    // A signal that is ignored stays ignored: the write gets an error instead.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact \"$1\"";
    let run = Command::new("sh")
        .args(["-c", script, std::env::current_exe().unwrap().to_str().unwrap(), NO_ROOM])
        .env("KILTER_TEST_NO_ROOM", folder.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    assert!(String::from_utf8_lossy(&run.stdout).contains("1 passed"));
    assert_eq!(listing(folder.path()), before);
}

#[test]
fn a_file_that_shrinks_while_it_is_open_is_an_error_and_no_crash() {
    let folder = tempfile::tempdir().unwrap();
    let zoo = zoo(folder.path(), 5);
    let file = fs::OpenOptions::new().write(true).open(zoo.path()).unwrap();
    file.set_len(100).unwrap();
    let tensor = zoo.get("single").unwrap();
    assert!(matches!(tensor.window(0..32), Err(WeightsError::Changed { found: 100, .. })));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    // More than one piece, so that threads have something to share.
    let n = 2_500_000;
    let save = |i: u64| {
        let path = folder.path().join(format!("{i}.safetensors"));
        let numbers = noise(i, 5000).into_iter().cycle().take(n).collect::<Vec<_>>();
        save(&path, &[plain("w", Dtype::F32, &[n as u64], &numbers)], &[])
    };
    let models: Vec<Checkpoint> = (0..3).map(save).collect();
    let models: Vec<&Checkpoint> = models.iter().collect();
    let checksum = |threads: usize, name: &str| {
        let target = folder.path().join(format!("out-{threads}-{name}.safetensors"));
        let pool = rayon_pool(threads);
        let method = kilter_weights::merge::find(name).unwrap();
        let outline = (method.outline)(2).unwrap();
        let config = kilter_space::Defaults::config(&outline.specialise(&[], &[]).unwrap()).unwrap();
        let built = (method.build)(&config, 2, Vec::new()).unwrap();
        let report =
            pool.install(|| merge(&*built, Some(models[0]), &models[1..], None, &target, &Options::default())).unwrap();
        report.written.tensors[0].sha256.clone()
    };
    for name in ["ties", "dare", "slerp", "breadcrumbs"] {
        assert_eq!(checksum(1, name), checksum(3, name), "{name}");
    }
}

fn rayon_pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Any tensors, in one file or in shards: a mean with weight 1 writes them as they were.
    #[test]
    fn any_checkpoint_goes_through_unchanged(
        shapes in prop::collection::vec(prop::collection::vec(0..5_u64, 0..4), 1..6),
        kinds in prop::collection::vec(0..6_usize, 6),
        shard_bytes in 1..200_u64,
        sharded in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let tensors: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| {
            let dtype = Dtype::from_setting(Dtype::settings()[kinds[i]]).unwrap();
            plain(&format!("t{i}"), dtype, shape, &noise(i as u64, shape.iter().product::<u64>() as usize))
        }).collect();
        let model = save(&folder.path().join("in.safetensors"), &tensors, &[]);
        let name = if sharded { "out.safetensors.index.json" } else { "out.safetensors" };
        let target = folder.path().join(name);
        let same = Linear { weights: vec![1.0], normalize: true };
        let options = Options { shard_bytes, ..Options::default() };
        merge(&same, None, &[&model], None, &target, &options).unwrap();
        let back = Checkpoint::open(&target).unwrap();
        for tensor in model.tensors() {
            prop_assert_eq!(bytes(&back, tensor.name()), bytes(&model, tensor.name()));
            prop_assert_eq!(back.get(tensor.name()).unwrap().shape(), tensor.shape());
        }
    }
}
