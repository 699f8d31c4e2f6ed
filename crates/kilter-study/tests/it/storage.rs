//! The contract of every storage.

use std::io::Write as _;
use std::process::{Command, Stdio};

use kilter_space::{Name, parse_domain};
use kilter_study::storage::{Begun, Ended, Held, Holder, LEASE_MS, Retry};
use kilter_study::{Amendment, Change, EndState, Failure, Lease, Opened, Point, State, StorageError, StudyId, Worker};

use crate::given::{Stage, alive, complete, config, dead, on_every_storage, opened, spec, stranger};

/// Opens a trial in `worker`'s name.
fn start(stage: &Stage, worker: &Worker) -> Lease {
    let number = stage.storage.reserve(stage.id, worker).unwrap();
    stage.storage.open(stage.id, number, &opened(0.5), worker, false).unwrap().lease().unwrap()
}

fn point(step: u64, value: f64) -> Point {
    Point { step, metric: "loss".to_owned(), value }
}

#[test]
fn names_of_studies_are_unique_and_studies_are_kept_as_given() {
    on_every_storage(|stage| {
        let taken = stage.storage.create(&spec("first")).unwrap_err();
        assert!(matches!(&taken, StorageError::NameTaken(name) if name == "first"));
        assert!(taken.to_string().contains("kilter resume first"));
        stage.clock.advance(5);
        let second = stage.storage.create(&spec("größe; DROP TABLE studies --")).unwrap();
        let studies = stage.storage.studies().unwrap();
        assert_eq!(studies.iter().map(|entry| entry.id).collect::<Vec<_>>(), [stage.id, second]);
        assert_eq!(studies[0].spec, spec("first"));
        assert_eq!(studies[1].spec, spec("größe; DROP TABLE studies --"));
        assert_eq!(studies.iter().map(|entry| entry.created_ms).collect::<Vec<_>>(), [1_000_000, 1_000_005]);
    });
}

#[test]
fn studies_keep_their_numbers_and_logs_apart() {
    on_every_storage(|stage| {
        let other = stage.storage.create(&spec("other")).unwrap();
        start(stage, &alive());
        assert_eq!(stage.storage.reserve(other, &alive()).unwrap(), 0);
        assert_eq!(stage.storage.enqueue(other, &opened(0.1)).unwrap(), 1);
        assert_eq!(stage.events().len(), 1);
        assert_eq!(stage.storage.changes(other, 0, 9).unwrap().events[0].revision, 1);
    });
}

#[test]
fn a_study_that_does_not_exist_is_named() {
    on_every_storage(|stage| {
        let nobody = StudyId(99);
        let no_study = |refused: Result<(), StorageError>| {
            assert!(matches!(refused, Err(StorageError::NoStudy(StudyId(99)))), "{refused:?}");
        };
        no_study(stage.storage.reserve(nobody, &alive()).map(drop));
        no_study(stage.storage.next_free(nobody).map(drop));
        no_study(stage.storage.open(nobody, 0, &opened(0.0), &alive(), true).map(drop));
        no_study(stage.storage.enqueue(nobody, &opened(0.0)).map(drop));
        no_study(stage.storage.want_trials(nobody, 3));
        no_study(stage.storage.claim(nobody, &alive()).map(drop));
        no_study(stage.storage.changes(nobody, 0, 10).map(drop));
    });
}

#[test]
fn revisions_count_from_one_without_gaps() {
    on_every_storage(|stage| {
        for _ in 0..5 {
            let lease = start(stage, &alive());
            stage.storage.report(&lease, &[point(0, 1.0)]).unwrap();
            stage.storage.finish(&lease, &complete(1.0)).unwrap();
        }
        stage.storage.enqueue(stage.id, &opened(0.2)).unwrap();
        stage.storage.want_trials(stage.id, 7).unwrap();
        let revisions: Vec<u64> = stage.events().iter().map(|event| event.revision).collect();
        assert_eq!(revisions, (1..=17).collect::<Vec<_>>());
    });
}

