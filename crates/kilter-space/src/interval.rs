//! Intervals, and numbers of the form a q + b in an unknown q whose a and b are only known to lie in intervals.

/// All numbers from `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Interval {
    pub(crate) const ALL: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };
    const ZERO: Self = Self { low: 0.0, high: 0.0 };

    pub(crate) fn new(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    pub(crate) fn point(x: f64) -> Self {
        Self { low: x, high: x }
    }

    pub(crate) fn is_finite(self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }

    /// What lies in both, if anything does.
    pub(crate) fn meet(self, other: Self) -> Option<Self> {
        let (low, high) = (self.low.max(other.low), self.high.min(other.high));
        (low <= high).then_some(Self { low, high })
    }

    /// The shortest interval around both.
    pub(crate) fn hull(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// The larger end by size.
    pub(crate) fn size(self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    fn contains_zero(self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }

    fn of(ends: [f64; 4]) -> Self {
        Self {
            low: ends.into_iter().fold(f64::INFINITY, f64::min),
            high: ends.into_iter().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// `self sign other`: contains every result of that operation on floats of the two, since rounding is monotone.
    /// Nothing if the operation may leave the finite numbers.
    pub(crate) fn operate(self, sign: char, other: Self) -> Option<Self> {
        let result = match sign {
            '+' => Self { low: self.low + other.low, high: self.high + other.high },
            '-' => Self { low: self.low - other.high, high: self.high - other.low },
            '*' => {
                Self::of([self.low * other.low, self.low * other.high, self.high * other.low, self.high * other.high])
            }
            _ if other.contains_zero() => return None,
            _ => Self::of([self.low / other.low, self.low / other.high, self.high / other.low, self.high / other.high]),
        };
        result.is_finite().then_some(result)
    }
}

impl std::ops::Neg for Interval {
    type Output = Self;
    fn neg(self) -> Self {
        Self { low: -self.high, high: -self.low }
    }
}

/// `slope * q + rest` within `error`: what an expression computes for an unknown `q` not larger by size than `reach`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Affine {
    slope: Interval,
    rest: Interval,
    /// How far rounding may have moved the result, here or in the expression itself.
    error: f64,
    reach: f64,
}

/// Every operation loses at most half a unit in the last place, here and once more in the expression itself.
const LOSS: f64 = 4.0 * f64::EPSILON;

impl Affine {
    /// The unknown itself.
    pub(crate) fn unknown(reach: f64) -> Self {
        Self { slope: Interval::point(1.0), rest: Interval::ZERO, error: 0.0, reach }
    }

    /// A number that does not depend on the unknown.
    pub(crate) fn known(rest: Interval, reach: f64) -> Self {
        Self { slope: Interval::ZERO, rest, error: 0.0, reach }
    }

    fn is_known(&self) -> bool {
        self.slope == Interval::ZERO
    }

    fn size(&self) -> f64 {
        self.slope.size() * self.reach + self.rest.size()
    }

    fn checked(self) -> Option<Self> {
        let result = Self { error: self.error + self.size() * LOSS + f64::MIN_POSITIVE, ..self };
        (result.slope.is_finite() && result.rest.is_finite() && result.error.is_finite()).then_some(result)
    }

    /// `self sign other`, where that keeps the form.
    pub(crate) fn operate(self, sign: char, other: Self) -> Option<Self> {
        match sign {
            '+' | '-' => {
                let sum = Self {
                    slope: self.slope.operate(sign, other.slope)?,
                    rest: self.rest.operate(sign, other.rest)?,
                    error: self.error + other.error,
                    reach: self.reach,
                };
                sum.checked()
            }
            '*' => {
                let (factor, of) = if self.is_known() { (self, other) } else { (other, self) };
                if !factor.is_known() {
                    return None;
                }
                Self {
                    slope: of.slope.operate('*', factor.rest)?,
                    rest: of.rest.operate('*', factor.rest)?,
                    error: factor.rest.size() * of.error + factor.error * (of.size() + of.error),
                    reach: self.reach,
                }
                .checked()
            }
            _ => {
                let least = other.rest.low.abs().min(other.rest.high.abs()) - other.error;
                if !other.is_known() || other.rest.contains_zero() || least <= 0.0 {
                    return None;
                }
                let inverse = Interval::point(1.0).operate('/', other.rest)?;
                let error = other.error / (least * least) + LOSS / least;
                self.operate('*', Self { rest: inverse, error, ..other })
            }
        }
    }

    pub(crate) fn negated(self) -> Self {
        Self { slope: -self.slope, rest: -self.rest, ..self }
    }

    /// The smaller (larger) of two known numbers.
    pub(crate) fn extreme(self, other: Self, pick: fn(f64, f64) -> f64) -> Option<Self> {
        let both = self.is_known() && other.is_known();
        both.then(|| Self {
            rest: Interval::new(pick(self.rest.low, other.rest.low), pick(self.rest.high, other.rest.high)),
            error: self.error.max(other.error),
            ..self
        })
    }

    /// `self - other` to compare them: where nothing is added up nothing is lost.
    pub(crate) fn beside(self, other: Self) -> Option<Self> {
        if other.is_known() && self.rest == Interval::ZERO || self.is_known() && other.rest == Interval::ZERO {
            let (slope, rest) = (self.slope.operate('-', other.slope)?, self.rest.operate('-', other.rest)?);
            return Some(Self { slope, rest, error: self.error + other.error, reach: self.reach });
        }
        self.operate('-', other)
    }

    /// Where the unknown can lie if this is to be at most zero; nothing if it cannot.
    pub(crate) fn at_most_zero(self) -> Option<Interval> {
        let limit = self.error - self.rest.low;
        // For q >= 0 the smallest slope counts, for q <= 0 the largest: there must be an a with a q <= limit.
        let half = |slope: f64, half: Interval| {
            let border = limit / slope;
            let exact = slope.abs() == 1.0;
            let (down, up) = if exact { (border, border) } else { (border.next_down(), border.next_up()) };
            let wanted = match slope.partial_cmp(&0.0)? {
                std::cmp::Ordering::Greater => Interval::new(f64::NEG_INFINITY, up),
                std::cmp::Ordering::Less => Interval::new(down, f64::INFINITY),
                std::cmp::Ordering::Equal => return (limit >= 0.0).then_some(half),
            };
            wanted.meet(half)
        };
        let above = half(self.slope.low, Interval::new(0.0, f64::INFINITY));
        let below = half(self.slope.high, Interval::new(f64::NEG_INFINITY, 0.0));
        match (below, above) {
            (Some(below), Some(above)) => Some(below.hull(above)),
            (one, other) => one.or(other),
        }
    }
}
