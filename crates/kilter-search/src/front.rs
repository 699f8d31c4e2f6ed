//! The course of a search in several directions: how much of the space of values its front dominates.

use kilter_study::{Goal, History};

use crate::hypervolume::hypervolume;

/// After each feasible trial, in the order of numbers: the hypervolume that the front so far dominates, as a share of the box
/// between the worst and the best value seen in every direction. It only ever rises; 1 would be one trial that is best in
/// all directions. A direction in which all trials are equal does not count.
///
/// Cost: one hypervolume per trial that changes the front.
pub fn front_course(history: &History, goals: &[Goal]) -> Vec<f64> {
    let losses = |values: Vec<f64>| goals.iter().zip(values).map(|(goal, value)| goal.better.as_loss(value)).collect();
    let feasible = history.rows().filter(|row| row.is_feasible());
    let points: Vec<Vec<f64>> = feasible.filter_map(|row| row.values(goals).map(losses)).collect();
    let extreme = |axis: usize, pick: fn(f64, f64) -> f64| points.iter().map(|point| point[axis]).reduce(pick);
    let axes: Vec<(usize, f64, f64)> = (0..goals.len())
        .filter_map(|axis| Some((axis, extreme(axis, f64::min)?, extreme(axis, f64::max)?)))
        .filter(|(_, best, worst)| best < worst)
        .collect();
    // The worst value itself must count for something, else a front of extremes would dominate nothing.
    const BEYOND: f64 = 1.1;
    let scaled =
        points.iter().map(|point| axes.iter().map(|(axis, best, worst)| (point[*axis] - best) / (worst - best)));
    let reference = vec![BEYOND; axes.len()];
    let whole = BEYOND.powi(i32::try_from(axes.len()).unwrap_or(i32::MAX));
    let (mut front, mut share) = (Vec::<Vec<f64>>::new(), 0.0);
    let mut course = Vec::with_capacity(points.len());
    for point in scaled.map(Iterator::collect::<Vec<f64>>) {
        if axes.is_empty() {
            share = 1.0;
        } else if !front.iter().any(|other| other.iter().zip(&point).all(|(a, b)| a <= b)) {
            front.retain(|other| !point.iter().zip(other).all(|(a, b)| a <= b));
            front.push(point);
            let points: Vec<&[f64]> = front.iter().map(Vec::as_slice).collect();
            share = hypervolume(&points, &reference) / whole;
        }
        course.push(share);
    }
    course
}