#[test]
fn changes_come_in_pages() {
    on_every_storage(|stage| {
        for k in 0..7 {
            stage.storage.want_trials(stage.id, k).unwrap();
        }
        let page = |since, limit| {
            let changes = stage.storage.changes(stage.id, since, limit).unwrap();
            (changes.events.iter().map(|event| event.revision).collect::<Vec<_>>(), changes.more)
        };
        assert_eq!(page(0, 3), (vec![1, 2, 3], true));
        assert_eq!(page(3, 3), (vec![4, 5, 6], true));
        assert_eq!(page(6, 3), (vec![7], false));
        assert_eq!(page(4, 3), (vec![5, 6, 7], false));
        assert_eq!(page(7, 3), (vec![], false));
        assert_eq!(page(70, 3), (vec![], false));
        assert_eq!(page(u64::MAX, 3), (vec![], false));
        assert_eq!(page(0, usize::MAX).0.len(), 7);
        assert_eq!(page(0, 0), (vec![], true));
    });
}

#[test]
fn events_carry_the_storage_s_time() {
    on_every_storage(|stage| {
        let lease = start(stage, &alive());
        stage.clock.advance(250);
        stage.storage.finish(&lease, &complete(1.0)).unwrap();
        assert_eq!(stage.events().iter().map(|event| event.at_ms).collect::<Vec<_>>(), [1_000_000, 1_000_250]);
    });
}

#[test]
fn a_number_given_back_is_given_out_again_lowest_first() {
    on_every_storage(|stage| {
        let reserve = || stage.storage.reserve(stage.id, &alive()).unwrap();
        assert_eq!([reserve(), reserve(), reserve(), reserve()], [0, 1, 2, 3]);
        stage.storage.give_back(stage.id, 2, &alive()).unwrap();
        stage.storage.give_back(stage.id, 1, &alive()).unwrap();
        assert_eq!([reserve(), reserve(), reserve()], [1, 2, 4]);
    });
}

#[test]
fn only_its_holder_gives_a_number_back() {
    on_every_storage(|stage| {
        assert_eq!(stage.storage.reserve(stage.id, &alive()).unwrap(), 0);
        stage.storage.give_back(stage.id, 0, &stranger(7)).unwrap();
        assert_eq!(stage.storage.reserve(stage.id, &alive()).unwrap(), 1);
        let lease = stage.storage.open(stage.id, 0, &opened(0.1), &alive(), false).unwrap().lease().unwrap();
        stage.storage.give_back(stage.id, 0, &alive()).unwrap();
        assert_eq!(stage.storage.renew(&[lease]).unwrap(), [true], "a running trial is no reserved number");
    });
}

#[test]
fn a_dead_worker_s_number_is_given_out_again() {
    on_every_storage(|stage| {
        let nobody_s = Worker { pid: u32::MAX, ..alive() };
        assert_eq!(stage.storage.reserve(stage.id, &alive()).unwrap(), 0);
        assert_eq!(stage.storage.reserve(stage.id, &dead()).unwrap(), 1);
        assert_eq!(stage.storage.reserve(stage.id, &alive()).unwrap(), 1);
        assert_eq!(stage.storage.reserve(stage.id, &nobody_s).unwrap(), 2);
        assert_eq!(stage.storage.reserve(stage.id, &alive()).unwrap(), 2);
        assert_eq!(stage.storage.reserve(stage.id, &alive()).unwrap(), 3);
    });
}

/// After a restart of the machine nobody can look for the old process, but its number must not be lost: a study that
/// wants ten trials would end with nine.
#[test]
fn a_number_whose_holder_cannot_be_looked_for_is_given_out_again_when_its_time_is_up() {
    on_every_storage(|stage| {
        assert_eq!(stage.storage.reserve(stage.id, &stranger(7)).unwrap(), 0);
        stage.clock.advance(LEASE_MS);
        assert_eq!(stage.storage.reserve(stage.id, &alive()).unwrap(), 1);
        stage.clock.advance(1);
        assert_eq!(stage.storage.reserve(stage.id, &alive()).unwrap(), 0);
        let late = stage.storage.open(stage.id, 0, &opened(0.1), &stranger(7), false);
        assert_eq!(late.unwrap(), Begun::Reserved(2));
        stage.storage.give_back(stage.id, 2, &stranger(7)).unwrap();
        stage.clock.advance(10 * LEASE_MS);
        assert_eq!(stage.storage.reserve(stage.id, &alive()).unwrap(), 2, "a living holder has all the time it takes");
    });
}

