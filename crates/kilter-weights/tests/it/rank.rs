use std::ops::Range;

use kilter_weights::WeightsError;
use kilter_weights::rank::{Pieces, Survivors, key, span, span_of_slice};
use proptest::prelude::*;

/// Numbers in memory, cut into pieces.
struct InMemory {
    numbers: Vec<f64>,
    ranges: Vec<Range<u64>>,
}

impl InMemory {
    fn new(numbers: Vec<f64>, piece: usize) -> Self {
        let n = numbers.len() as u64;
        let ranges = (0..n).step_by(piece).map(|start| start..n.min(start + piece as u64)).collect();
        Self { numbers, ranges }
    }
}

impl Pieces for InMemory {
    fn entries(&self) -> u64 {
        self.numbers.len() as u64
    }
    fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }
    fn visit(&self, piece: usize, each: &mut dyn FnMut(u64, &[f64])) -> Result<(), WeightsError> {
        let range = self.ranges[piece].clone();
        each(range.start, &self.numbers[range.start as usize..range.end as usize]);
        Ok(())
    }
}

/// The survivors by sorting: the definition.
fn by_sorting(numbers: &[f64], survivors: Survivors) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].abs().total_cmp(&numbers[b].abs()));
    let mut alive = order[survivors.ranks.0 as usize..survivors.ranks.1 as usize].to_vec();
    alive.sort_unstable();
    alive
}

fn alive(numbers: &[f64], span: &kilter_weights::rank::Span) -> Vec<usize> {
    (0..numbers.len()).filter(|&i| span.contains(&(key(numbers[i]), i as u64))).collect()
}

proptest! {
    /// Few distinct values make ties the rule.
    #[test]
    fn spans_are_what_sorting_gives(
        numbers in prop::collection::vec(prop_oneof![(-3..4_i32).prop_map(f64::from), -1.0..1.0_f64], 0..200),
        keep in 0.01..1.2_f64, drop_top in 0.0..0.9_f64, piece in 1..60_usize,
    ) {
        let survivors = Survivors::middle(numbers.len() as u64, keep, drop_top);
        let expected = by_sorting(&numbers, survivors);
        prop_assert_eq!(alive(&numbers, &span_of_slice(&numbers, survivors, &mut Vec::new())), &expected[..]);
        let found = span(&InMemory::new(numbers.clone(), piece), survivors).unwrap();
        prop_assert_eq!(alive(&numbers, &found), expected);
    }

    /// The counts of the rule.
    #[test]
    fn counts_are_floors(n in 0..100_000_u64, keep in 0.01..1.0_f64, drop_top in 0.0..0.99_f64) {
        let (low, high) = Survivors::middle(n, keep, drop_top).ranks;
        let kept = (keep * n as f64).floor() as u64;
        prop_assert_eq!(high - low, kept);
        prop_assert_eq!(n - high, ((drop_top * n as f64).floor() as u64).min(n - kept));
    }
}

/// More numbers than are gathered at a time: histograms narrow the search, also where a bucket holds one value only.
#[test]
fn many_numbers_are_ranked_by_histograms() {
    let n = 3_000_000_usize;
    let mut stream = kilter_numerics::Stream::new(&[9], "many");
    let spread: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
    let coarse: Vec<f64> = spread.iter().map(|x| (x * 2.0).round() / 2.0).collect();
    let constant = vec![0.25; n];
    for numbers in [spread, coarse, constant] {
        for (keep, drop_top) in [(0.15, 0.006), (0.9, 0.0), (0.3, 0.5)] {
            let survivors = Survivors::middle(n as u64, keep, drop_top);
            let found = span(&InMemory::new(numbers.clone(), 1 << 18), survivors).unwrap();
            assert_eq!(alive(&numbers, &found), by_sorting(&numbers, survivors));
        }
    }
}
