//! Every storage does what the plain one in memory does.

use kilter_space::{Name, parse_domain};
use kilter_study::storage::{Begun, LEASE_MS, Retry};
use kilter_study::{Amendment, Lease, Point, Worker};
use proptest::prelude::*;

use crate::given::{Stage, alive, complete, dead, fold, opened, spec, stranger};

/// Something that somebody asks of a storage. Leases are named by their place among all that were given out.
#[derive(Clone, Debug)]
pub enum Step {
    Reserve(usize),
    GiveBack(usize, u64),
    NextFree,
    Open(usize, u64, f64, bool),
    Start(usize, f64),
    Enqueue(f64),
    Claim(usize),
    Answer(usize, i64),
    Report(usize, Option<f64>),
    Finish(usize, f64),
    Release(usize),
    Entrust(usize),
    Entrusted(u64),
    Held,
    Renew(usize, usize),
    Reap(u32),
    Want(u64),
    Retry(u64),
    Tag(Option<u64>, bool),
    Stop(bool),
    Rename(usize),
    Copy,
    Advance(i64),
}

pub fn step() -> impl Strategy<Value = Step> {
    let worker = || 0..4_usize;
    let lease = || 0..6_usize;
    prop_oneof![
        2 => worker().prop_map(Step::Reserve),
        1 => (worker(), 0..6_u64).prop_map(|(by, number)| Step::GiveBack(by, number)),
        1 => Just(Step::NextFree),
        4 => (worker(), 0..6_u64, prop::sample::select(vec![-0.5, 0.5]), any::<bool>())
            .prop_map(|(by, number, x, fresh)| Step::Open(by, number, x, fresh)),
        5 => (worker(), -1.0..1.0).prop_map(|(by, x)| Step::Start(by, x)),
        1 => (-1.0..1.0).prop_map(Step::Enqueue),
        2 => worker().prop_map(Step::Claim),
        1 => (lease(), any::<i64>()).prop_map(|(lease, value)| Step::Answer(lease, value)),
        2 => (lease(), prop::option::of(any::<f64>())).prop_map(|(lease, value)| Step::Report(lease, value)),
        3 => (lease(), -1e9..1e9).prop_map(|(lease, loss)| Step::Finish(lease, loss)),
        1 => lease().prop_map(Step::Release),
        1 => lease().prop_map(Step::Entrust),
        1 => (0..6_u64).prop_map(Step::Entrusted),
        1 => Just(Step::Held),
        1 => (lease(), lease()).prop_map(|(a, b)| Step::Renew(a, b)),
        2 => (1..4_u32).prop_map(Step::Reap),
        1 => (0..20_u64).prop_map(Step::Want),
        2 => (0..6_u64).prop_map(Step::Retry),
        1 => (prop::option::of(0..6_u64), any::<bool>()).prop_map(|(number, set)| Step::Tag(number, set)),
        1 => any::<bool>().prop_map(Step::Stop),
        1 => (0..3_usize).prop_map(Step::Rename),
        1 => Just(Step::Copy),
        2 => prop::sample::select(vec![1, LEASE_MS / 2, LEASE_MS, LEASE_MS + 1]).prop_map(Step::Advance),
    ]
}

fn worker(k: usize) -> Worker {
    [alive(), dead(), stranger(1), stranger(2)][k].clone()
}