#[test]
fn a_process_lives_until_it_ends() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    // Field 22, counted from 1; the second is the program's name in parentheses.
    let started = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(22 - 3).unwrap().parse().unwrap();
    let worker = Worker { pid: child.id(), started, ..alive() };
    child.stdin.as_mut().unwrap().write_all(b"still here").unwrap();
    assert_eq!(worker.is_alive(), Some(true));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(worker.is_alive(), Some(false));
    assert_eq!(alive().is_alive(), Some(true));
    assert_eq!(dead().is_alive(), Some(false));
    assert_eq!(stranger(1).is_alive(), None);
    assert_eq!(Worker { namespace: "pid:[1]".to_owned(), ..alive() }.is_alive(), None);
}

/// Nothing that ran before a restart of the machine runs any more: nobody has to wait for a deadline to know that.
#[test]
fn after_a_restart_of_the_machine_its_workers_are_known_to_be_gone() {
    let before = |machine: &str| Worker { boot: "before".to_owned(), machine: machine.to_owned(), ..stranger(7) };
    // A container may have no id; then only the deadline tells.
    let is_known = !alive().machine.is_empty();
    assert_eq!(before(&alive().machine).is_alive(), is_known.then_some(false));
    assert_eq!(before("").is_alive(), None, "stored by an older kilter, or by a container without an id");
    assert_eq!(before("another machine").is_alive(), None);
    on_every_storage(|stage| {
        let gone = start(stage, &before(&alive().machine));
        let far = start(stage, &before("another machine"));
        let mut reaped = stage.storage.reap(stage.id, Retry::default()).unwrap();
        assert_eq!(reaped, if is_known { vec![gone.number] } else { vec![] });
        stage.clock.advance(LEASE_MS + 1);
        reaped.extend(stage.storage.reap(stage.id, Retry::default()).unwrap());
        assert_eq!(reaped, [gone.number, far.number]);
    });
}

/// A study may be handed on; the machine's id is not.
#[test]
fn a_worker_does_not_give_its_machine_s_id_away() {
    let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    assert!(id.trim().is_empty() || !serde_json::to_string(&alive()).unwrap().contains(id.trim()));
}

#[test]
fn a_trial_begins_under_a_free_number_and_whoever_is_late_has_the_next_one_reserved() {
    on_every_storage(|stage| {
        let open = |number, worker: &Worker| stage.storage.open(stage.id, number, &opened(0.1), worker, false).unwrap();
        assert_eq!(stage.storage.next_free(stage.id).unwrap(), 0);
        assert_eq!(stage.storage.next_free(stage.id).unwrap(), 0, "to look changes nothing");
        let first = open(0, &alive()).lease().unwrap();
        assert_eq!((first.number, first.attempt), (0, 1));
        // Too late, and then with the number that was reserved instead.
        assert_eq!(open(0, &stranger(7)), Begun::Reserved(1));
        assert_eq!(open(1, &alive()), Begun::Reserved(2), "1 is another's");
        assert_eq!(open(1, &stranger(7)).lease().unwrap().number, 1);
        // What is not there yet is nobody's to take.
        assert_eq!(open(9, &stranger(7)), Begun::Reserved(3));
        let waiting = stage.storage.enqueue(stage.id, &opened(0.1)).unwrap();
        assert_eq!(open(waiting, &stranger(8)), Begun::Reserved(5));
        // A dead worker's number is the next, and anybody's.
        assert_eq!(stage.storage.reserve(stage.id, &dead()).unwrap(), 6);
        stage.storage.give_back(stage.id, 2, &alive()).unwrap();
        assert_eq!(stage.storage.next_free(stage.id).unwrap(), 2);
        assert_eq!(open(6, &alive()).lease().unwrap().number, 6);
        assert_eq!(open(2, &alive()).lease().unwrap().number, 2);
        assert_eq!(stage.events().len(), 5, "a refusal leaves no trace in the log");
    });
}

