use kilter_study::{Change, Event, Goal, History, State};
use proptest::prelude::*;

use crate::given::{Stage, complete, fold, opened};
use crate::model::{step, take};

fn event(revision: u64, number: u64, change: Change) -> Event {
    Event { revision, number: Some(number), at_ms: 0, change }
}

/// Trials 0, 1, … that ended with these losses, ended in the given order.
fn ended(losses: &[f64], order: &[usize]) -> History {
    let opened = (0..losses.len()).map(|k| (k, Change::Opened(opened(0.0))));
    let ended = order.iter().map(|&k| (k, Change::Ended(complete(losses[k]))));
    let events: Vec<Event> =
        opened.chain(ended).enumerate().map(|(at, (k, change))| event(at as u64 + 1, k as u64, change)).collect();
    fold(&events)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn folding_in_pieces_and_twice_over_is_folding_at_once(
        steps in prop::collection::vec(step(), 1..60), piece in 1..10_usize, again in 0..5_usize,
    ) {
        let stage = Stage::memory();
        let mut leases = Vec::new();
        for step in &steps {
            take(&stage, &mut leases, step);
        }
        let events = stage.events();
        let at_once = fold(&events);
        let mut in_pieces = History::default();
        for (k, part) in events.chunks(piece).enumerate() {
            let from = (k * piece).saturating_sub(again);
            events[from..k * piece].iter().chain(part).for_each(|event| in_pieces.apply(event));
        }
        prop_assert_eq!(format!("{at_once:?}"), format!("{in_pieces:?}"));
    }

    #[test]
    fn counts_add_up(steps in prop::collection::vec(step(), 1..60)) {
        let stage = Stage::memory();
        let mut leases = Vec::new();
        for step in &steps {
            take(&stage, &mut leases, step);
        }
        let history = stage.history();
        for state in [State::Waiting, State::Running, State::Complete, State::Pruned, State::Failed] {
            prop_assert_eq!(history.count(state), history.rows().filter(|row| row.state == state).count());
        }
        prop_assert_eq!(history.len(), history.rows().count());
        prop_assert_eq!(history.ended(), history.rows().filter(|row| row.end.is_some()).count());
        prop_assert_eq!(history.is_empty(), history.rows().next().is_none());
        prop_assert_eq!(history.revision(), stage.events().len() as u64);
        prop_assert!(history.rows().is_sorted_by_key(|row| row.number));
    }
}

#[test]
fn the_best_is_the_earliest_of_equals_however_they_came() {
    let losses = [3.0, 1.0, 2.0, 1.0, 0.0, -0.0];
    for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 5, 1, 0, 4, 2]] {
        let history = ended(&losses, &order);
        let numbers = |goal: &Goal| history.ranking(goal).iter().map(|row| row.number).collect::<Vec<_>>();
        assert_eq!(numbers(&Goal::minimize("loss")), [4, 5, 1, 3, 2, 0]);
        assert_eq!(numbers(&Goal::maximize("loss")), [0, 2, 1, 3, 4, 5]);
        assert_eq!(history.best(&Goal::minimize("loss")).unwrap().number, 4);
    }
}

#[test]
fn only_complete_trials_that_have_the_metric_are_ranked() {
    let mut history = ended(&[1.0, f64::NAN], &[0, 1]);
    history.apply(&event(5, 2, Change::Opened(opened(0.1))));
    assert_eq!(history.ranking(&Goal::minimize("loss")).len(), 1);
    assert!(history.best(&Goal::minimize("another")).is_none());
    assert_eq!((history.count(State::Failed), history.count(State::Running)), (1, 1));
}

#[test]
fn events_of_trials_that_are_not_known_change_nothing() {
    let mut history = History::default();
    history.apply(&event(1, 7, Change::Ended(complete(1.0))));
    history.apply(&event(2, 9, Change::Late(complete(1.0))));
    assert_eq!((history.len(), history.revision()), (0, 2));
    assert!(history.get(7).is_none() && history.get(u64::MAX).is_none());
}