/// Takes a step; tells what came of it in words (without the fence, which is drawn by chance).
pub fn take(stage: &Stage, leases: &mut Vec<Lease>, step: &Step) -> String {
    let Stage { storage, id, .. } = stage;
    let id = *id;
    // The newest lease is number 0: recent ones are the interesting ones.
    let lease = |k: usize| leases.len().checked_sub(k + 1).map(|at| leases[at]);
    let held = |lease: &Lease| format!("{} in attempt {}", lease.number, lease.attempt);
    let mut given = None;
    let said = match step {
        Step::Reserve(by) => format!("{:?}", storage.reserve(id, &worker(*by))),
        Step::GiveBack(by, number) => format!("{:?}", storage.give_back(id, *number, &worker(*by))),
        Step::NextFree => format!("{:?}", storage.next_free(id)),
        Step::Open(by, number, x, fresh) => {
            match storage.open(id, *number, &opened(*x), &worker(*by), *fresh).unwrap() {
                Begun::Running(lease) => held(given.insert(lease)),
                other => format!("{other:?}"),
            }
        }
        Step::Start(by, x) => {
            let number = storage.reserve(id, &worker(*by)).unwrap();
            held(given.insert(storage.open(id, number, &opened(*x), &worker(*by), false).unwrap().lease().unwrap()))
        }
        Step::Enqueue(x) => format!("{:?}", storage.enqueue(id, &opened(*x))),
        Step::Claim(by) => match storage.claim(id, &worker(*by)).unwrap() {
            Some(claimed) => format!("{} {:?}", held(given.insert(claimed.lease)), claimed.opened),
            None => "nothing waits".to_owned(),
        },
        Step::Answer(k, value) => {
            let domain = parse_domain("int:-9223372036854775808..9223372036854775807").unwrap();
            let answer = (Name::new("late").unwrap(), domain, (*value).into());
            format!("{:?}", lease(*k).map(|lease| storage.answer(&lease, &[answer])))
        }
        Step::Report(k, value) => {
            let value = value.unwrap_or(f64::NAN);
            let point = Point { step: 1, metric: "loss".to_owned(), value };
            format!("{:?}", lease(*k).map(|lease| storage.report(&lease, &[point])))
        }
        Step::Finish(k, loss) => format!("{:?}", lease(*k).map(|lease| storage.finish(&lease, &complete(*loss)))),
        Step::Release(k) => format!("{:?}", lease(*k).map(|lease| storage.release(&lease))),
        Step::Entrust(k) => format!("{:?}", lease(*k).map(|lease| storage.entrust(&lease))),
        Step::Entrusted(number) => {
            let entrusted = storage.entrusted(id, *number).unwrap();
            assert!(entrusted.is_none_or(|lease| leases.contains(&lease)), "it is one of those given out");
            format!("{:?}", entrusted.map(|lease| held(&lease)))
        }
        Step::Held => format!("{:?}", storage.held(id)),
        Step::Renew(a, b) => {
            let leases: Vec<Lease> = [lease(*a), lease(*b)].into_iter().flatten().collect();
            format!("{:?}", storage.renew(&leases))
        }
        Step::Reap(attempts) => format!("{:?}", storage.reap(id, Retry { attempts: *attempts })),
        Step::Want(trials) => format!("{:?}", storage.want_trials(id, *trials)),
        Step::Retry(number) => format!("{:?}", storage.retry(id, *number)),
        Step::Tag(number, set) => {
            let value = if *set { serde_json::json!([1, "größe"]) } else { serde_json::Value::Null };
            let tags = Amendment::Tags([("keep".to_owned(), value)].into());
            format!("{:?}", storage.amend(id, *number, &tags))
        }
        Step::Stop(stop) => {
            let stop = if *stop { Amendment::Stop { why: "tired".to_owned(), at_once: true } } else { Amendment::GoOn };
            format!("{:?}", storage.amend(id, None, &stop))
        }
        Step::Rename(k) => format!("{:?}", storage.rename(id, ["first", "second", "größe"][*k])),
        Step::Copy => {
            let spec = spec(&format!("copy {}", storage.studies().unwrap().len()));
            let copy = storage.adopt(&spec, 7, &stage.events()).unwrap();
            let events = storage.changes(copy, 0, usize::MAX).unwrap().events;
            format!("{:?} {:?} {events:?}", storage.held(copy), storage.reserve(copy, &alive()))
        }
        Step::Advance(ms) => {
            stage.clock.advance(*ms);
            String::new()
        }
    };
    leases.extend(given);
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_requests_leave_the_same_log_on_every_storage(steps in prop::collection::vec(step(), 1..60)) {
        let (memory, sqlite) = (Stage::memory(), Stage::sqlite());
        let (mut in_memory, mut in_file) = (Vec::new(), Vec::new());
        for step in &steps {
            let (expected, got) = (take(&memory, &mut in_memory, step), take(&sqlite, &mut in_file, step));
            prop_assert_eq!(expected, got, "{:?}", step);
        }
        // By their debug form, in which NaN equals NaN.
        let (expected, got) = (memory.events(), sqlite.events());
        prop_assert_eq!(format!("{expected:#?}"), format!("{got:#?}"));
        prop_assert_eq!(format!("{:?}", fold(&expected)), format!("{:?}", fold(&got)));
    }
}