#[test]
fn a_fresh_trial_does_not_begin_if_its_question_was_asked_meanwhile() {
    on_every_storage(|stage| {
        let open = |x, seen, fresh| {
            let (number, opened) = (stage.storage.next_free(stage.id).unwrap(), Opened { seen, ..opened(x) });
            stage.storage.open(stage.id, number, &opened, &alive(), fresh).unwrap()
        };
        assert!(open(0.1, 0, true).lease().is_some());
        assert_eq!(open(0.1, 0, true), Begun::Asked);
        assert_eq!(stage.storage.next_free(stage.id).unwrap(), 1, "nothing is reserved for it");
        assert!(open(0.1, 0, false).lease().is_some());
        assert!(open(0.2, 0, true).lease().is_some());
        assert!(open(0.1, 2, true).lease().is_some(), "what it was made from is its own affair");
        stage.storage.enqueue(stage.id, &opened(0.3)).unwrap();
        assert_eq!(open(0.3, 4, true), Begun::Asked);
    });
}

#[test]
fn waiting_trials_are_claimed_once_lowest_first() {
    on_every_storage(|stage| {
        assert!(stage.storage.claim(stage.id, &alive()).unwrap().is_none());
        let reserved = stage.storage.reserve(stage.id, &alive()).unwrap();
        for x in [0.1, 0.2] {
            stage.storage.enqueue(stage.id, &opened(x)).unwrap();
        }
        let claim = || stage.storage.claim(stage.id, &alive()).unwrap();
        let (first, second) = (claim().unwrap(), claim().unwrap());
        assert_eq!((reserved, first.lease.number, second.lease.number), (0, 1, 2));
        assert_eq!((first.lease.attempt, second.lease.attempt), (1, 1));
        assert_eq!((first.opened, second.opened), (opened(0.1), opened(0.2)));
        assert!(claim().is_none());
        stage.storage.release(&first.lease).unwrap();
        assert_eq!(claim().unwrap().lease.number, 1);
    });
}

#[test]
fn a_stale_lease_s_end_is_kept_as_late_and_not_counted() {
    on_every_storage(|stage| {
        let stale = start(stage, &dead());
        assert_eq!(stage.storage.reap(stage.id, Retry::default()).unwrap(), [0]);
        let second = stage.storage.claim(stage.id, &alive()).unwrap().unwrap().lease;
        assert_eq!((second.attempt, second.token == stale.token), (2, false));
        assert_eq!(stage.storage.finish(&stale, &complete(1.0)).unwrap(), Ended::Late);
        assert_eq!(stage.history().get(0).unwrap().state, State::Running);
        assert_eq!(stage.storage.finish(&second, &complete(2.0)).unwrap(), Ended::Counted);
        assert_eq!(stage.storage.finish(&second, &complete(3.0)).unwrap(), Ended::Late, "once is enough");
        let late = stage.events().iter().filter(|event| matches!(event.change, Change::Late(_))).count();
        assert_eq!(late, 2);
        let history = stage.history();
        assert_eq!(history.get(0).unwrap().value("loss"), Some(2.0));
        assert_eq!((history.len(), history.count(State::Complete)), (1, 1));
        assert_eq!(history.get(0).unwrap().late, [complete(1.0), complete(3.0)]);
    });
}

#[test]
fn a_stale_lease_changes_nothing() {
    on_every_storage(|stage| {
        let stale = start(stage, &dead());
        stage.storage.reap(stage.id, Retry::default()).unwrap();
        let forged = Lease { token: stale.token ^ 1, attempt: 2, ..stale };
        stage.storage.claim(stage.id, &alive()).unwrap();
        let before = stage.events().len();
        for lease in [stale, forged] {
            stage.storage.report(&lease, &[point(0, 1.0)]).unwrap();
            let x = (Name::new("y").unwrap(), parse_domain("0..1").unwrap(), 0.5.into());
            stage.storage.answer(&lease, &[x]).unwrap();
            stage.storage.release(&lease).unwrap();
            assert_eq!(stage.storage.renew(&[lease]).unwrap(), [false]);
        }
        assert_eq!(stage.events().len(), before);
    });
}

