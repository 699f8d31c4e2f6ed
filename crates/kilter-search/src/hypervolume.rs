//! Fronts and hypervolumes of points whose coordinates are all minimised.
//!
//! The hypervolume is the exclusive one of While, Bradstreet and Barone, *A Fast Way of Calculating Exact Hypervolumes*
//! (2012); the subset is the greedy one of Guerreiro, Fonseca and Paquete, *Greedy Hypervolume Subset Selection in Low
//! Dimensions* (2016), at least 1 - 1/e of the best.
//!
//! Cost: fronts O(n f m) for n points, front size f and m objectives; the hypervolume O(n log n) for two objectives,
//! exponential in m in the worst case for more; the subset one hypervolume per point and step at most, far fewer in
//! practice.

use std::cmp::Ordering;

/// Whether `a` is nowhere worse than `b` and somewhere better.
pub(crate) fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

fn lexicographic(a: &[f64], b: &[f64]) -> Ordering {
    a.iter()
        .zip(b)
        .map(|(a, b)| a.partial_cmp(b).unwrap_or(Ordering::Equal))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// The rank of each point: 0 for those that no other dominates, 1 for those that only rank 0 dominates, and so on.
///
/// Stops at the first whole rank with which `enough` points are ranked; the others have none.
pub fn non_domination_ranks(points: &[&[f64]], enough: usize) -> Vec<Option<usize>> {
    let mut ranks = vec![None; points.len()];
    // In lexicographic order a point is dominated by earlier ones only, and if at all, then by one of rank 0 among them.
    let mut left: Vec<usize> = (0..points.len()).collect();
    left.sort_by(|&a, &b| lexicographic(points[a], points[b]));
    let mut ranked = 0;
    for rank in 0.. {
        if left.is_empty() || ranked >= enough {
            break;
        }
        let mut front: Vec<usize> = Vec::new();
        left.retain(|&i| {
            let dominated = front.iter().any(|&f| dominates(points[f], points[i]));
            if !dominated {
                front.push(i);
                ranks[i] = Some(rank);
            }
            dominated
        });
        ranked += front.len();
    }
    ranks
}

/// The volume that the points dominate below a reference point.
pub fn hypervolume(points: &[&[f64]], reference: &[f64]) -> f64 {
    let inside: Vec<&[f64]> =
        points.iter().copied().filter(|point| point.iter().zip(reference).all(|(p, r)| p < r)).collect();
    volume(inside, reference)
}

/// [`hypervolume`] of points none of which is beyond the reference.
fn volume(mut points: Vec<&[f64]>, reference: &[f64]) -> f64 {
    points.sort_by(|a, b| lexicographic(a, b));
    if reference.len() <= 2 {
        // A staircase, from left to right: every point adds what it reaches below the lowest so far.
        let mut floor = reference.get(1).copied().unwrap_or(1.0);
        let mut sum = 0.0;
        for point in points {
            let height = point.get(1).copied().unwrap_or(0.0);
            if height < floor {
                sum += (reference[0] - point[0]) * (floor - height);
                floor = height;
            }
        }
        return sum;
    }
    let mut sum = 0.0;
    for (i, point) in points.iter().enumerate() {
        sum += exclusive(point, &points[i + 1..], reference);
    }
    sum
}

/// The volume that `point` adds to the one of `others`.
fn exclusive(point: &[f64], others: &[&[f64]], reference: &[f64]) -> f64 {
    let inclusive: f64 = point.iter().zip(reference).map(|(p, r)| r - p).product();
    if others.is_empty() || !inclusive.is_finite() {
        return inclusive;
    }
    // The others' shares of this point's box are themselves boxes with the worse of both as their corners.
    let corners: Vec<Vec<f64>> =
        others.iter().map(|other| point.iter().zip(*other).map(|(a, b)| a.max(*b)).collect()).collect();
    let mut front: Vec<&[f64]> = corners.iter().map(Vec::as_slice).collect();
    // A staircase passes over what others dominate.
    if reference.len() > 2 {
        let ranks = non_domination_ranks(&front, 1);
        front = front.into_iter().zip(ranks).filter_map(|(c, rank)| rank.map(|_| c)).collect();
        front.sort_by(|a, b| lexicographic(a, b));
        front.dedup();
    }
    inclusive - volume(front, reference)
}

/// What each point of the front alone adds to the front's hypervolume; 0 for those that another dominates. All are at
/// most as large as the reference.
pub fn contributions(points: &[&[f64]], reference: &[f64]) -> Vec<f64> {
    let ranks = non_domination_ranks(points, 1);
    let front: Vec<usize> = (0..points.len()).filter(|&i| ranks[i] == Some(0)).collect();
    let mut added = vec![0.0; points.len()];
    if reference.len() == 2 {
        steps_of_the_staircase(points, front, reference, &mut added);
        return added;
    }
    for &i in &front {
        let others: Vec<&[f64]> = front.iter().filter(|&&other| other != i).map(|&other| points[other]).collect();
        added[i] = exclusive(points[i], &others, reference).max(0.0);
    }
    added
}

/// [`contributions`] of two coordinates: each point of the front has the box up to its neighbours for itself.
fn steps_of_the_staircase(points: &[&[f64]], mut front: Vec<usize>, reference: &[f64], added: &mut [f64]) {
    front.sort_by(|&a, &b| lexicographic(points[a], points[b]));
    for (at, &i) in front.iter().enumerate() {
        let right = front.get(at + 1).map_or(reference[0], |&next| points[next][0]);
        let above = if at == 0 { reference[1] } else { points[front[at - 1]][1] };
        // A copy beside it leaves nothing to either.
        added[i] = (right - points[i][0]) * (above - points[i][1]);
        if added[i].is_nan() {
            // 0 · ∞ of a copy that lies at an infinite reference.
            added[i] = 0.0;
        }
    }
}

/// The indices of `count` points, chosen one by one so that each adds the most hypervolume to those before it; all
/// points are at most as large as the reference.
///
/// Of points that add the same the lexicographically first is chosen, of equal ones the first; a copy of a point is
/// chosen only when all different points are. Where the reference isn't finite no volume is, and the first
/// different points in lexicographic order are chosen.
pub fn greedy_subset(points: &[&[f64]], count: usize, reference: &[f64]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..points.len()).collect();
    left.sort_by(|&a, &b| lexicographic(points[a], points[b]));
    let mut copies = Vec::new();
    let mut newest = None;
    left.retain(|&i| {
        let copy = newest.is_some_and(|n: usize| points[n] == points[i]);
        newest = Some(i);
        if copy {
            copies.push(i);
        }
        !copy
    });
    if left.len() <= count {
        copies.sort_unstable();
        left.extend(copies.into_iter().take(count - left.len()));
        return left;
    }
    if !reference.iter().all(|r| r.is_finite()) {
        left.truncate(count);
        return left;
    }
    // What a point adds can only shrink as others are chosen, so an old value bounds the new one from above.
    let mut bound: Vec<f64> = left.iter().map(|&i| exclusive(points[i], &[], reference)).collect();
    let mut fresh = vec![true; left.len()];
    let mut chosen: Vec<usize> = Vec::with_capacity(count);
    while chosen.len() < count {
        let top = (0..left.len()).reduce(|a, b| if bound[b] > bound[a] { b } else { a });
        let Some(top) = top else { break };
        if fresh[top] {
            chosen.push(left.remove(top));
            bound.remove(top);
            fresh.remove(top);
            fresh.fill(false);
        } else {
            let others: Vec<&[f64]> = chosen.iter().map(|&i| points[i]).collect();
            // Rounding must not raise a bound, or the search could go on for ever between two points.
            bound[top] = bound[top].min(exclusive(points[left[top]], &others, reference));
            fresh[top] = true;
        }
    }
    chosen
}