#[test]
fn a_released_trial_waits_again_without_the_attempt_counting() {
    on_every_storage(|stage| {
        let mut lease = start(stage, &alive());
        for _ in 0..5 {
            stage.storage.report(&lease, &[point(0, 1.0)]).unwrap();
            stage.storage.release(&lease).unwrap();
            assert_eq!(stage.history().get(0).unwrap().state, State::Waiting);
            assert!(stage.history().get(0).unwrap().points.is_empty());
            let claimed = stage.storage.claim(stage.id, &dead()).unwrap().unwrap();
            assert_eq!(claimed.lease.attempt, 1);
            assert_ne!(claimed.lease.token, lease.token);
            lease = claimed.lease;
        }
        assert_eq!(stage.storage.reap(stage.id, Retry { attempts: 2 }).unwrap(), [0]);
        assert_eq!(stage.history().get(0).unwrap().state, State::Waiting);
    });
}

#[test]
fn a_trial_whose_worker_died_is_retried_and_then_has_failed() {
    on_every_storage(|stage| {
        start(stage, &alive());
        start(stage, &dead());
        let retry = Retry { attempts: 3 };
        for attempt in 1..=2 {
            assert_eq!(stage.storage.reap(stage.id, retry).unwrap(), [1]);
            assert!(stage.storage.reap(stage.id, retry).unwrap().is_empty());
            let row = stage.history().get(1).unwrap().clone();
            assert_eq!((row.state, row.attempt), (State::Waiting, attempt));
            let claimed = stage.storage.claim(stage.id, &dead()).unwrap().unwrap();
            assert_eq!((claimed.lease.number, claimed.lease.attempt), (1, attempt + 1));
            assert_eq!(claimed.opened, opened(0.5), "a retried trial keeps its answers");
        }
        assert_eq!(stage.storage.reap(stage.id, retry).unwrap(), [1]);
        let history = stage.history();
        let end = history.get(1).unwrap().end.clone().unwrap();
        assert_eq!((end.state, end.failure), (EndState::Failed, Some(Failure::WorkerLost { times: 3 })));
        assert_eq!(history.get(0).unwrap().state, State::Running);
        assert!(stage.storage.claim(stage.id, &alive()).unwrap().is_none());
    });
}

#[test]
fn leases_of_workers_that_cannot_be_looked_for_end_by_the_clock_and_renewing_extends_them() {
    on_every_storage(|stage| {
        let reap = || stage.storage.reap(stage.id, Retry::default()).unwrap();
        let (renewed, left) = (start(stage, &stranger(7)), start(stage, &stranger(8)));
        start(stage, &alive());
        stage.clock.advance(LEASE_MS - 1);
        assert!(reap().is_empty());
        assert_eq!(stage.storage.renew(&[renewed, left]).unwrap(), [true, true]);
        stage.clock.advance(LEASE_MS);
        assert!(reap().is_empty());
        assert_eq!(stage.storage.renew(&[renewed]).unwrap(), [true]);
        stage.clock.advance(1);
        assert_eq!(reap(), [left.number]);
        assert_eq!(stage.storage.renew(&[left, renewed]).unwrap(), [false, true]);
        stage.clock.advance(LEASE_MS + 1);
        assert_eq!(reap(), [renewed.number], "and this process lives whatever the clock says");
    });
}

#[test]
fn a_trial_in_a_person_s_hands_has_no_end_of_time_and_is_told_by_its_number() {
    on_every_storage(|stage| {
        let lease = start(stage, &dead());
        let held = || stage.storage.held(stage.id).unwrap();
        assert_eq!(held(), [Held { number: 0, running: true, by: Holder::Lost }]);
        assert_eq!(stage.storage.entrusted(stage.id, 0).unwrap(), None);
        assert!(stage.storage.entrust(&lease).unwrap());
        stage.clock.advance(1_000 * LEASE_MS);
        assert_eq!(held(), [Held { number: 0, running: true, by: Holder::Person }]);
        assert!(stage.storage.reap(stage.id, Retry::default()).unwrap().is_empty());
        let found = stage.storage.entrusted(stage.id, 0).unwrap().unwrap();
        assert_eq!(found, lease);
        assert_eq!(stage.storage.finish(&found, &complete(1.0)).unwrap(), Ended::Counted);
        assert_eq!(stage.storage.entrusted(stage.id, 0).unwrap(), None);
        assert!(!stage.storage.entrust(&lease).unwrap());
    });
}

#[test]
fn a_dead_worker_s_trial_is_stale_until_somebody_takes_it_up() {
    on_every_storage(|stage| {
        let (ours, lost, far) = (start(stage, &alive()), start(stage, &dead()), start(stage, &stranger(7)));
        let events = stage.events().len();
        let held = || stage.storage.held(stage.id).unwrap();
        let stale = || held().iter().filter(|held| held.is_stale()).map(|held| held.number).collect::<Vec<_>>();
        assert_eq!(stale(), [lost.number]);
        stage.clock.advance(LEASE_MS + 1);
        assert_eq!(stale(), [lost.number, far.number]);
        assert_eq!(stage.events().len(), events, "looking changes nothing");
        let mut history = stage.history();
        history.mark_stale(&held());
        assert_eq!((history.count(State::Running), history.count(State::Stale)), (1, 2));
        assert_eq!(history.get(lost.number).unwrap().state, State::Stale);
        assert_eq!(history.ended(), 0);
        stage.storage.reap(stage.id, Retry::default()).unwrap();
        assert!(stale().is_empty());
        assert_eq!(held(), [Held { number: ours.number, running: true, by: Holder::Process }]);
        stage.storage.finish(&ours, &complete(1.0)).unwrap();
        let reserved = stage.storage.reserve(stage.id, &dead()).unwrap();
        assert_eq!(held(), [Held { number: reserved, running: false, by: Holder::Lost }]);
        assert!(stale().is_empty(), "nothing ran under it");
        stage.storage.give_back(stage.id, reserved, &dead()).unwrap();
        assert!(held().is_empty());
    });
}

#[test]
fn a_jump_of_the_clock_kills_nobody_who_lives() {
    on_every_storage(|stage| {
        let lease = start(stage, &alive());
        let far = start(stage, &stranger(7));
        for jump in [1_000 * LEASE_MS, -3_000 * LEASE_MS, 2_000 * LEASE_MS] {
            stage.clock.advance(jump);
            assert!(!stage.storage.reap(stage.id, Retry::default()).unwrap().contains(&lease.number));
        }
        assert_eq!(stage.storage.finish(&lease, &complete(1.0)).unwrap(), Ended::Counted);
        // Who cannot be looked for may be taken for dead by a jump; that costs a run, never a result.
        assert_eq!(stage.storage.finish(&far, &complete(2.0)).unwrap(), Ended::Late);
        assert_eq!(stage.history().get(far.number).unwrap().late, [complete(2.0)]);
    });
}

#[test]
fn late_answers_are_appended_and_outlive_the_attempt() {
    on_every_storage(|stage| {
        let lease = start(stage, &alive());
        let domain = parse_domain("'a|b'|'1'|1|null").unwrap();
        let answers = vec![
            (Name::new("größe").unwrap(), domain.clone(), "a|b".into()),
            (Name::new("n").unwrap(), parse_domain("int:-9223372036854775808..0").unwrap(), i64::MIN.into()),
        ];
        stage.storage.answer(&lease, &answers).unwrap();
        assert!(stage.events().iter().any(|event| event.change == Change::Answered(answers.clone())));
        let expected =
            config(&[("x", 0.5.into()), ("kind", "plain".into()), ("größe", "a|b".into()), ("n", i64::MIN.into())]);
        assert_eq!(*stage.history().get(0).unwrap().config(), expected);
        stage.storage.release(&lease).unwrap();
        assert_eq!(stage.storage.claim(stage.id, &alive()).unwrap().unwrap().opened.config, expected);
    });
}

#[test]
fn figures_that_are_no_numbers_survive_as_such() {
    on_every_storage(|stage| {
        let lease = start(stage, &alive());
        let values = [f64::NAN, 1e-300, -0.0, f64::MAX];
        let points: Vec<Point> = values.iter().enumerate().map(|(step, value)| point(step as u64, *value)).collect();
        stage.storage.report(&lease, &points).unwrap();
        stage.storage.report(&lease, &[point(9, f64::INFINITY)]).unwrap();
        let history = stage.history();
        let curve: Vec<(u64, f64)> = history.get(0).unwrap().curve("loss").collect();
        assert!(curve[0].1.is_nan());
        assert_eq!(
            curve[1..4].iter().map(|(_, value)| value.to_bits()).collect::<Vec<_>>(),
            values[1..].iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        );
        assert!(!curve[4].1.is_finite());
    });
}

/// Whoever tells a study by hand can make an end of anything; the log must stay readable.
#[test]
fn an_end_with_a_metric_that_is_no_number_leaves_the_study_readable() {
    on_every_storage(|stage| {
        let lease = start(stage, &alive());
        let mut end = complete(1.0);
        end.metrics.insert("odd".to_owned(), f64::NAN);
        end.metrics.insert("huge".to_owned(), f64::INFINITY);
        end.usage.wall_seconds = 0.25;
        stage.storage.finish(&lease, &end).unwrap();
        let history = stage.history();
        assert_eq!(history.get(0).unwrap().value("loss"), Some(1.0));
        assert_eq!(history.get(0).unwrap().end.as_ref().unwrap().usage.wall_seconds, 0.25);
    });
}

#[test]
fn a_retried_trial_waits_with_its_answers_and_the_whole_ones_stay_whole() {
    on_every_storage(|stage| {
        let lost = start(stage, &dead());
        assert_eq!(stage.storage.reap(stage.id, Retry { attempts: 1 }).unwrap(), [0]);
        let whole = start(stage, &alive());
        assert!(!stage.storage.retry(stage.id, whole.number).unwrap(), "it runs");
        stage.storage.finish(&whole, &complete(1.0)).unwrap();
        assert!(!stage.storage.retry(stage.id, whole.number).unwrap(), "it is complete");
        assert!(!stage.storage.retry(stage.id, 7).unwrap(), "there is none");
        assert!(stage.storage.retry(stage.id, lost.number).unwrap());
        assert!(!stage.storage.retry(stage.id, lost.number).unwrap(), "it waits already");
        let history = stage.history();
        let row = history.get(0).unwrap();
        assert_eq!((row.state, row.end.is_none()), (State::Waiting, true));
        let claimed = stage.storage.claim(stage.id, &alive()).unwrap().unwrap();
        assert_eq!((claimed.lease.number, claimed.lease.attempt, claimed.opened), (0, 1, opened(0.5)));
        assert_eq!(stage.storage.finish(&lost, &complete(9.0)).unwrap(), Ended::Late);
        assert!(matches!(stage.storage.retry(StudyId(99), 0), Err(StorageError::NoStudy(_))));
    });
}

#[test]
fn tags_are_written_changed_and_taken_away() {
    on_every_storage(|stage| {
        start(stage, &alive());
        let tag = |number, name: &str, value| {
            let tags = Amendment::Tags([(name.to_owned(), value)].into());
            stage.storage.amend(stage.id, number, &tags).unwrap();
        };
        tag(None, "team", "vision".into());
        tag(Some(0), "note", "look again".into());
        tag(Some(0), "rank", 3.into());
        tag(Some(0), "note", serde_json::Value::Null);
        tag(Some(9), "note", "nobody".into());
        let history = stage.history();
        assert_eq!(history.tags()["team"], "vision");
        assert_eq!(history.get(0).unwrap().tags, [("rank".to_owned(), 3.into())].into());
    });
}

#[test]
fn a_renamed_study_goes_by_its_new_name_only() {
    on_every_storage(|stage| {
        stage.storage.create(&spec("other")).unwrap();
        assert!(matches!(stage.storage.rename(stage.id, "other"), Err(StorageError::NameTaken(_))));
        let lease = start(stage, &alive());
        assert!(matches!(stage.storage.rename(stage.id, "new"), Err(StorageError::InUse(_))));
        stage.storage.finish(&lease, &complete(1.0)).unwrap();
        stage.storage.rename(stage.id, "new").unwrap();
        let studies = stage.storage.studies().unwrap();
        assert_eq!((studies[0].id, studies[0].spec.name.as_str()), (stage.id, "new"));
        stage.storage.create(&spec("first")).unwrap();
        assert!(matches!(stage.storage.rename(StudyId(99), "x"), Err(StorageError::NoStudy(_))));
    });
}

#[test]
fn a_deleted_study_is_gone_and_the_others_are_whole() {
    on_every_storage(|stage| {
        let other = stage.storage.create(&spec("other")).unwrap();
        stage.storage.enqueue(other, &opened(0.1)).unwrap();
        let lease = start(stage, &alive());
        assert!(matches!(stage.storage.delete(stage.id), Err(StorageError::InUse(_))));
        stage.storage.finish(&lease, &complete(1.0)).unwrap();
        start(stage, &dead());
        stage.storage.delete(stage.id).unwrap();
        assert!(matches!(stage.storage.changes(stage.id, 0, 9), Err(StorageError::NoStudy(_))));
        assert!(matches!(stage.storage.delete(stage.id), Err(StorageError::NoStudy(_))));
        let studies = stage.storage.studies().unwrap();
        assert_eq!(studies.iter().map(|entry| entry.id).collect::<Vec<_>>(), [other]);
        assert_eq!(stage.storage.claim(other, &alive()).unwrap().unwrap().lease.number, 0);
        assert_ne!(stage.storage.create(&spec("first")).unwrap(), stage.id);
    });
}

/// A worker that did not hear of the end of its study must not write into another one.
#[test]
fn the_key_of_a_deleted_study_is_never_another_s() {
    on_every_storage(|stage| {
        for again in 0..3 {
            let newest = stage.storage.create(&spec("newest")).unwrap();
            stage.storage.delete(newest).unwrap();
            let next = match again {
                0 => stage.storage.adopt(&spec("adopted"), 0, &[]).unwrap(),
                _ => stage.storage.create(&spec("newest")).unwrap(),
            };
            assert!(next > newest, "{next:?} after {newest:?}");
            assert!(matches!(stage.storage.reserve(newest, &alive()), Err(StorageError::NoStudy(_))));
            stage.storage.delete(next).unwrap();
        }
        assert!(stage.storage.reserve(stage.id, &alive()).is_ok());
    });
}

#[test]
fn an_adopted_study_goes_on_from_its_history() {
    on_every_storage(|stage| {
        for worker in [alive(), stranger(1)] {
            start(stage, &worker);
        }
        let whole = stage.storage.reserve(stage.id, &alive()).unwrap();
        let left_out = stage.storage.reserve(stage.id, &alive()).unwrap();
        let lease = stage.storage.open(stage.id, whole, &opened(0.25), &alive(), false).unwrap().lease().unwrap();
        stage.storage.report(&lease, &[point(0, 3.0)]).unwrap();
        stage.storage.finish(&lease, &complete(1.0)).unwrap();
        stage.storage.enqueue(stage.id, &opened(0.75)).unwrap();
        stage.clock.advance(99);
        let copy = stage.storage.adopt(&spec("copy"), 17, &stage.events()).unwrap();
        assert!(matches!(stage.storage.adopt(&spec("copy"), 17, &[]), Err(StorageError::NameTaken(_))));
        assert_eq!(stage.storage.studies().unwrap()[1].created_ms, 17);
        let events = stage.storage.changes(copy, 0, usize::MAX).unwrap().events;
        let numbers: Vec<u64> = events.iter().map(|event| event.revision).collect();
        assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
        assert!(events.iter().all(|event| event.at_ms == 1_000_000), "moments are kept");
        let history = crate::given::fold(&events);
        assert_eq!(history.get(whole).unwrap().value("loss"), Some(1.0));
        assert_eq!((history.count(State::Waiting), history.count(State::Running)), (3, 0));
        let claimed = || stage.storage.claim(copy, &alive()).unwrap().map(|claimed| claimed.lease.number);
        assert_eq!([claimed(), claimed(), claimed(), claimed()], [Some(0), Some(1), Some(4), None]);
        assert_eq!(stage.storage.reserve(copy, &alive()).unwrap(), left_out);
        assert_eq!(stage.storage.reserve(copy, &alive()).unwrap(), 5);
        assert_eq!(stage.history().count(State::Running), 2, "the first study is as it was");
    });
}
